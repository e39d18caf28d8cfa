use std::time::Duration;

use actor_core::broker::{Broker, Enqueue};
use actor_core::control::{Cancelled, Change, Control, Deleted, Filter, Rescheduled};
use actor_core::settlement::{Outcome, Settled};
use actor_core::{Inspect, MessageId, Priority};
use actor_redis::RedisBroker;

use crate::server::{LEASE, Server, claim, queue, send, settle, worker};

const HOUR: Duration = Duration::from_secs(3600);

fn body(id: MessageId, args: &str) -> String {
    format!(r#"{{"v":1,"id":"{id}","actor":"a","queue":"mail","args":[{args}]}}"#)
}

fn of(id: MessageId) -> Enqueue {
    Enqueue::new(id, Priority::Normal, body(id, "").into())
}

fn id(text: &str) -> MessageId {
    text.parse().unwrap()
}

/// Made years ago, now, in years, and without a time.
fn ids() -> [MessageId; 4] {
    let ids = ["01800000-0000-7000-8000-000000000001", "02800000-0000-7000-8000-000000000002"].map(id);
    [ids[0], MessageId::new(), ids[1], id("2b0c8a3e-3f0e-4d5c-9a59-1b2f1b0c7f11")]
}

#[tokio::test]
async fn a_message_is_found_among_thousands_whatever_time_its_id_says() {
    let server = Server::start();
    let broker = server.broker().await;
    worker(&broker).await;
    let all = ids();
    for id in all {
        send(&broker, (0..700).map(|_| of(MessageId::new())).collect()).await;
        send(&broker, vec![of(id)]).await;
        send(&broker, (0..700).map(|_| of(MessageId::new())).collect()).await;
    }
    let [old, now, future, timeless] = all;
    assert_eq!(broker.cancel(&queue(), old).await.unwrap(), Cancelled::Removed);
    assert_eq!(broker.cancel(&queue(), now).await.unwrap(), Cancelled::Removed);
    assert_eq!(broker.reschedule(&queue(), future, HOUR).await.unwrap(), Rescheduled::Moved);
    assert_eq!(broker.delete_by_id(&queue(), timeless).await.unwrap(), Deleted::Removed);
    assert_eq!(broker.cancel(&queue(), old).await.unwrap(), Cancelled::NotFound);
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.scheduled), (4 * 1_400, 1));
    assert_eq!(server.run::<i64>("EXISTS {actor:mail}:cancelled"), 0, "nothing is remembered of what was removed");
}

#[tokio::test]
async fn a_message_that_names_another_is_not_that_one() {
    let server = Server::start();
    let broker = server.broker().await;
    worker(&broker).await;
    let (parent, child) = (MessageId::new(), MessageId::new());
    let names_it = Enqueue::new(child, Priority::Normal, body(child, &format!(r#"{{"id":"{parent}"}}"#)).into());
    send(&broker, vec![names_it]).await;
    assert_eq!(broker.cancel(&queue(), parent).await.unwrap(), Cancelled::NotFound);
    assert_eq!(broker.cancel(&queue(), child).await.unwrap(), Cancelled::Removed);
}

/// As where it is released or retried between the note and the search.
#[tokio::test]
async fn a_message_that_ends_while_it_is_looked_for_was_cancelled() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let id = MessageId::new();
    send(&broker, vec![of(id)]).await;
    let delivery = claim(&broker, &consumer, 1).await.remove(0);
    assert_eq!(broker.cancel(&queue(), id).await.unwrap(), Cancelled::Requested);
    let retry = Outcome::Reschedule { id, priority: Priority::Normal, body: delivery.body, after: HOUR };
    assert_eq!(settle(&broker, &consumer, delivery.receipt, retry.into()).await, Settled::Cancelled);
    finds_its_end(&server, &broker, id).await;
}

/// As where its worker has heard of it in that time.
#[tokio::test]
async fn a_message_whose_worker_ends_it_while_it_is_looked_for_was_cancelled() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let id = MessageId::new();
    send(&broker, vec![of(id)]).await;
    let delivery = claim(&broker, &consumer, 1).await.remove(0);
    assert_eq!(broker.cancel(&queue(), id).await.unwrap(), Cancelled::Requested);
    assert_eq!(settle(&broker, &consumer, delivery.receipt, Outcome::Cancelled { id }.into()).await, Settled::Applied);
    finds_its_end(&server, &broker, id).await;
}

/// A search that comes too late finds what the settlement has left for it.
async fn finds_its_end(server: &Server, broker: &RedisBroker, id: MessageId) {
    assert_eq!(broker.cancel(&queue(), id).await.unwrap(), Cancelled::Removed);
    assert_eq!(broker.cancel(&queue(), id).await.unwrap(), Cancelled::NotFound);
    assert_eq!(server.run::<i64>("EXISTS {actor:mail}:cancelled"), 0);
}

#[tokio::test]
async fn a_worker_hears_of_each_cancelled_message_once_however_many_there_are() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, (0..1_500).map(|_| of(MessageId::new())).collect()).await;
    for _ in 0..3 {
        claim(&broker, &consumer, 500).await;
    }
    let in_flight = broker.counts(&queue()).await.unwrap().in_flight;
    let all = broker.change_all(&queue(), Change::Cancel, &Filter::new()).await.unwrap();
    assert_eq!(all.changed + all.requested, 1_500);
    assert_eq!(all.requested, in_flight);
    let mut heard = 0;
    loop {
        let renewal = broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap();
        let ids: usize = renewal.cancelled.iter().map(|(_, ids)| ids.len()).sum();
        assert!(ids <= 1_000, "one renewal is bounded");
        heard += ids;
        if ids == 0 {
            break;
        }
    }
    assert_eq!(heard as u64, in_flight);
}

#[tokio::test]
async fn what_is_remembered_of_cancelled_messages_ends_after_a_day() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let id = MessageId::new();
    send(&broker, vec![of(id)]).await;
    claim(&broker, &consumer, 1).await;
    let _: i64 = server.run(&format!("ZADD {{actor:mail}}:cancelled 1 {}", MessageId::new()));
    assert_eq!(broker.cancel(&queue(), id).await.unwrap(), Cancelled::Requested);
    assert_eq!(server.run::<Vec<String>>("ZRANGE {actor:mail}:cancelled 0 -1"), [id.to_string()]);
    let day_ms = 24 * 3600 * 1000;
    assert!((1..=day_ms).contains(&server.run::<i64>("PTTL {actor:mail}:cancelled")));
    // And with it what heartbeats see.
    let _: i64 = server.run("DEL {actor:mail}:cancelled");
    broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap();
    assert_eq!(server.run::<Option<f64>>("ZSCORE {actor:mail}:workers cancelled"), None);
}

/// As where a replica was promoted that lacked the last of them.
#[tokio::test]
async fn a_worker_hears_of_what_is_cancelled_after_its_server_has_lost_what_it_had_heard_of() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let ids = [MessageId::new(), MessageId::new()];
    send(&broker, ids.map(of).into()).await;
    claim(&broker, &consumer, 2).await;
    let heard = async || broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap().cancelled;
    for id in ids {
        assert_eq!(broker.cancel(&queue(), id).await.unwrap(), Cancelled::Requested);
    }
    assert_eq!(heard().await, [(queue(), ids.to_vec())]);
    let _: i64 = server.run(&format!("ZREM {{actor:mail}}:cancelled {}", ids[1]));
    assert_eq!(heard().await, []);
    let third = MessageId::new();
    // Its clock is behind.
    let _: i64 = server.run(&format!("ZADD {{actor:mail}}:cancelled 5 {third}"));
    assert!(heard().await.iter().any(|(_, ids)| ids.contains(&third)));
}

#[tokio::test]
async fn a_user_with_the_documented_permissions_can_control_messages() {
    let server = Server::start();
    let broker = crate::refusals::documented(&server, "actor").await;
    let consumer = worker(&broker).await;
    let [held, cancelled, moved] = [(); 3].map(|()| MessageId::new());
    send(&broker, vec![of(held)]).await;
    claim(&broker, &consumer, 1).await;
    send(&broker, [cancelled, moved].map(of).into()).await;
    assert_eq!(broker.cancel(&queue(), held).await.unwrap(), Cancelled::Requested);
    assert_eq!(broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap().cancelled.len(), 1);
    assert_eq!(broker.cancel(&queue(), cancelled).await.unwrap(), Cancelled::Removed);
    for (delay, all) in [(HOUR, 2 * HOUR), (Duration::ZERO, HOUR)] {
        assert_eq!(broker.reschedule(&queue(), moved, delay).await.unwrap(), Rescheduled::Moved);
        let all = broker.change_all(&queue(), Change::Reschedule(all), &Filter::new()).await.unwrap();
        assert_eq!(all.changed, 1);
    }
    assert_eq!(broker.delete_by_id(&queue(), moved).await.unwrap(), Deleted::Removed);
    assert_eq!(broker.delete_by_id(&queue(), moved).await.unwrap(), Deleted::NotFound);
    broker.change_all(&queue(), Change::Delete, &Filter::new()).await.unwrap();
    let denied: Vec<redis::Value> = server.run("ACL LOG");
    assert!(denied.is_empty(), "{denied:?}");
}
