use std::time::Duration;

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_redis::{Audit, RedisBroker};

use crate::server::{Server, claim, dead_letter, end_lease, message, queue, release, retry, send, settle, worker};

async fn audit(broker: &RedisBroker) -> Audit {
    broker.audit(&queue(), 100_000).await.unwrap()
}

/// What the auditor says, in one text.
async fn found(broker: &RedisBroker) -> String {
    audit(broker).await.violations.iter().map(|violation| format!("{violation}\n")).collect()
}

/// A queue with messages in every state, and the worker that holds some.
async fn full(server: &Server) -> (RedisBroker, actor_core::delivery::Consumer) {
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, (0..300).map(|number| message(&number.to_string())).collect()).await;
    let mut delivered = claim(&broker, &consumer, 250).await;
    settle(&broker, &consumer, delivered.remove(0).receipt, retry("again", Duration::from_secs(600))).await;
    settle(&broker, &consumer, delivered.remove(0).receipt, dead_letter("dead", "why")).await;
    settle(&broker, &consumer, delivered.remove(0).receipt, release("back")).await;
    let later = (0..150).map(|number| message(&number.to_string()).after(Duration::from_secs(600)));
    send(&broker, later.collect()).await;
    (broker, consumer)
}

#[tokio::test]
async fn the_auditor_finds_nothing_in_a_queue_in_good_order() {
    let server = Server::start();
    assert_eq!(audit(&server.broker().await).await.violations, [], "in an empty one");
    let (broker, _consumer) = full(&server).await;
    let audit = audit(&broker).await;
    assert_eq!(audit.violations, []);
    assert!(audit.complete && audit.read > 700, "{audit:?}");
}

#[tokio::test]
async fn an_audit_ends_at_its_limit_and_says_so() {
    let server = Server::start();
    let (broker, _consumer) = full(&server).await;
    let whole = audit(&broker).await.read;
    let audit = broker.audit(&queue(), 100).await.unwrap();
    assert!(!audit.complete && audit.read < whole, "{audit:?} of {whole}");
}

#[tokio::test]
async fn what_nobody_holds_any_more_is_found_and_then_delivered_again() {
    let server = Server::start();
    let (broker, consumer) = full(&server).await;
    let _: i64 = server.run(&format!("XGROUP DELCONSUMER {{actor:mail}}:ready:normal workers {}", consumer.worker));
    let text = found(&broker).await;
    assert!(text.contains("{actor:mail}:ready:normal: `") && text.contains("nobody holds it"), "{text}");
    assert_eq!(text.lines().count(), 21, "the first twenty, and how many more: {text}");
    let mut taken = 0;
    while taken < 247 {
        let mut recovered = broker.recover(&consumer, 100, Duration::ZERO).await.unwrap();
        assert!(!recovered.is_empty(), "whoever checks finds some: it is long until the next check");
        taken += recovered.len();
        for delivery in recovered.drain(..) {
            assert_eq!(delivery.crashes, 1);
            settle(&broker, &consumer, delivery.receipt, actor_core::settlement::Outcome::Done.into()).await;
        }
    }
    assert_eq!(taken, 247, "250 were in flight, and 3 were settled");
    assert!(broker.recover(&consumer, 100, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(found(&broker).await, "");
}

#[tokio::test]
async fn indexes_that_were_deleted_are_named_and_a_repair_puts_back_all_that_was_in_them() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let later = |number: i32| message(&number.to_string()).after(Duration::from_secs(600));
    send(&broker, (0..2_000).map(later).collect()).await;
    send(&broker, (0..300).map(|number| message(&number.to_string())).collect()).await;
    for delivery in claim(&broker, &consumer, 300).await {
        settle(&broker, &consumer, delivery.receipt, dead_letter("dead", "why")).await;
    }
    let _: i64 = server.run("DEL {actor:mail}:scheduled {actor:mail}:dead");
    let _: i64 = server.run("DEL {actor}:queues");
    // What is stored meanwhile has its place, and keeps it.
    send(&broker, vec![later(2_000)]).await;
    let text = found(&broker).await;
    assert_eq!(text.matches("is not scheduled and will not start: ").count(), 20, "the first twenty: {text}");
    assert!(text.contains("1980 more like these") && text.contains("280 more like these"), "{text}");
    assert!(text.contains("`RedisBroker::repair` puts it back"), "{text}");

    let repair = broker.repair(&queue()).await.unwrap();
    assert_eq!((repair.scheduled, repair.dead), (2_000, 300));
    assert_eq!(broker.queues().await.unwrap(), [queue()]);
    assert_eq!(found(&broker).await, "");
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.scheduled, counts.dead), (2_001, 300));
    let finder = worker(&broker).await;
    let mut due = 0;
    while due < 2_000 {
        due += claim(&broker, &finder, 500).await.len();
    }
    assert_eq!(broker.counts(&queue()).await.unwrap().scheduled, 1, "the others were due at once");
    let repair = broker.repair(&queue()).await.unwrap();
    assert_eq!((repair.scheduled, repair.dead), (0, 0), "all has its place");
}

#[tokio::test]
async fn a_trimmed_stream_a_lost_body_and_a_foreign_key_are_found() {
    let server = Server::start();
    let (broker, _consumer) = full(&server).await;
    let _: i64 = server.run("XTRIM {actor:mail}:ready:normal MAXLEN 290");
    let _: i64 = server.run("DEL {actor:mail}:dead:bodies");
    let text = found(&broker).await;
    assert_eq!(text.matches("is in flight, and its entry is gone").count(), 7, "{text}");
    assert!(text.contains("is a dead letter without a body"), "{text}");
    let _: i64 = server.run("DEL {actor:mail}:scheduled");
    let _: String = server.run("SET {actor:mail}:scheduled mine");
    let text = found(&broker).await;
    assert!(text.contains("it holds a string in place of a zset"), "{text}");
}

#[tokio::test]
async fn what_a_dead_worker_holds_with_nobody_left_is_found_after_a_minute() {
    let server = Server::start();
    let (broker, consumer) = full(&server).await;
    end_lease(&server, &consumer);
    let text = found(&broker).await;
    assert!(text.contains("has held 247 messages for more than a minute"), "{text}");
    assert!(text.contains("no worker of this queue lives: start one"), "{text}");
}

#[tokio::test]
async fn a_message_in_two_states_is_found() {
    let server = Server::start();
    let (broker, _consumer) = full(&server).await;
    let [dead]: [String; 1] = server.run("ZRANGE {actor:mail}:dead 0 0");
    let [scheduled]: [String; 1] = server.run("ZRANGE {actor:mail}:scheduled 0 0");
    let id = scheduled.strip_prefix("normal:").unwrap();
    assert_eq!(found(&broker).await, "");

    let _: String = server.run(&format!("XADD {{actor:mail}}:ready:low 1-1 m {{\"id\":\"{dead}\"}}"));
    let _: String = server.run(&format!("XADD {{actor:mail}}:ready:high 1-2 m {{\"id\":\"{id}\"}}"));
    let text = found(&broker).await;
    assert!(text.contains("{actor:mail}:ready:low: `1-1` holds a message that is a dead letter too"), "{text}");
    assert!(text.contains("{actor:mail}:ready:high: `1-2` holds a message that is scheduled too"), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");

    let _: i64 = server.run(&format!("HSET {{actor:mail}}:dead:bodies {id} body"));
    let text = found(&broker).await;
    let both = format!("{{actor:mail}}:scheduled:bodies: `{scheduled}` is scheduled, and is a dead letter too");
    assert!(text.contains(&both), "{text}");
}
