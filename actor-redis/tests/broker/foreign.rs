use std::time::Duration;

use actor_core::broker::{Broker, Enqueue};
use actor_core::settlement::{Outcome, Settled};
use actor_core::{Inspect, MessageId, Priority};

use crate::server::{Server, bodies, claim, message, queue, send, wait_and_claim, worker};

#[tokio::test]
async fn what_redis_cli_added_before_any_worker_was_there_is_in_flight() {
    let server = Server::start();
    let broker = server.broker().await;
    let _: String = server.run("XADD {actor:mail}:ready:normal * m by-hand");
    let consumer = worker(&broker).await;
    assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["by-hand"]);
}

#[tokio::test]
async fn an_entry_of_another_shape_between_two_good_ones_is_delivered_as_it_is() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("good")]).await;
    let _: String = server.run("XADD {actor:mail}:ready:normal * body {} by me");
    let _: String = server.run("XADD {actor:mail}:ready:normal * by me m inside");
    send(&broker, vec![message("also good")]).await;
    let delivered = claim(&broker, &consumer, 10).await;
    assert_eq!(bodies(&delivered), ["good", "body {} by me", "inside", "also good"]);
    for delivery in delivered {
        let done = broker.settle(&consumer, &[(delivery.receipt, Outcome::Done.into())]).await;
        assert_eq!(*done[0].as_ref().unwrap(), Settled::Applied);
    }
}

#[tokio::test]
async fn any_bytes_come_back_as_they_were() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let bytes: Vec<Vec<u8>> =
        (0..256).map(|first: usize| (0..first).map(|n| (n * 7 + first) as u8).collect()).collect();
    let messages = bytes.iter().map(|body| Enqueue::new(MessageId::new(), Priority::Normal, body.clone().into()));
    send(&broker, messages.collect()).await;
    let delivered = claim(&broker, &consumer, 256).await;
    assert_eq!(delivered.iter().map(|delivery| delivery.body.to_vec()).collect::<Vec<_>>(), bytes);
    // And through a schedule and a grave.
    let mut settlements = Vec::new();
    for delivery in delivered {
        let body = delivery.body;
        let settlement = if body.len() % 2 == 0 {
            let after = Duration::from_millis(1);
            Outcome::Reschedule { id: MessageId::new(), priority: Priority::Low, body, after }.into()
        } else {
            Outcome::DeadLetter { id: None, body, reason: "odd".to_owned() }.into()
        };
        settlements.push((delivery.receipt, settlement));
    }
    for answer in broker.settle(&consumer, &settlements).await {
        assert_eq!(answer.unwrap(), Settled::Applied);
    }
    let mut even = Vec::new();
    while even.len() < 128 {
        even.extend(wait_and_claim(&broker, &consumer).await.into_iter().map(|delivery| delivery.body.to_vec()));
    }
    even.sort_by_key(Vec::len);
    assert_eq!(even, bytes.iter().filter(|body| body.len() % 2 == 0).cloned().collect::<Vec<_>>());
    let page = actor_core::inspect::Page::first(1_000);
    let dead = broker.list(&queue(), actor_core::inspect::State::Dead, page).await.unwrap();
    let mut odd: Vec<_> = dead.messages.iter().map(|listed| listed.body.to_vec()).collect();
    odd.sort_by_key(Vec::len);
    assert_eq!(odd, bytes.iter().filter(|body| body.len() % 2 == 1).cloned().collect::<Vec<_>>());
}

#[tokio::test]
async fn two_messages_with_one_identity_do_not_replace_one_another() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let id = MessageId::new();
    send(&broker, ["a", "b", "c", "d"].map(message).into()).await;
    let delivered = claim(&broker, &consumer, 4).await;
    let settlements: Vec<_> = delivered
        .into_iter()
        .enumerate()
        .map(|(index, delivery)| {
            let (body, after) = (delivery.body, Duration::from_millis(1));
            let settlement = match index {
                0 | 1 => Outcome::Reschedule { id, priority: Priority::Normal, body, after }.into(),
                _ => Outcome::DeadLetter { id: Some(id), body, reason: "why".to_owned() }.into(),
            };
            (delivery.receipt, settlement)
        })
        .collect();
    for answer in broker.settle(&consumer, &settlements).await {
        assert_eq!(answer.unwrap(), Settled::Applied);
    }
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.scheduled, counts.dead), (2, 2));
    let mut back = Vec::new();
    while back.len() < 2 {
        back.extend(bodies(&wait_and_claim(&broker, &consumer).await));
    }
    assert_eq!(back, ["a", "b"]);
}
