//! A broker in memory of which a test changes some calls.
#![allow(dead_code)] // Each test binary changes others.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actor_core::broker::{Broker, Enqueue, Enqueued};
use actor_core::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use actor_core::limiter::Limiters;
use actor_core::settlement::{Settled, Settlement};
use actor_core::{BrokerError, MemoryBroker, QueueName};
use async_trait::async_trait;

/// Hands every call on to `memory`, but for those that a test changes.
#[async_trait]
pub(crate) trait Hooks: Debug + Send + Sync + 'static {
    fn memory(&self) -> &MemoryBroker;

    async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        self.memory().enqueue(queue, messages).await
    }

    async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError> {
        self.memory().renew(worker, queues, lease).await
    }

    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        self.memory().claim(consumer, max, wait).await
    }

    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.memory().recover(consumer, max, grace).await
    }

    fn limiters(&self) -> Option<Arc<dyn Limiters>> {
        self.memory().limiters()
    }

    /// Called before a run is noted to begin.
    fn begins(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    /// Called before the other calls that a test changes, by the name of each.
    fn pass(&self, _call: &str) {}
}

#[derive(Debug, Default)]
pub(crate) struct Hooked<H>(pub(crate) H);

impl<H> Deref for Hooked<H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.0
    }
}

#[async_trait]
impl<H: Hooks> Broker for Hooked<H> {
    fn limiters(&self) -> Option<Arc<dyn Limiters>> {
        self.0.limiters()
    }

    async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        self.0.enqueue(queue, messages).await
    }

    async fn register(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError> {
        self.0.pass("register");
        self.0.memory().register(worker, queues, lease).await
    }

    async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError> {
        self.0.renew(worker, queues, lease).await
    }

    async fn stopping(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        self.0.memory().stopping(worker, queues).await
    }

    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        self.0.pass("claim");
        self.0.claim(consumer, max, wait).await
    }

    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.0.recover(consumer, max, grace).await
    }

    async fn unpark(&self, consumer: &Consumer, abilities: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError> {
        self.0.memory().unpark(consumer, abilities, max).await
    }

    async fn begin(&self, by: &Consumer, receipts: &[Receipt]) -> Vec<Result<Settled, BrokerError>> {
        match self.0.begins() {
            Ok(()) => self.0.memory().begin(by, receipts).await,
            Err(error) => vec![Err(error)],
        }
    }

    async fn settle(&self, by: &Consumer, all: &[(Receipt, Settlement)]) -> Vec<Result<Settled, BrokerError>> {
        self.0.pass("settle");
        self.0.memory().settle(by, all).await
    }

    async fn deregister(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        self.0.pass("deregister");
        self.0.memory().deregister(worker, queues).await
    }

    fn now(&self) -> SystemTime {
        self.0.memory().now()
    }
}
