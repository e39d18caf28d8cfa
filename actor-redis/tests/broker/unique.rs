//! Unique keys in Redis: whose message is nowhere, what they cost others, and requests whose answers are lost.

use std::time::Duration;

use actor_core::broker::{Broker, Enqueue, Enqueued};
use actor_core::delivery::Consumer;
use actor_core::inspect::{Inspect, State};
use actor_core::settlement::{Outcome, Settled};
use actor_core::{Idempotency, Key, OnConflict, Unique, Uniqueness, Until, actor};
use actor_redis::RedisBroker;

use crate::proxy::Proxy;
use crate::server::{
    Server, bodies, claim, dead_letter, message, queue, release, retry, send, settle, wait_and_claim, worker,
};

const HOUR: Duration = Duration::from_secs(3600);
const READY: &str = "{actor:mail}:ready:normal";

fn of(key: &str, body: &str, on_conflict: OnConflict) -> Enqueue {
    let key = Key::new(key).unwrap();
    message(body).unique(Unique::new(key, Uniqueness::new(Until::Done, on_conflict)))
}

async fn store(broker: &RedisBroker, message: Enqueue) -> Enqueued {
    broker.enqueue(&queue(), vec![message]).await.remove(0).unwrap()
}

async fn found(broker: &RedisBroker) -> String {
    let audit = broker.audit(&queue(), 100_000).await.unwrap();
    audit.violations.iter().map(|violation| format!("{violation}\n")).collect()
}

async fn ended(broker: &RedisBroker, consumer: &Consumer) -> Vec<String> {
    let delivered = wait_and_claim(broker, consumer).await;
    let bodies = bodies(&delivered);
    for delivery in delivered {
        assert_eq!(settle(broker, consumer, delivery.receipt, Outcome::Done.into()).await, Settled::Applied);
    }
    bodies
}

#[tokio::test]
async fn a_key_whose_message_is_nowhere_is_named_and_taken_over() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    for (state, delay) in [("ready", Duration::ZERO), ("in flight", Duration::ZERO), ("scheduled", HOUR)] {
        let first = of("k", "1", OnConflict::Keep).after(delay);
        let id = first.id;
        assert_eq!(store(&broker, first).await, Enqueued::Stored);
        assert_eq!(store(&broker, of("k", "2", OnConflict::Keep)).await, Enqueued::Existing(id));
        assert_eq!(found(&broker).await, "", "in good order, {state}");
        if state == "in flight" {
            assert_eq!(claim(&broker, &consumer, 1).await.len(), 1);
            assert_eq!(store(&broker, of("k", "2", OnConflict::Keep)).await, Enqueued::Existing(id));
            let _: i64 = server.run(&format!("XGROUP DELCONSUMER {READY} workers {}", consumer.worker));
        }
        let _: i64 = server.run(&format!("DEL {READY}"));
        let _: i64 = server.run("DEL {actor:mail}:scheduled {actor:mail}:scheduled:bodies");
        let text = found(&broker).await;
        assert!(text.contains("{actor:mail}:unique: `k` is a unique key whose message is nowhere"), "{text}");
        assert_eq!(store(&broker, of("k", "2", OnConflict::Keep)).await, Enqueued::Stored, "{state}");
        assert!(!found(&broker).await.contains("unique"));
        assert_eq!(ended(&broker, &consumer).await, ["2"]);
        assert_eq!(server.run::<i64>("EXISTS {actor:mail}:unique"), 0);
    }
}

#[tokio::test]
async fn a_repair_frees_a_key_whose_message_is_nowhere_and_lets_go_what_follows_it() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    store(&broker, of("k", "1", OnConflict::RunAgain)).await;
    claim(&broker, &consumer, 1).await;
    assert_eq!(store(&broker, of("k", "2", OnConflict::RunAgain)).await, Enqueued::Stored);
    store(&broker, of("other", "3", OnConflict::Keep).after(HOUR)).await;
    // An index that is rebuilt makes all of it due but what follows.
    let _: i64 = server.run("DEL {actor:mail}:scheduled");
    assert_eq!(broker.repair(&queue()).await.unwrap().scheduled, 2);
    assert_eq!(ended(&broker, &consumer).await, ["3"]);
    assert_eq!(broker.counts(&queue()).await.unwrap().scheduled, 1);

    let _: i64 = server.run(&format!("XGROUP DELCONSUMER {READY} workers {}", consumer.worker));
    let _: i64 = server.run(&format!("DEL {READY}"));
    assert_eq!(broker.repair(&queue()).await.unwrap().unique, 1);
    assert_eq!(ended(&broker, &consumer).await, ["2"]);
    assert_eq!(found(&broker).await, "");
    let left: Vec<String> = server.run("KEYS {actor:mail}:unique*");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_message_that_holds_a_key_which_names_another_is_named() {
    let server = Server::start();
    let broker = server.broker().await;
    store(&broker, of("k", "1", OnConflict::Keep)).await;
    let _: i64 = server.run("DEL {actor:mail}:unique");
    let text = found(&broker).await;
    assert!(text.contains("holds a unique key that names another message, or none"), "{text}");
}

/// Whatever becomes of them: nothing is left behind.
#[tokio::test]
async fn messages_without_a_key_go_by_plain_commands_and_those_with_one_leave_nothing_behind() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("plain")]).await;
    let _: redis::Value = server.run("CONFIG RESETSTAT");
    send(&broker, vec![message("plain")]).await;
    for delivery in claim(&broker, &consumer, 2).await {
        settle(&broker, &consumer, delivery.receipt, Outcome::Done.into()).await;
    }
    let calls: String = server.run("INFO commandstats");
    // One checks what is due.
    assert!(!calls.contains("cmdstat_hset") && !calls.contains("cmdstat_hmget"), "{calls}");

    let ends = [Outcome::Done.into(), retry("r", Duration::from_millis(1)), dead_letter("d", "why"), release("back")];
    for (number, end) in ends.into_iter().enumerate() {
        store(&broker, of(&number.to_string(), "1", OnConflict::Keep)).await;
        let delivery = claim(&broker, &consumer, 1).await.remove(0);
        assert_eq!(settle(&broker, &consumer, delivery.receipt, end).await, Settled::Applied);
    }
    let mut left = 2;
    while left > 0 {
        left -= ended(&broker, &consumer).await.len();
    }
    assert_eq!(broker.purge(&queue(), State::Dead).await.unwrap(), 1);
    let keys: Vec<String> = server.run("KEYS {actor:mail}:*");
    let used: Vec<_> = keys.iter().filter(|key| key.contains("unique") || key.contains("scheduled")).collect();
    assert!(used.is_empty(), "{used:?}");
}

#[actor(queue = "mail")]
async fn charge(order: u32) {
    let _ = order;
}

#[tokio::test]
async fn a_send_whose_answer_was_lost_is_repeated_with_its_key_and_stores_once() {
    let server = Server::start();
    let proxy = Proxy::before(&server).await;
    let broker = RedisBroker::connect(&proxy.url()).await.unwrap();
    charge.message(0).idempotency_key("order-0").send_with(&broker).await.unwrap();
    for order in 1..4 {
        proxy.swallow_the_next_answer();
        let sent = charge.message(order).idempotency_key(format!("order-{order}")).send_with(&broker).await.unwrap();
        assert!(proxy.has_swallowed());
        assert!(sent.is_new());
        assert_eq!(server.run::<u32>(&format!("XLEN {READY}")), order + 1);
    }
    // It is remembered for its time, and no longer.
    let keys: Vec<String> = server.run("KEYS {actor:mail}:idempotent:*");
    assert_eq!(keys.len(), 4);
    let left: i64 = server.run(&format!("PTTL {}", keys[0]));
    assert!((86_000_000..=86_400_000).contains(&left), "{left}");
}

#[tokio::test]
async fn out_of_memory_a_unique_message_is_refused_and_one_in_flight_frees_its_key() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    store(&broker, of("k", "1", OnConflict::Keep)).await;
    let delivery = claim(&broker, &consumer, 1).await.remove(0);
    let _: String = server.run("CONFIG SET maxmemory 1");
    let once = message("3").idempotent(Idempotency::new(Key::new("once").unwrap()));
    for message in [of("other", "2", OnConflict::Keep), once] {
        let refused = broker.enqueue(&queue(), vec![message]).await.remove(0).unwrap_err();
        assert!(refused.is_transient() && !refused.is_unknown(), "{refused}");
    }
    assert_eq!(settle(&broker, &consumer, delivery.receipt, Outcome::Done.into()).await, Settled::Applied);
    assert_eq!(server.run::<i64>("EXISTS {actor:mail}:unique"), 0);
    let _: String = server.run("CONFIG SET maxmemory 0");
    assert_eq!(store(&broker, of("other", "2", OnConflict::Keep)).await, Enqueued::Stored, "half of it was left");
}

#[tokio::test]
async fn a_service_that_sends_unique_messages_needs_no_more_than_is_documented() {
    const PAGE: &str = include_str!("../../../docs/redis-keys.md");
    let server = Server::start();
    for line in PAGE.lines().filter(|line| line.starts_with("ACL SETUSER sender")) {
        let _: String = server.run(&line.replace("<password>", "secret"));
    }
    let url = format!("redis+unix://{}?user=sender&pass=secret", server.socket());
    let broker = RedisBroker::connect(&url).await.unwrap();
    for on_conflict in
        [OnConflict::Keep, OnConflict::Replace, OnConflict::Postpone { max_wait: Some(HOUR) }, OnConflict::RunAgain]
    {
        for delay in [Duration::ZERO, HOUR] {
            store(&broker, of("k", "1", on_conflict).after(delay)).await;
        }
    }
    store(&broker, message("once").idempotent(Idempotency::new(Key::new("once").unwrap()))).await;
    let denied: Vec<redis::Value> = server.run("ACL LOG");
    assert!(denied.is_empty(), "{denied:?}");
}
