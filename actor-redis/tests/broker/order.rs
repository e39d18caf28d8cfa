use std::time::Duration;

use actor_core::Priority;
use actor_core::broker::Broker;
use actor_core::delivery::Wait;
use actor_core::settlement::Settlement;

use crate::server::{Server, bodies, claim, message, message_of, send, wait_and_claim, worker};

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
    // A read that waits ends within ten seconds: one that waited here would find the low one then.
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
        let lent = broker.claim(&consumer, 1_000, &Wait::new(Duration::from_secs(30))).await.unwrap();
        for delivery in &lent {
            assert_eq!(delivery.body, next.to_string().as_bytes());
            next += 1;
        }
        let done: Vec<_> = lent.into_iter().map(|delivery| (delivery.receipt, Settlement::Done)).collect();
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
