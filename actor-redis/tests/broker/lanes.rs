use std::time::Duration;

use actor_core::broker::{Broker, Enqueue};
use actor_core::delivery::{Consumer, Delivery, Wait};
use actor_core::inspect::State;
use actor_core::settlement::{Outcome, Settled};
use actor_core::{Inspect, Key, Lane, Limit, Limits, Queue};
use actor_redis::RedisBroker;

use crate::server::{Server, bodies, message, queue, send, settle, worker};

/// One at a time of each key.
fn limits() -> Limits {
    static CALLS: Queue = Queue::new("mail").per_key(Limit::new().concurrency(1));
    *CALLS.limits()
}

fn in_lane(key: &str, body: &str) -> Enqueue {
    message(body).lane(Lane::new(Key::new(key).unwrap()))
}

async fn limited(broker: &RedisBroker) -> Consumer {
    worker(broker).await.limited(limits())
}

/// All that may go now.
async fn at_once(broker: &RedisBroker, consumer: &Consumer) -> Vec<Delivery> {
    broker.claim(consumer, 100, &Wait::new(Duration::ZERO)).await.unwrap()
}

async fn found(broker: &RedisBroker) -> String {
    let audit = broker.audit(&queue(), 100_000).await.unwrap();
    audit.violations.iter().map(|violation| format!("{violation}\n")).collect()
}

/// Three lanes, each with a message in flight and two that wait.
async fn full(server: &Server) -> (RedisBroker, Consumer, Vec<Delivery>) {
    let broker = server.broker().await;
    let consumer = limited(&broker).await;
    let lanes = ["a", "b", "c"].into_iter().flat_map(|key| (0..3).map(move |n| in_lane(key, &format!("{key}{n}"))));
    send(&broker, lanes.collect()).await;
    let delivered = at_once(&broker, &consumer).await;
    assert_eq!(delivered.len(), 3);
    (broker, consumer, delivered)
}

#[tokio::test]
async fn the_auditor_finds_nothing_in_lanes_in_good_order() {
    let server = Server::start();
    let (broker, consumer, mut delivered) = full(&server).await;
    assert_eq!(found(&broker).await, "");
    settle(&broker, &consumer, delivered.remove(0).receipt, Outcome::Done.into()).await;
    assert_eq!(found(&broker).await, "");
    assert_eq!(at_once(&broker, &consumer).await.len(), 1);
    assert_eq!(found(&broker).await, "");
}

#[tokio::test]
async fn slots_that_were_changed_by_hand_are_named_and_counted_again() {
    let server = Server::start();
    let (broker, consumer, delivered) = full(&server).await;
    let _: i64 = server.run("HSET {actor:mail}:lanes:running a 7 z 2");
    let _: i64 = server.run("HSET {actor:mail}:gate n 12");
    let text = found(&broker).await;
    assert!(text.contains("12 slots are counted as taken, and messages hold 3"), "{text}");
    assert!(text.contains("`a` (7 counted, 1 held)") && text.contains("`z` (2 counted, 0 held)"), "{text}");
    assert_eq!(broker.repair(&queue()).await.unwrap().lanes, 3);
    assert_eq!(found(&broker).await, "");
    for delivery in delivered {
        settle(&broker, &consumer, delivery.receipt, Outcome::Done.into()).await;
    }
    assert_eq!(at_once(&broker, &consumer).await.len(), 3);
}

#[tokio::test]
async fn workers_count_slots_again_by_themselves() {
    let server = Server::start();
    let (broker, consumer, delivered) = full(&server).await;
    // As a message that somebody deleted under its worker.
    let _: i64 = server.run("HSET {actor:mail}:lanes:running a 2");
    let _: i64 = server.run("HDEL {actor:mail}:gate at");
    settle(&broker, &consumer, delivered[0].receipt.clone(), Outcome::Done.into()).await;
    assert_eq!(at_once(&broker, &consumer).await.len(), 0, "a slot is taken that nobody holds");
    let another = limited(&broker).await;
    assert_eq!(bodies(&at_once(&broker, &another).await), ["a1"]);
}

#[tokio::test]
async fn indexes_of_lanes_that_were_deleted_are_named_and_put_back() {
    let server = Server::start();
    let (broker, consumer, delivered) = full(&server).await;
    for delivery in &delivered {
        settle(&broker, &consumer, delivery.receipt.clone(), Outcome::Done.into()).await;
    }
    let _: i64 = server.run("DEL {actor:mail}:lanes:open");
    assert!(at_once(&broker, &consumer).await.is_empty());
    assert!(found(&broker).await.contains("has messages, and nothing lets them go"));
    let _: i64 = server.run("HSET {actor:mail}:lanes:waiting a 5");
    assert!(found(&broker).await.contains("`a` has other messages than are counted"));
    assert!(broker.repair(&queue()).await.unwrap().lanes >= 3);
    assert_eq!(found(&broker).await, "");
    assert_eq!(at_once(&broker, &consumer).await.len(), 3);
    assert_eq!(broker.counts(&queue()).await.unwrap().waiting, 3);
}

#[tokio::test]
async fn a_lane_whose_list_is_elsewhere_takes_nothing_and_loses_nothing() {
    let server = Server::start();
    let (broker, consumer, delivered) = full(&server).await;
    // As while its slot moves to another member of a cluster.
    let _: String = server.run("RENAME {actor:mail}:lane:n:a {actor:mail}:away");
    let mut answers = broker.enqueue(&queue(), vec![in_lane("a", "a3"), in_lane("b", "b3")]).await;
    assert!(answers.remove(1).is_ok());
    let error = answers.remove(0).unwrap_err();
    assert!(!error.is_unknown() && error.is_transient(), "{error:?}");
    settle(&broker, &consumer, delivered[0].receipt.clone(), Outcome::Done.into()).await;
    assert!(at_once(&broker, &consumer).await.is_empty());
    let _: String = server.run("RENAME {actor:mail}:away {actor:mail}:lane:n:a");
    assert_eq!(bodies(&at_once(&broker, &consumer).await), ["a1"]);
    assert_eq!(found(&broker).await, "");
}

#[tokio::test]
async fn a_worker_whose_program_declares_no_limits_lets_messages_go_all_the_same() {
    let server = Server::start();
    let (_, _, delivered) = full(&server).await;
    assert_eq!(delivered.len(), 3);
    let other_process = server.broker().await;
    let undeclared = worker(&other_process).await;
    send(&other_process, vec![message("plain")]).await;
    assert_eq!(bodies(&at_once(&other_process, &undeclared).await), ["plain"], "the lanes are full");
    let settled = settle(&other_process, &undeclared, delivered[1].receipt.clone(), Outcome::Done.into()).await;
    assert_eq!(settled, Settled::Applied);
    let key = &bodies(&delivered)[1][..1];
    assert_eq!(bodies(&at_once(&other_process, &undeclared).await), [format!("{key}1")]);
}

#[tokio::test]
async fn a_queue_that_is_empty_again_leaves_nothing_of_its_lanes() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = limited(&broker).await;
    send(&broker, (0..500).map(|n| in_lane(&format!("key {n}"), "it")).collect()).await;
    let mut left = 500;
    while left > 0 {
        for delivery in at_once(&broker, &consumer).await {
            settle(&broker, &consumer, delivery.receipt, Outcome::Done.into()).await;
            left -= 1;
        }
    }
    for name in ["open", "closed", "full", "resting", "running", "waiting", "allowed"] {
        let there: i64 = server.run(&format!("EXISTS {{actor:mail}}:lanes:{name}"));
        assert_eq!(there, 0, "{name}");
    }
    let keys: Vec<String> = server.run("KEYS *lane:*");
    assert_eq!(keys, [""; 0]);
    assert!(
        broker.list(&queue(), State::Waiting, actor_core::inspect::Page::first(10)).await.unwrap().messages.is_empty()
    );
}
