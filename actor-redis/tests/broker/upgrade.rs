//! Primaries that are replaced on purpose, as docs/running-redis.md says: nothing is lost that they acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_core::delivery::Consumer;
use actor_redis::RedisBroker;
use tokio::task::JoinHandle;

use crate::cluster::members::Cluster;
use crate::sentinel::failover::send_until_stored;
use crate::sentinel::set::Set;
use crate::server::{bodies, claim, message, queue, worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_by_hand_during_a_pause_loses_nothing_that_was_acknowledged() {
    let set = Set::start();
    let sender = Sender::start(RedisBroker::connect(&set.url()).await.unwrap()).await;

    let _: String = set.primary().run("CLIENT PAUSE 20000 WRITE");
    while !replicas_have_everything(&set) {
        tokio::task::yield_now().await;
    }
    let _: String = set.sentinels[0].run("SENTINEL FAILOVER mymaster");

    let (_, _set) = tokio::task::spawn_blocking(move || (set.until_all_moved_on(), set)).await.unwrap();
    sender.lost_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_in_a_cluster_loses_nothing_that_was_acknowledged() {
    let cluster = Cluster::start();
    let sender = Sender::start(RedisBroker::connect(&cluster.url()).await.unwrap()).await;
    let (slot, replica) = (cluster.slot("mail"), cluster.primary_of("mail") + 3);

    assert_eq!(cluster.ask(replica, "CLUSTER FAILOVER"), "OK");

    while cluster.serves(slot) != Some(replica) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sender.lost_nothing().await;
}

/// Who sends message after message, with a worker that runs nothing yet.
struct Sender {
    broker: RedisBroker,
    consumer: Consumer,
    over: Arc<AtomicBool>,
    acknowledged: JoinHandle<BTreeSet<String>>,
}

impl Sender {
    /// Returns once it has sent some.
    async fn start(broker: RedisBroker) -> Self {
        let consumer = worker(&broker).await;
        let over = Arc::new(AtomicBool::new(false));
        let acknowledged = tokio::spawn(sends_until(broker.clone(), Arc::clone(&over)));
        while broker.counts(&queue()).await.unwrap().ready < 100 {
            tokio::task::yield_now().await;
        }
        Self { broker, consumer, over, acknowledged }
    }

    /// Sends once more where the queue is now, and looks for all that was acknowledged.
    async fn lost_nothing(self) {
        send_until_stored(&self.broker, "after").await;
        self.over.store(true, Ordering::Relaxed);
        let acknowledged = self.acknowledged.await.unwrap();
        let there = self.broker.counts(&queue()).await.unwrap().ready;
        let mut found = Vec::new();
        while (found.len() as u64) < there {
            found.extend(bodies(&claim(&self.broker, &self.consumer, 500).await));
        }
        let found: BTreeSet<_> = found.into_iter().collect();
        let lost = acknowledged.difference(&found).count();
        assert_eq!(lost, 0, "of {}, beside {there} that are there", acknowledged.len());
    }
}

/// Sends message after message. Those that were acknowledged.
async fn sends_until(broker: RedisBroker, over: Arc<AtomicBool>) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let body = number.to_string();
        if broker.enqueue(&queue(), vec![message(&body)]).await.remove(0).is_ok() {
            acknowledged.insert(body);
        }
        tokio::task::yield_now().await;
    }
    acknowledged
}

/// As `INFO replication` says: each replica's offset is the primary's.
fn replicas_have_everything(set: &Set) -> bool {
    let info: String = set.primary().run("INFO replication");
    let offset = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:")).unwrap();
    let replicas: Vec<_> = info.lines().filter(|line| line.starts_with("slave") && line.contains("offset=")).collect();
    !replicas.is_empty() && replicas.iter().all(|replica| replica.contains(&format!("offset={offset},")))
}
