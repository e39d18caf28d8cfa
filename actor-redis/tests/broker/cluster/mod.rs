//! Clusters: queues on several primaries, members that fail, and slots that move.

/// A connection that is cut at each byte of a redirection.
mod cut;
/// What each primary has to confirm.
mod durable;
/// Members that are away, and replicas that take their place.
mod failover;
/// The servers.
pub(crate) mod members;
/// Slots that are moved under load.
mod reshard;
/// Which member is asked, and by which address.
pub(crate) mod routing;
/// What is asked of each member, and what it is shown.
mod settings;
/// A wire that can be cut.
mod wire;

use std::time::Duration;

use actor_core::QueueName;
use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Delivery, Wait, WorkerId};
use actor_redis::RedisBroker;
use tokio::task::JoinHandle;

use self::members::Cluster;
use crate::server::LEASE;

fn name(queue: &str) -> QueueName {
    queue.parse().unwrap()
}

/// A worker of these queues, registered, as a consumer of each.
async fn consumers(broker: &RedisBroker, queues: &[String]) -> Vec<Consumer> {
    let (worker, names) = (WorkerId::new("worker"), queues.iter().map(|queue| name(queue)).collect::<Vec<_>>());
    broker.register(&worker, &names, LEASE).await.unwrap();
    names.into_iter().map(|queue| Consumer::new(worker.clone(), queue)).collect()
}

/// Claims what is there now, whatever has to be asked again for it.
async fn claim_all(broker: &RedisBroker, consumer: &Consumer) -> Vec<Delivery> {
    let (mut all, mut in_vain) = (Vec::new(), 0);
    while in_vain < 3 {
        match broker.claim(consumer, 100, &Wait::new(Duration::ZERO)).await {
            Ok(delivered) if delivered.is_empty() => in_vain += 1,
            Ok(delivered) => all.extend(delivered),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    all
}

/// A claim that waits at a member, until something is delivered: by whichever member has it then.
async fn waits_at(
    cluster: &Cluster,
    at: usize,
    broker: &RedisBroker,
    consumer: &Consumer,
) -> JoinHandle<Vec<Delivery>> {
    let (broker, consumer) = (broker.clone(), consumer.clone());
    let waiting = tokio::spawn(async move {
        loop {
            match broker.claim(&consumer, 1, &Wait::new(LEASE)).await {
                // Another member answered: the next claim looks for what was lost.
                Ok(delivered) if delivered.is_empty() => {}
                Ok(delivered) => return delivered,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // As a worker's pause.
        }
    });
    while !cluster.ask(at, "CLIENT LIST").contains("flags=b") {
        tokio::task::yield_now().await;
    }
    waiting
}
