//! A broker that has lost its leases: to whoever comes back first, all others seem dead.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actor_core::broker::Broker as _;
use actor_core::delivery::{Consumer, Delivery, Renewal, WorkerId};
use actor_core::{Actor, BrokerError, MemoryBroker, QueueName, Worker, actor};
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::hooked::{Hooked, Hooks};

/// Only what hangs takes so long.
const HANGS: Duration = Duration::from_secs(30);

#[actor(queue = "mail")]
async fn welcome() {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Renewed,
    /// A renewal that made the lease again.
    Forgotten,
    Recover,
}

/// A broker that loses its leases on demand. Until then, some worker always seems dead.
#[derive(Debug)]
struct Forgetful {
    memory: MemoryBroker,
    calls: UnboundedSender<Call>,
    hints: AtomicBool,
    loses: AtomicBool,
}

#[async_trait]
impl Hooks for Forgetful {
    fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError> {
        let mut renewal = self.memory.renew(worker, queues, lease).await?;
        renewal.deaths = self.hints.load(Ordering::SeqCst);
        let loses = self.loses.swap(false, Ordering::SeqCst);
        renewal.forgotten = if loses { queues.to_vec() } else { Vec::new() };
        self.calls.send(if loses { Call::Forgotten } else { Call::Renewed }).unwrap();
        Ok(renewal)
    }

    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.calls.send(Call::Recover).unwrap();
        self.memory.recover(consumer, max, grace).await
    }
}

async fn next(calls: &mut UnboundedReceiver<Call>) -> Call {
    timeout(HANGS, calls.recv()).await.expect("the worker calls its broker").unwrap()
}

/// How often a worker renews its lease, after it was made again, before it recovers.
async fn renewals_before_it_recovers(hinted: bool) -> u32 {
    let (sender, mut calls) = unbounded_channel();
    let (hints, loses) = (AtomicBool::new(true), AtomicBool::new(false));
    let broker = Arc::new(Hooked(Forgetful { memory: MemoryBroker::new(), calls: sender, hints, loses }));
    let (stop, stopped) = oneshot::channel::<()>();
    let queue = welcome::DEF.queue_name();
    let worker = Worker::builder(Arc::clone(&broker)).queues([queue]).lease(Duration::from_secs(1));
    let watch = async {
        while next(&mut calls).await != Call::Recover {}
        broker.hints.store(hinted, Ordering::SeqCst);
        broker.loses.store(true, Ordering::SeqCst);
        while next(&mut calls).await != Call::Forgotten {}
        let mut renewals = 0;
        while next(&mut calls).await != Call::Recover {
            renewals += 1;
        }
        drop(stop);
        renewals
    };
    let (ended, renewals) = tokio::join!(worker.run_until(async { drop(stopped.await) }), watch);
    ended.unwrap();
    renewals
}

#[tokio::test]
async fn whose_lease_was_forgotten_declares_nobody_dead_for_one_lease() {
    let renewals = renewals_before_it_recovers(true).await;
    // There are three in a lease, and fewer on a slow machine.
    assert!(renewals >= 2, "it recovers after {renewals} renewals");
}

#[tokio::test]
async fn whose_lease_was_forgotten_looks_for_the_dead_after_one_lease_without_a_hint() {
    let renewals = renewals_before_it_recovers(false).await;
    // Without a hint it is 30 s from one recovery to the next, and three renewals a second.
    assert!((2..30).contains(&renewals), "it recovers after {renewals} renewals");
}
