use std::time::Duration;

use actor_core::broker::Broker;
use actor_redis::{Audit, RedisBroker};

use crate::server::{
    Server, bodies, claim, dead_letter, end_lease, message, queue, release, retry, send, settle, worker,
};

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
        assert!(!recovered.is_empty(), "whoever looks finds some: it is long until the next look");
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
async fn scheduled_messages_whose_times_are_gone_are_found_and_then_due_at_once() {
    let server = Server::start();
    let broker = server.broker().await;
    let later = (0..3).map(|number| message(&number.to_string()).after(Duration::from_secs(600)));
    send(&broker, later.collect()).await;
    let _: i64 = server.run("DEL {actor:mail}:scheduled");
    let text = found(&broker).await;
    assert_eq!(text.matches("is not scheduled and will not start: ").count(), 3, "{text}");
    assert!(text.contains("ZADD {actor:mail}:scheduled 0 normal:"), "{text}");
    let mut delivered = Vec::new();
    while delivered.is_empty() {
        // A worker's first claim looks, and every eighth look compares.
        delivered = bodies(&claim(&broker, &worker(&broker).await, 10).await);
    }
    delivered.sort();
    assert_eq!(delivered, ["0", "1", "2"]);
    assert_eq!(found(&broker).await, "");
}

#[tokio::test]
async fn of_many_scheduled_messages_whose_times_are_gone_each_is_found() {
    let server = Server::start();
    let broker = server.broker().await;
    let later = (0..2_000).map(|number| message(&number.to_string()).after(Duration::from_secs(600)));
    send(&broker, later.collect()).await;
    let _: i64 = server.run("DEL {actor:mail}:scheduled");
    let all = async {
        let (mut delivered, mut finder) = (0, worker(&broker).await);
        while delivered == 0 {
            // A worker's first claim looks, and every eighth look compares.
            finder = worker(&broker).await;
            delivered = claim(&broker, &finder, 500).await.len();
        }
        // Who has found some goes on at once.
        while delivered < 2_000 {
            delivered += claim(&broker, &finder, 500).await.len();
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("some are never found");
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
