//! The life of a message: stored, in flight, and settled in each of the four ways.

use std::time::Duration;

use actor_core::Priority;
use actor_core::broker::Broker;
use actor_core::delivery::{Renewal, Wait};
use actor_core::settlement::{Outcome, Settled};

use crate::server::{
    LEASE, Server, bodies, claim, dead_letter, end_lease, message, message_of, queue, release, retry, send, settle,
    wait_and_claim, worker,
};

#[tokio::test]
async fn a_message_that_is_done_leaves_nothing_behind() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("one")]).await;
    let mut delivered = claim(&broker, &consumer, 10).await;
    assert_eq!(bodies(&delivered), ["one"]);
    assert_eq!(delivered[0].crashes, 0);
    let receipt = delivered.remove(0).receipt;
    let again = receipt.clone();
    assert_eq!(settle(&broker, &consumer, receipt, Outcome::Done.into()).await, Settled::Applied);
    assert_eq!(settle(&broker, &consumer, again, Outcome::Done.into()).await, Settled::Stale);
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 0);
    assert!(claim(&broker, &consumer, 10).await.is_empty());
}

#[tokio::test]
async fn a_retried_message_comes_back_in_its_new_form_when_it_is_due() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("first")]).await;
    let delivered = claim(&broker, &consumer, 1).await.remove(0);
    let retry = retry("second", Duration::from_millis(50));
    assert_eq!(settle(&broker, &consumer, delivered.receipt, retry).await, Settled::Applied);
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:scheduled"), 1);
    assert_eq!(bodies(&wait_and_claim(&broker, &consumer).await), ["second"]);
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:scheduled"), 0);
    assert_eq!(server.run::<i64>("HLEN {actor:mail}:scheduled:bodies"), 0);
}

#[tokio::test]
async fn a_dead_lettered_message_is_kept_with_its_reason() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("first")]).await;
    let delivered = claim(&broker, &consumer, 1).await.remove(0);
    assert_eq!(settle(&broker, &consumer, delivered.receipt, dead_letter("last", "it broke")).await, Settled::Applied);
    assert_eq!(server.run::<Vec<String>>("HVALS {actor:mail}:dead:bodies"), ["last"]);
    assert_eq!(server.run::<Vec<String>>("HVALS {actor:mail}:dead:reasons"), ["it broke"]);
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:dead"), 1);
    assert!(claim(&broker, &consumer, 1).await.is_empty());
}

#[tokio::test]
async fn a_released_message_goes_before_what_waits_of_its_priority() {
    let server = Server::start();
    let broker = server.broker().await;
    let (one, two) = (worker(&broker).await, worker(&broker).await);
    send(&broker, vec![message("a"), message_of(Priority::High, "b")]).await;
    let delivered = claim(&broker, &one, 2).await;
    assert_eq!(bodies(&delivered), ["b", "a"]);
    send(&broker, vec![message_of(Priority::High, "c"), message("d")]).await;
    for delivery in delivered {
        let body = String::from_utf8(delivery.body.to_vec()).unwrap();
        assert_eq!(settle(&broker, &one, delivery.receipt, release(&body)).await, Settled::Applied);
    }
    assert_eq!(bodies(&claim(&broker, &two, 5).await), ["b", "c", "a", "d"]);
}

#[tokio::test]
async fn what_a_dead_worker_held_is_recovered_and_it_learns_that_its_lease_is_lost() {
    let server = Server::start();
    let broker = server.broker().await;
    let (dead, alive) = (worker(&broker).await, worker(&broker).await);
    send(&broker, vec![message("a"), message("b")]).await;
    assert_eq!(claim(&broker, &dead, 5).await.len(), 2);
    assert!(broker.recover(&alive, 5, Duration::ZERO).await.unwrap().is_empty());
    end_lease(&server, &dead);
    let renewed = broker.renew(&alive.worker, &[queue()], LEASE).await.unwrap();
    assert!(renewed.deaths);
    let recovered = broker.recover(&alive, 5, Duration::ZERO).await.unwrap();
    assert_eq!(bodies(&recovered), ["a", "b"]);
    assert!(recovered.iter().all(|delivery| delivery.crashes == 1));
    assert_eq!(broker.renew(&dead.worker, &[queue()], LEASE).await.unwrap(), Renewal::lost());
    let renewed = broker.renew(&alive.worker, &[queue()], LEASE).await.unwrap();
    assert_eq!(renewed, Renewal::held());
}

#[tokio::test]
async fn a_waiting_claim_gets_what_arrives() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let waiting = tokio::spawn({
        let (broker, consumer) = (broker.clone(), consumer.clone());
        async move { wait_and_claim(&broker, &consumer).await }
    });
    server.until_a_read_waits().await;
    send(&broker, vec![message("late")]).await;
    assert_eq!(bodies(&waiting.await.unwrap()), ["late"]);
}

#[tokio::test]
async fn a_stopped_claim_ends_at_once() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let wait = Wait::new(Duration::from_secs(3600));
    let waiting = tokio::spawn({
        let (broker, consumer, wait) = (broker.clone(), consumer.clone(), wait.clone());
        async move { broker.claim(&consumer, 1, &wait).await }
    });
    server.until_a_read_waits().await;
    wait.stop();
    // A read that waits ends within fifteen seconds by itself.
    let stopped = tokio::time::timeout(Duration::from_secs(4), waiting).await.unwrap();
    assert!(stopped.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn a_deregistered_worker_leaves_no_trace() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("a")]).await;
    let delivered = claim(&broker, &consumer, 1).await.remove(0);
    settle(&broker, &consumer, delivered.receipt, Outcome::Done.into()).await;
    broker.deregister(&consumer.worker, &[queue()]).await.unwrap();
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:workers"), 0);
    let consumers: Vec<redis::Value> = server.run("XINFO CONSUMERS {actor:mail}:ready:normal workers");
    assert!(consumers.is_empty());
}
