//! Outboxes, as they are in Redis.

use actor_core::broker::Broker;
use actor_core::outbox::Outboxes;
use actor_core::settlement::{Consequence, Outcome, Settled, Settlement};
use actor_core::{Inspect, QueueName};
use actor_redis::RedisBroker;

use crate::server::{Server, message, queue, send, wait_and_claim, worker};

fn news() -> QueueName {
    "news".parse().unwrap()
}

/// Ends a message of `mail`, followed by messages to `news`.
async fn follow(broker: &RedisBroker, bodies: &[&str]) {
    let consumer = worker(broker).await;
    send(broker, vec![message("it")]).await;
    let delivery = wait_and_claim(broker, &consumer).await.remove(0);
    let mut end = Settlement::from(Outcome::Done);
    let follow = |body: &&str| Consequence::Send { queue: news(), message: Box::new(message(body)) };
    end.consequences = bodies.iter().map(follow).collect();
    let settled = broker.settle(&consumer, &[(delivery.receipt, end)]).await.remove(0).unwrap();
    assert_eq!(settled, Settled::Applied);
    broker.deregister(&consumer.worker, &[queue()]).await.unwrap();
}

async fn ready(broker: &RedisBroker) -> u64 {
    broker.counts(&news()).await.unwrap().ready
}

#[tokio::test]
async fn what_arrived_and_was_not_removed_arrives_no_second_time() {
    let server = Server::start();
    let broker = server.broker().await;
    follow(&broker, &["1", "2"]).await;
    // As a relay that dies once it has stored them, or a primary that is lost before its replica knows of the removal.
    let _: i64 = server.run("COPY {actor:mail}:outbox:news {actor:mail}:kept REPLACE");
    assert_eq!(broker.relay(&queue(), &news()).await.unwrap(), 2);
    let _: i64 = server.run("COPY {actor:mail}:kept {actor:mail}:outbox:news REPLACE");
    let _: i64 = server.run("SADD {actor:mail}:outboxes news");
    assert_eq!(broker.relay(&queue(), &news()).await.unwrap(), 0);
    assert_eq!(ready(&broker).await, 2);
    follow(&broker, &["3"]).await;
    assert_eq!(broker.relay(&queue(), &news()).await.unwrap(), 1);
    assert_eq!(ready(&broker).await, 3);
}

#[tokio::test]
async fn an_outbox_that_nobody_would_look_at_is_named_and_a_repair_has_it_looked_at() {
    let server = Server::start();
    let broker = server.broker().await;
    follow(&broker, &["1"]).await;
    assert_eq!(broker.relay(&queue(), &news()).await.unwrap(), 1);
    follow(&broker, &["2"]).await;
    let _: i64 = server.run("DEL {actor:mail}:outboxes");
    let audit = broker.audit(&queue(), 1_000).await.unwrap();
    let text: Vec<_> = audit.violations.iter().map(ToString::to_string).collect();
    let expected = "{actor:mail}:outboxes: `news` is a queue for which messages wait, and is not listed here: it was \
                    deleted by hand: `RedisBroker::repair` puts it back";
    assert_eq!(text, [expected]);
    assert_eq!(broker.repair(&queue()).await.unwrap().outboxes, 1);
    assert_eq!(broker.audit(&queue(), 1_000).await.unwrap().violations, []);
    assert_eq!(broker.list_outboxes(&queue()).await.unwrap().len(), 1);
    assert_eq!(broker.counts(&queue()).await.unwrap().outgoing, 1);
}

#[tokio::test]
async fn an_entry_that_is_no_message_is_an_error_and_stays() {
    let server = Server::start();
    let broker = server.broker().await;
    follow(&broker, &["1"]).await;
    let _: String = server.run("XADD {actor:mail}:outbox:news * a b");
    let error = broker.relay(&queue(), &news()).await.unwrap_err();
    assert!(error.to_string().contains("outbox"), "{error}");
    assert_eq!(broker.counts(&queue()).await.unwrap().outgoing, 2);
}

#[tokio::test]
async fn what_is_refused_stays_in_its_place() {
    let server = Server::start();
    let broker = server.broker().await;
    follow(&broker, &["1", "2"]).await;
    let _: String = server.run("SET {actor:news}:ready:normal mine");
    let error = broker.relay(&queue(), &news()).await.unwrap_err();
    assert!(!error.is_unavailable() && error.to_string().contains("something else under a key"), "{error}");
    assert_eq!(broker.counts(&queue()).await.unwrap().outgoing, 2);
    let _: i64 = server.run("DEL {actor:news}:ready:normal");
    assert_eq!(broker.relay(&queue(), &news()).await.unwrap(), 2);
    let bodies: Vec<(String, [String; 2])> = server.run("XRANGE {actor:news}:ready:normal - +");
    assert_eq!(bodies.iter().map(|(_, [_, body])| body.as_str()).collect::<Vec<_>>(), ["1", "2"]);
}
