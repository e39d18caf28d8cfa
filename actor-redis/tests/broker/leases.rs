use std::time::Duration;

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Renewal, WorkerId};
use actor_core::settlement::{Outcome, Settled};

use crate::server::{
    LEASE, Server, bodies, claim, dead_letter, end_lease, message, queue, release, retry, send, settle, worker,
};

#[tokio::test]
async fn a_lease_that_ended_unnoticed_is_prolonged() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    end_lease(&server, &consumer);
    let renewed = broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap();
    assert_eq!(renewed, Renewal::held());
    // Twice in one millisecond is no different.
    for _ in 0..20 {
        let renewed = broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap();
        assert_eq!(renewed, Renewal::held());
    }
}

#[tokio::test]
async fn a_lease_that_is_missing_at_one_queue_is_made_again_unless_the_worker_was_declared_dead_there() {
    let server = Server::start();
    let broker = server.broker().await;
    let worker = WorkerId::new("worker");
    let queues = [queue(), "reports".parse().unwrap()];
    broker.register(&worker, &queues, LEASE).await.unwrap();
    assert_eq!(broker.renew(&worker, &queues, LEASE).await.unwrap(), Renewal::held());
    let _: i64 = server.run("DEL {actor:reports}:workers");
    let renewed = broker.renew(&worker, &queues, LEASE).await.unwrap();
    assert_eq!((renewed.held, renewed.forgotten), (true, queues[1..].to_vec()));
    let other = Consumer::new(WorkerId::new("other"), queues[1].clone());
    broker.register(&other.worker, &queues[1..], LEASE).await.unwrap();
    let _: i64 = server.run(&format!("ZADD {{actor:reports}}:workers 1 {worker}"));
    assert!(broker.recover(&other, 10, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(broker.renew(&worker, &queues, LEASE).await.unwrap(), Renewal::lost());
}

#[tokio::test]
async fn a_zombies_late_success_counts_and_its_late_failure_does_not() {
    let server = Server::start();
    let broker = server.broker().await;
    let (zombie, alive) = (worker(&broker).await, worker(&broker).await);
    send(&broker, ["done", "retry", "dead-letter", "release"].map(message).into()).await;
    let mut late = claim(&broker, &zombie, 10).await.into_iter().map(|delivery| delivery.receipt);
    end_lease(&server, &zombie);
    let mut held = broker.recover(&alive, 10, Duration::ZERO).await.unwrap();
    assert_eq!(held.len(), 4);
    assert_eq!(settle(&broker, &zombie, late.next().unwrap(), Outcome::Done.into()).await, Settled::Applied);
    for failure in [retry("late", Duration::ZERO), dead_letter("late", "late"), release("late")] {
        assert_eq!(settle(&broker, &zombie, late.next().unwrap(), failure).await, Settled::Stale);
    }
    // What the zombie did is done; what it failed at is still the other's.
    let done = held.remove(0).receipt;
    assert_eq!(settle(&broker, &alive, done, Outcome::Done.into()).await, Settled::Stale);
    for delivery in held {
        assert_eq!(settle(&broker, &alive, delivery.receipt, Outcome::Done.into()).await, Settled::Applied);
    }
    assert!(claim(&broker, &alive, 10).await.is_empty());
    assert_eq!(server.run::<i64>("EXISTS {actor:mail}:scheduled {actor:mail}:dead"), 0);
}

#[tokio::test]
async fn a_batch_that_is_partly_settled_is_applied() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, ["a", "b", "c"].map(message).into()).await;
    let receipts: Vec<_> = claim(&broker, &consumer, 3).await.into_iter().map(|delivery| delivery.receipt).collect();
    assert_eq!(settle(&broker, &consumer, receipts[1].clone(), Outcome::Done.into()).await, Settled::Applied);
    let batch: Vec<_> = receipts.iter().map(|receipt| (receipt.clone(), Outcome::Done.into())).collect();
    for answer in broker.settle(&consumer, &batch).await {
        assert_eq!(answer.unwrap(), Settled::Applied);
    }
    for answer in broker.settle(&consumer, &batch).await {
        assert_eq!(answer.unwrap(), Settled::Stale);
    }
}

#[tokio::test]
async fn every_kind_of_settlement_goes_in_one_call() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, (0..400).map(|number| message(&number.to_string())).collect()).await;
    let delivered = claim(&broker, &consumer, 400).await;
    let settlements: Vec<_> = delivered
        .into_iter()
        .enumerate()
        .map(|(index, delivery)| {
            let settlement = match index % 4 {
                0 => Outcome::Done.into(),
                1 => retry("again", Duration::from_secs(3600)),
                2 => dead_letter("dead", "why"),
                _ => release("back"),
            };
            (delivery.receipt, settlement)
        })
        .collect();
    for answer in broker.settle(&consumer, &settlements).await {
        assert_eq!(answer.unwrap(), Settled::Applied);
    }
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.scheduled, counts.dead), (100, 0, 100, 100));
    assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["back"]);
}

#[tokio::test]
async fn a_worker_that_starts_again_under_its_name_is_another_one() {
    let server = Server::start();
    let broker = server.broker().await;
    let (before, after) = (worker(&broker).await, worker(&broker).await);
    assert_ne!(before.worker, after.worker);
    send(&broker, vec![message("a")]).await;
    claim(&broker, &before, 1).await;
    assert!(claim(&broker, &after, 1).await.is_empty());
    end_lease(&server, &before);
    assert_eq!(bodies(&broker.recover(&after, 1, Duration::ZERO).await.unwrap()), ["a"]);
}

#[test]
fn a_lease_is_renewed_while_the_runtime_of_everything_else_is_blocked() {
    let server = Server::start();
    let blocked = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Everything else has its connections on this runtime, which nothing drives from here on.
    let (broker, consumer) = blocked.block_on(async {
        let broker = server.broker().await;
        let consumer = worker(&broker).await;
        assert!(claim(&broker, &consumer, 1).await.is_empty());
        (broker, consumer)
    });
    let heartbeat = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    heartbeat.block_on(async {
        let renewed = broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap();
        assert_eq!(renewed, Renewal::held());
        broker.deregister(&consumer.worker, &[queue()]).await.unwrap();
    });
}

#[test]
fn a_broker_outlives_the_runtime_that_connected_it() {
    let server = Server::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let broker = runtime().block_on(server.broker());
    for number in 0..3 {
        runtime().block_on(send(&broker, vec![message(&number.to_string())]));
    }
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 3);
}

#[tokio::test]
async fn a_list_of_queues_that_was_lost_is_written_again_by_those_who_serve_them() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let _: i64 = server.run("DEL {actor}:queues");
    for _ in 0..16 {
        broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap();
    }
    assert_eq!(broker.queues().await.unwrap(), [queue()]);
}

#[tokio::test]
async fn a_recovery_that_stood_before_a_server_at_a_standstill_declares_nobody_dead() {
    let server = Server::start();
    let broker = server.broker().await;
    let (other, looking) = (worker(&broker).await, worker(&broker).await);
    assert!(broker.recover(&looking, 1, Duration::ZERO).await.unwrap().is_empty());
    send(&broker, vec![message("held")]).await;
    assert_eq!(claim(&broker, &other, 1).await.len(), 1);
    let lease = Duration::from_secs(1);
    assert_eq!(broker.renew(&other.worker, &[queue()], lease).await.unwrap(), Renewal::held());
    server.freeze();
    let looked = tokio::spawn({
        let broker = broker.clone();
        async move { broker.recover(&looking, 1, Duration::ZERO).await }
    });
    // The other's renewal stands behind it.
    tokio::time::sleep(lease * 2).await;
    server.thaw();
    assert!(looked.await.unwrap().unwrap().is_empty());
    assert_eq!(broker.renew(&other.worker, &[queue()], LEASE).await.unwrap(), Renewal::held());
}
