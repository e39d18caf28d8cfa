use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actor_core::broker::{Broker, Enqueued};
use actor_core::{BrokerError, Durability, Inspect};
use actor_redis::RedisBroker;
use tokio::task::JoinHandle;

use super::members::{Cluster, await_that};
use super::{consumers, name};
use crate::server::{LEASE, message};

const ONE: Durability = Durability::Replicated(1);

async fn send_as(broker: &RedisBroker, queue: &str, body: &str) -> Result<Enqueued, BrokerError> {
    broker.enqueue(&name(queue), vec![message(body).durability(ONE)]).await.remove(0)
}

/// That a message is stored, and that this member's replicas did not confirm it.
fn is_unconfirmed_by(cluster: &Cluster, at: usize, answer: &Result<Enqueued, BrokerError>) {
    let error = answer.as_ref().unwrap_err();
    assert!(error.is_stored() && !error.is_unknown(), "{error}");
    assert!(error.to_string().contains("stored, not replicated: 0 of 1 replicas"), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{} ", cluster.port(at))), "{error}");
}

#[tokio::test]
async fn each_primary_confirms_what_it_stored() {
    let cluster = Cluster::start();
    let queues: Vec<_> = (0..3).flat_map(|at| cluster.queues_of(at, 2)).collect();
    let builder = RedisBroker::builder(&cluster.url()).unwrap();
    let broker = builder.durability(ONE).connect().await.unwrap();
    let send = |queue: &String| {
        let (broker, queue) = (broker.clone(), name(queue));
        // Some of them later, so that scripts are confirmed too.
        let messages = vec![message("now"), message("later").after(LEASE), message("now")];
        tokio::spawn(async move { broker.enqueue(&queue, messages).await })
    };
    for queue in &queues {
        assert!(send(queue).await.unwrap().iter().all(Result::is_ok));
        let keys = |at| cluster.ask(at, &format!("CLUSTER COUNTKEYSINSLOT {}", cluster.slot(queue)));
        let primary = cluster.primary_of(queue);
        assert_eq!(keys(primary + 3), keys(primary), "its replica has all of it");
    }
    cluster.freeze(4);
    let all: Vec<JoinHandle<_>> = queues.iter().map(send).collect();
    for (queue, answers) in queues.iter().zip(all) {
        for answer in answers.await.unwrap() {
            match cluster.primary_of(queue) {
                1 => is_unconfirmed_by(&cluster, 1, &answer),
                _ => assert!(answer.is_ok(), "{answer:?}"),
            }
        }
    }
    let mut listed = broker.queues().await.unwrap();
    let mut names: Vec<_> = queues.iter().map(|queue| name(queue)).collect();
    listed.sort_unstable();
    names.sort_unstable();
    assert_eq!(listed, names, "they are announced where the set is");
    cluster.thaw(4);
}

#[tokio::test]
async fn what_is_redirected_is_confirmed_by_whoever_stored_it() {
    let cluster = Cluster::of(2, 2, &[]);
    let (queue, other) = (cluster.queues_of(0, 1).remove(0), cluster.queues_of(0, 2).remove(1));
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    consumers(&broker, std::slice::from_ref(&queue)).await;
    for queue in [&queue, &other] {
        send_as(&broker, queue, "a").await.unwrap();
    }
    let later = vec![message("later").after(LEASE).durability(ONE)];
    broker.enqueue(&name(&queue), later.clone()).await.remove(0).unwrap();
    // At the same time, and so in one request: one is redirected, and the other is not.
    let both = || async { tokio::join!(send_as(&broker, &queue, "b"), send_as(&broker, &other, "b")) };
    let slot = cluster.slot(&queue);
    cluster.begin_to_migrate(slot, 0, 1);
    while cluster.migrate_key(slot, 0, 1) {}
    cluster.freeze(3);
    let (redirected, stayed) = both().await;
    is_unconfirmed_by(&cluster, 1, &redirected);
    stayed.unwrap();
    is_unconfirmed_by(&cluster, 1, &broker.enqueue(&name(&queue), later.clone()).await.remove(0));
    cluster.thaw(3);
    cluster.assign(slot, 1, &[1, 0]);
    cluster.freeze(3);
    let (moved, stayed) = both().await;
    is_unconfirmed_by(&cluster, 1, &moved);
    stayed.unwrap();
    cluster.thaw(3);
    // Back at the former, whose replica is to confirm what the other's did before.
    broker.enqueue(&name(&queue), later).await.remove(0).unwrap();
    cluster.migrate(slot, 1, 0);
    cluster.freeze(2);
    let (moved, stayed) = both().await;
    is_unconfirmed_by(&cluster, 0, &moved);
    is_unconfirmed_by(&cluster, 0, &stayed);
    cluster.thaw(2);
    let count = |at: usize, queue: &str| cluster.ask(at, &format!("XLEN {{actor:{queue}}}:ready:normal"));
    assert_eq!((count(0, &queue).as_str(), count(0, &other).as_str()), ("4", "4"), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_confirmed_survives_its_primary() {
    let mut cluster = Cluster::start();
    let queue = cluster.queues_of(0, 1).remove(0);
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let stop = Arc::<AtomicBool>::default();
    let sending = tokio::spawn({
        let (broker, queue, stop) = (broker.clone(), queue.clone(), Arc::clone(&stop));
        async move {
            let mut confirmed = Vec::new();
            for number in 0.. {
                let body = number.to_string();
                match send_as(&broker, &queue, &body).await {
                    Ok(_) => confirmed.push(body),
                    Err(_) if stop.load(Ordering::SeqCst) => break,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
            confirmed
        }
    });
    tokio::task::block_in_place(|| {
        let length = format!("XLEN {{actor:{queue}}}:ready:normal");
        let count = |cluster: &Cluster, at| cluster.ask(at, &length).parse().unwrap_or(0);
        await_that("it is busy", || count(&cluster, 0) > 100);
        // The replica alone has no replica, and so confirms nothing more.
        stop.store(true, Ordering::SeqCst);
        cluster.kill(0);
        await_that("its replica took over", || cluster.ask(3, "ROLE").starts_with("master") && count(&cluster, 3) > 0);
    });
    let confirmed = sending.await.unwrap();
    assert!(confirmed.len() > 50, "{}", confirmed.len());
    let stored = cluster.ask(3, &format!("XRANGE {{actor:{queue}}}:ready:normal - +"));
    let bodies: std::collections::BTreeSet<_> = stored.lines().collect();
    assert!(confirmed.iter().all(|body| bodies.contains(body.as_str())), "{} of {}", bodies.len(), confirmed.len());
}

#[tokio::test]
async fn a_primary_that_cannot_sync_is_named_and_its_queues_alone_store_nothing() {
    let cluster = Cluster::of(2, 0, &["--appendonly", "yes"]);
    let queue = cluster.queues_of(1, 1).remove(0);
    let synced = vec![message("a").durability(Durability::Synced)];
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let answer = broker.enqueue(&name(&queue), synced).await.remove(0);
    let builder = RedisBroker::builder(&cluster.url()).unwrap().durability(Durability::Synced);
    match builder.connect().await {
        // From Redis 7.2 on.
        Ok(_) => assert!(answer.is_ok(), "{answer:?}"),
        Err(error) => {
            assert!(error.is_unsupported(), "{error}");
            let refused = answer.unwrap_err();
            assert!(!refused.is_stored() && !refused.is_unknown(), "{refused}");
            let address = format!("127.0.0.1:{} is version", cluster.port(1));
            assert!(refused.to_string().contains(&address), "{refused}");
        }
    }
}
