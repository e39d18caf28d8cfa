use std::time::Duration;

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_redis::RedisBroker;

use super::failover::{assert_all, assert_once, under_load};
use super::members::Cluster;
use super::{consumers, name};
use crate::server::{LEASE, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_queue_whose_slot_is_moved_back_and_forth_loses_and_doubles_nothing() {
    let mut cluster = Cluster::of(3, 0, &[]);
    let queues: Vec<_> = (0..3).flat_map(|at| cluster.queues_of(at, 1)).collect();
    let slot = cluster.slot(&queues[0]);
    let all = under_load(&mut cluster, &queues, |cluster| {
        for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 1), (1, 0)] {
            cluster.begin_to_migrate(slot, from, to);
            while cluster.migrate_key(slot, from, to) {
                std::thread::sleep(Duration::from_millis(20)); // In the middle of it something is to happen.
            }
            // What is left behind by those who wrote meanwhile is moved too.
            std::thread::sleep(Duration::from_millis(20));
            while cluster.migrate_key(slot, from, to) {}
            cluster.assign(slot, to, &[to, from]);
            std::thread::sleep(Duration::from_millis(300)); // It is served for a while.
        }
    })
    .await;
    for (queue, (sent, delivered)) in queues.iter().zip(&all) {
        assert_once(sent, delivered);
        assert_all(sent, delivered);
        assert!(sent.unknown.is_empty(), "{queue}: {:?}", sent.unknown);
        assert!(*queue == queues[0] || sent.refused.is_empty(), "{queue}: {:?}", sent.refused);
    }
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    for queue in &queues {
        assert_eq!(broker.counts(&name(queue)).await.unwrap().outstanding(), 0);
        let audit = broker.audit(&name(queue), 1_000).await.unwrap();
        assert!(audit.violations.is_empty(), "{audit:?}");
    }
}

#[tokio::test]
async fn scripts_are_asked_for_where_their_keys_are_and_told_there_too() {
    let cluster = Cluster::of(2, 0, &[]);
    let queues = cluster.queues_of(0, 1);
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let later = || vec![message("later").after(LEASE)];
    // A worker, so that the queue has the keys that the script names.
    consumers(&broker, &queues).await;
    broker.enqueue(&name(&queues[0]), later()).await.remove(0).unwrap();
    let slot = cluster.slot(&queues[0]);
    cluster.begin_to_migrate(slot, 0, 1);
    while cluster.migrate_key(slot, 0, 1) {}
    for known in [false, true] {
        if !known {
            cluster.ask(1, "SCRIPT FLUSH");
        }
        broker.enqueue(&name(&queues[0]), later()).await.remove(0).unwrap();
    }
    assert_eq!(cluster.serves(slot), Some(0), "it is still the former's");
    cluster.assign(slot, 1, &[1, 0]);
    assert_eq!(cluster.ask(1, &format!("ZCARD {{actor:{}}}:scheduled", queues[0])), "3");
}

#[tokio::test]
async fn a_queue_whose_keys_are_on_two_members_is_refused_scripts_and_nothing_happened() {
    let cluster = Cluster::of(2, 0, &[]);
    let queues = cluster.queues_of(0, 1);
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    consumers(&broker, &queues).await;
    let slot = cluster.slot(&queues[0]);
    cluster.begin_to_migrate(slot, 0, 1);
    // One of the keys that the script names.
    let wake = format!("MIGRATE 127.0.0.1 {} {{actor:{}}}:wake 0 5000", cluster.port(1), queues[0]);
    assert_eq!(cluster.ask(0, &wake), "OK");
    let both = vec![message("now"), message("later").after(LEASE)];
    let answers = broker.enqueue(&name(&queues[0]), both).await;
    assert!(answers[0].is_ok(), "{:?}", answers[0]);
    let refused = answers[1].as_ref().unwrap_err();
    assert!(refused.is_transient() && !refused.is_unknown(), "{refused}");
    while cluster.migrate_key(slot, 0, 1) {}
    cluster.assign(slot, 1, &[1, 0]);
    let counts = broker.counts(&name(&queues[0])).await.unwrap();
    assert_eq!((counts.ready, counts.scheduled), (1, 0));
}
