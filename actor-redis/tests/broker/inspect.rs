use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use actor_core::broker::Broker;
use actor_core::inspect::{Handle, Listed, Page, State, Which};
use actor_core::settlement::Outcome;
use actor_core::{Inspect, MessageId, Priority, QueueName};
use actor_redis::RedisBroker;

use crate::server::{Server, bodies, claim, dead_letter, message, message_of, queue, retry, send, settle, worker};

const HOUR: Duration = Duration::from_secs(3600);

async fn all(broker: &RedisBroker, state: State, limit: usize) -> Vec<Listed> {
    let (mut page, mut messages) = (Page::first(limit), Vec::new());
    loop {
        let listing = broker.list(&queue(), state, page).await.unwrap();
        assert!(listing.messages.len() <= limit);
        messages.extend(listing.messages);
        match listing.next {
            Some(next) => page = Page::after(next, limit),
            None => return messages,
        }
    }
}

fn texts(messages: &[Listed]) -> Vec<String> {
    messages.iter().map(|listed| String::from_utf8(listed.body.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn every_message_is_counted_and_listed_in_its_state() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, ["in flight", "dead", "retried"].map(message).into()).await;
    let mut delivered = claim(&broker, &consumer, 3).await.into_iter().map(|delivery| delivery.receipt);
    let held = delivered.next().unwrap();
    settle(&broker, &consumer, delivered.next().unwrap(), dead_letter("dead", "it broke")).await;
    settle(&broker, &consumer, delivered.next().unwrap(), retry("retried", HOUR)).await;
    send(&broker, vec![message_of(Priority::Low, "r2"), message("r1"), message("soon").after(HOUR / 2)]).await;
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.scheduled, counts.dead, counts.paused), (2, 1, 2, 1, false));
    assert_eq!(texts(&all(&broker, State::Ready, 10).await), ["r1", "r2"]);
    assert_eq!(texts(&all(&broker, State::Scheduled, 10).await), ["soon", "retried"]);
    let delivered = all(&broker, State::InFlight, 10).await.remove(0);
    assert_eq!(delivered.worker.as_deref(), Some(consumer.worker.as_str()));
    assert_eq!(delivered.body, "in flight");
    let dead = all(&broker, State::Dead, 10).await.remove(0);
    assert_eq!(dead.reason.as_deref(), Some("it broke"));
    for state in [State::Ready, State::InFlight, State::Scheduled, State::Dead] {
        for listed in all(&broker, state, 10).await {
            let time = listed.time.unwrap();
            let near = SystemTime::now() - HOUR..SystemTime::now() + HOUR + HOUR;
            assert!(near.contains(&time), "{state:?} {time:?}");
            let read = broker.read(&queue(), state, &listed.handle).await.unwrap().unwrap();
            assert_eq!((read.body, read.reason), (listed.body, listed.reason));
        }
    }
    settle(&broker, &consumer, held, Outcome::Done.into()).await;
    assert!(broker.read(&queue(), State::InFlight, &delivered.handle).await.unwrap().is_none());
}

#[tokio::test]
async fn pages_have_every_message_once_and_in_order() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let priorities = [Priority::Low, Priority::High, Priority::Normal];
    let some = |count: usize| (0..count).map(|index| message_of(priorities[index % 3], &index.to_string()));
    send(&broker, some(120).collect()).await;
    let delivered = claim(&broker, &consumer, 120).await;
    assert_eq!(delivered.len(), 120);
    send(&broker, some(120).collect()).await;
    send(&broker, some(120).map(|message| message.after(HOUR)).collect()).await;
    for limit in [1, 7, 60, 1_000] {
        for state in [State::Ready, State::InFlight, State::Scheduled] {
            let messages = all(&broker, state, limit).await;
            assert_eq!(messages.len(), 120, "{state:?} by {limit}");
            let handles: HashSet<_> = messages.iter().map(|listed| &listed.handle).collect();
            assert_eq!(handles.len(), 120, "{state:?} by {limit}");
        }
    }
    let ready: Vec<u32> =
        texts(&all(&broker, State::Ready, 7).await).iter().map(|text| text.parse().unwrap()).collect();
    let expected =
        (0..120).filter(|n| n % 3 == 1).chain((0..120).filter(|n| n % 3 == 2)).chain((0..120).filter(|n| n % 3 == 0));
    assert_eq!(ready, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_of_large_messages_ends_early() {
    let server = Server::start();
    let broker = server.broker().await;
    let large = "x".repeat(1 << 20);
    send(&broker, (0..60).map(|_| message(&large)).collect()).await;
    let page = broker.list(&queue(), State::Ready, Page::first(1_000)).await.unwrap();
    assert!(page.messages.len() < 60 && page.next.is_some());
    assert_eq!(all(&broker, State::Ready, 1_000).await.len(), 60);
    assert_eq!(claim(&broker, &worker(&broker).await, 60).await.len(), 60);
    let page = broker.list(&queue(), State::InFlight, Page::first(1_000)).await.unwrap();
    assert!(page.messages.len() < 60 && page.next.is_some(), "{}", page.messages.len());
    assert_eq!(all(&broker, State::InFlight, 1_000).await.len(), 60);
}

#[tokio::test]
async fn what_only_wakes_a_worker_is_no_message() {
    let server = Server::start();
    let broker = server.broker().await;
    send(&broker, vec![message("soon").after(Duration::from_secs(9))]).await;
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:wake"), 1);
    let counts = async || {
        let counts = broker.counts(&queue()).await.unwrap();
        (counts.ready, counts.in_flight, counts.scheduled)
    };
    assert_eq!(counts().await, (0, 0, 1));
    // One that is woken and has no slot left for what it was woken for.
    let consumer = worker(&broker).await;
    send(&broker, vec![message_of(Priority::High, "it")]).await;
    assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["it"]);
    assert!(server.holds_a_wake());
    assert_eq!(counts().await, (0, 1, 1));
    assert!(all(&broker, State::Ready, 10).await.is_empty());
    assert_eq!(all(&broker, State::InFlight, 10).await.len(), 1);
    assert_eq!(broker.purge(&queue(), State::Ready).await.unwrap(), 0);
    assert_eq!(broker.audit(&queue(), 100).await.unwrap().violations, []);
}

const DEAD: &str = r#"{"v":1,"id":"01890000-0000-7000-8000-000000000000","actor":"a","queue":"mail","args":[1],"attempt":5,"crashes":1,"priority":"high","expires_at":1,"last_error":"it broke","mine":true}"#;

#[tokio::test]
async fn a_replayed_dead_letter_is_ready_again_and_new() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("x"), message("y")]).await;
    for (delivery, body) in claim(&broker, &consumer, 2).await.into_iter().zip([DEAD, "not a message"]) {
        settle(&broker, &consumer, delivery.receipt, dead_letter(body, "it broke")).await;
    }
    let dead_letter = all(&broker, State::Dead, 10).await.remove(0);
    assert_eq!(broker.replay(&queue(), Which::One(dead_letter.handle.clone())).await.unwrap(), 1);
    assert_eq!(broker.replay(&queue(), Which::One(dead_letter.handle)).await.unwrap(), 0);
    let delivered = claim(&broker, &consumer, 1).await.remove(0);
    assert_eq!(delivered.rank & 0x3f, 1, "it has its priority again");
    let body: serde_json::Value = serde_json::from_slice(&delivered.body).unwrap();
    assert_eq!((&body["attempt"], &body["crashes"], &body["mine"]), (&0.into(), &0.into(), &true.into()));
    assert!(body.get("last_error").is_none() && body.get("expires_at").is_none());
    assert_eq!(broker.counts(&queue()).await.unwrap().dead, 1);
    assert_eq!(broker.replay(&queue(), Which::All).await.unwrap(), 1);
    assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["not a message"]);
    for key in ["dead", "dead:bodies", "dead:reasons"] {
        assert_eq!(server.run::<i64>(&format!("EXISTS {{actor:mail}}:{key}")), 0, "{key}");
    }
}

#[tokio::test]
async fn every_dead_letter_is_replayed_by_one_call() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, (0..250).map(|number| message(&number.to_string())).collect()).await;
    let dead_lettered: Vec<_> = claim(&broker, &consumer, 250)
        .await
        .into_iter()
        .map(|delivery| {
            (
                delivery.receipt,
                Outcome::DeadLetter { id: Some(MessageId::new()), body: delivery.body, reason: String::new() }.into(),
            )
        })
        .collect();
    broker.settle(&consumer, &dead_lettered).await;
    // An index that a hand left behind does not stop it.
    let _: i64 = server.run("ZADD {actor:mail}:dead 1 nobody");
    assert_eq!(broker.replay(&queue(), Which::All).await.unwrap(), 250);
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.dead), (250, 0));
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_what_is_in_flight_is_left() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, ["in flight", "dead"].map(message).into()).await;
    let mut delivered = claim(&broker, &consumer, 2).await.into_iter().map(|delivery| delivery.receipt);
    let held = delivered.next().unwrap();
    settle(&broker, &consumer, delivered.next().unwrap(), dead_letter("dead", "why")).await;
    send(&broker, vec![message("ready"), message("scheduled").after(HOUR)]).await;
    let delivered = all(&broker, State::InFlight, 1).await.remove(0).handle;
    assert!(!broker.delete(&queue(), State::InFlight, &delivered).await.unwrap());
    assert!(!broker.delete(&queue(), State::Ready, &delivered).await.unwrap());
    for state in [State::Ready, State::Scheduled, State::Dead] {
        let handle = all(&broker, state, 1).await.remove(0).handle;
        assert!(broker.delete(&queue(), state, &handle).await.unwrap(), "{state:?}");
        assert!(!broker.delete(&queue(), state, &handle).await.unwrap(), "{state:?}");
        assert!(!broker.delete(&queue(), state, &Handle::new("nonsense".to_owned())).await.unwrap());
    }
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.scheduled, counts.dead), (0, 1, 0, 0));
    assert_eq!(settle(&broker, &consumer, held, Outcome::Done.into()).await, actor_core::settlement::Settled::Applied);
}

#[tokio::test]
async fn a_purge_takes_all_of_one_state_and_leaves_what_is_in_flight() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let some = || (0..250).map(|number| message(&number.to_string()));
    send(&broker, some().collect()).await;
    let delivered = claim(&broker, &consumer, 250).await;
    let (dead_lettered, held) = delivered.into_iter().partition::<Vec<_>, _>(|delivery| delivery.body.len() == 3);
    let dead_lettered: Vec<_> =
        dead_lettered.into_iter().map(|delivery| (delivery.receipt, dead_letter("dead", "why"))).collect();
    broker.settle(&consumer, &dead_lettered).await;
    send(&broker, some().collect()).await;
    send(&broker, some().map(|message| message.after(HOUR)).collect()).await;
    assert_eq!(broker.purge(&queue(), State::InFlight).await.unwrap(), 0);
    for (state, count) in [(State::Ready, 250), (State::Scheduled, 250), (State::Dead, dead_lettered.len())] {
        assert_eq!(broker.purge(&queue(), state).await.unwrap(), count as u64, "{state:?}");
    }
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.scheduled, counts.dead), (0, held.len() as u64, 0, 0));
}

#[tokio::test]
async fn queues_are_known_once_something_was_sent_or_a_worker_came() {
    let server = Server::start();
    let broker = server.broker().await;
    assert!(broker.queues().await.unwrap().is_empty());
    send(&broker, vec![message("a")]).await;
    let reports: QueueName = "reports".parse().unwrap();
    broker.register(&actor_core::delivery::WorkerId::new("w"), std::slice::from_ref(&reports), HOUR).await.unwrap();
    let _: i64 = server.run("SADD {actor}:queues not{a}name");
    assert_eq!(broker.queues().await.unwrap(), [queue(), reports]);
}

#[tokio::test]
async fn a_queue_that_is_served_is_known_also_where_the_list_of_queues_was_lost() {
    let server = Server::start();
    let broker = server.broker().await;
    worker(&broker).await;
    let _: i64 = server.run("DEL {actor}:queues");
    assert_eq!(broker.counts(&queue()).await.unwrap().outstanding(), 0);
    for state in [State::Ready, State::InFlight, State::Scheduled, State::Dead] {
        assert!(all(&broker, state, 10).await.is_empty());
        assert!(broker.read(&queue(), state, &Handle::new("normal:1-1".to_owned())).await.unwrap().is_none());
        assert_eq!(broker.purge(&queue(), state).await.unwrap(), 0);
    }
    assert_eq!(broker.replay(&queue(), Which::All).await.unwrap(), 0);
}
