use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::Wait;
use actor_core::inspect::State;
use actor_core::settlement::Outcome;
use actor_core::{Inspect, Priority};
use actor_redis::RedisBroker;

use crate::server::{Server, bodies, claim, message, message_of, queue, send, wait_and_claim, worker};

#[tokio::test]
async fn the_higher_priority_goes_first_and_within_one_the_older() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let low = |body| message_of(Priority::Low, body);
    let high = |body| message_of(Priority::High, body);
    send(&broker, vec![low("5"), message("3"), high("1"), message("4"), high("2"), low("6")]).await;
    assert_eq!(bodies(&claim(&broker, &consumer, 10).await), ["1", "2", "3", "4", "5", "6"]);
}

#[tokio::test]
async fn with_a_backlog_on_every_level_the_low_ones_wait() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    for (priority, body) in [(Priority::Low, "low"), (Priority::Normal, "normal"), (Priority::High, "high")] {
        send(&broker, (0..50).map(|_| message_of(priority, body)).collect()).await;
    }
    for priority in ["high", "normal", "low"] {
        for _ in 0..5 {
            assert_eq!(bodies(&claim(&broker, &consumer, 10).await), vec![priority; 10]);
        }
    }
    assert!(claim(&broker, &consumer, 10).await.is_empty());
}

#[tokio::test]
async fn a_claim_does_not_wait_for_a_level_while_a_lower_one_has_something() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, (0..10).map(|_| message_of(Priority::High, "high")).collect()).await;
    assert_eq!(claim(&broker, &consumer, 10).await.len(), 10);
    send(&broker, vec![message_of(Priority::Low, "low")]).await;
    let hour = Wait::new(Duration::from_secs(3600));
    // A read that waits ends within fifteen seconds: one that waited here would find the low one then.
    let found = tokio::time::timeout(Duration::from_secs(4), broker.claim(&consumer, 10, &hour)).await.unwrap();
    assert_eq!(bodies(&found.unwrap()), ["low"]);
}

#[tokio::test]
async fn a_hundred_thousand_messages_go_through_one_call_and_come_back_in_order() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let count = 100_000;
    send(&broker, (0..count).map(|number| message(&number.to_string())).collect()).await;
    let mut next = 0;
    while next < count {
        let delivered = broker.claim(&consumer, 1_000, &Wait::new(Duration::from_secs(30))).await.unwrap();
        for delivery in &delivered {
            assert_eq!(delivery.body, next.to_string().as_bytes());
            next += 1;
        }
        let done: Vec<_> = delivered.into_iter().map(|delivery| (delivery.receipt, Outcome::Done.into())).collect();
        for answer in broker.settle(&consumer, &done).await {
            answer.unwrap();
        }
    }
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 0);
}

#[tokio::test]
async fn two_workers_share_a_queue_and_none_gets_what_the_other_has() {
    let server = Server::start();
    let broker = server.broker().await;
    let (one, two) = (worker(&broker).await, worker(&broker).await);
    send(&broker, (0..20).map(|number| message(&number.to_string())).collect()).await;
    let mut all = bodies(&claim(&broker, &one, 7).await);
    all.extend(bodies(&claim(&broker, &two, 7).await));
    all.extend(bodies(&wait_and_claim(&broker, &one).await));
    all.sort_by_key(|body| body.parse::<u32>().unwrap());
    assert_eq!(all, (0..20).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn with_weighted_priorities_low_ones_have_a_share_beside_high_ones_that_never_end() {
    let server = Server::start();
    let broker = RedisBroker::builder(&server.url()).unwrap().weighted_priorities().connect().await.unwrap();
    let consumer = worker(&broker).await;
    let some = |priority, body| (0..500).map(|_| message_of(priority, body)).collect();
    send(&broker, some(Priority::Low, "low")).await;
    send(&broker, some(Priority::High, "high")).await;
    let mut shares = std::collections::BTreeMap::new();
    let mut take = async |claims: usize| {
        for _ in 0..claims {
            let delivered = broker.claim(&consumer, 10, &Wait::new(Duration::ZERO)).await.unwrap();
            assert_eq!(delivered.len(), 10);
            for delivery in &delivered {
                *shares.entry(String::from_utf8(delivery.body.to_vec()).unwrap()).or_insert(0) += 1;
            }
            // What came out of turn starts before what a worker has fetched, and settles as any other.
            let before = delivered.iter().filter(|delivery| delivery.rank < 0x40).count();
            assert_eq!(before, delivered.iter().filter(|delivery| delivery.body != "high").count());
            let done: Vec<_> = delivered.into_iter().map(|delivery| (delivery.receipt, Outcome::Done.into())).collect();
            for answer in broker.settle(&consumer, &done).await {
                answer.unwrap();
            }
        }
        shares.clone()
    };
    let shares = take(16).await;
    assert_eq!((shares["high"], shares["low"]), (140, 20));
    // The lowest that there is.
    assert_eq!(broker.purge(&queue(), State::Ready).await.unwrap(), 840);
    send(&broker, some(Priority::Normal, "normal")).await;
    send(&broker, some(Priority::High, "high")).await;
    let shares = take(16).await;
    assert_eq!(shares["normal"], 20, "{shares:?}");
}
