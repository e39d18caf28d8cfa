//! A broker whose panic is an error: in a task of the worker it would end the work of a queue, and nobody
//! would hear of it while the lease is kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::panic::caught;
use crate::broker::{Enqueue, Enqueued};
use crate::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use crate::settlement::{Settled, Settlement};
use crate::{Broker, BrokerError, QueueName};

/// The broker as the worker calls it.
#[derive(Debug)]
pub(super) struct Guarded(pub(super) Arc<dyn Broker>);

/// What a call came to. Whether it happened is not known where it panicked.
async fn guarded<T>(call: impl Future<Output = Result<T, BrokerError>>) -> Result<T, BrokerError> {
    caught(call).await.unwrap_or_else(|what| Err(panicked(&what)))
}

fn panicked(what: &str) -> BrokerError {
    BrokerError::unknown(format!("the broker panicked: {what}"))
}

#[async_trait]
impl Broker for Guarded {
    async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        self.0.enqueue(queue, messages).await
    }

    async fn register(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError> {
        guarded(self.0.register(worker, queues, lease)).await
    }

    async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError> {
        guarded(self.0.renew(worker, queues, lease)).await
    }

    async fn stopping(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        guarded(self.0.stopping(worker, queues)).await
    }

    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        guarded(self.0.claim(consumer, max, wait)).await
    }

    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
        guarded(self.0.recover(consumer, max, grace)).await
    }

    async fn unpark(&self, consumer: &Consumer, abilities: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError> {
        guarded(self.0.unpark(consumer, abilities, max)).await
    }

    async fn settle(
        &self,
        consumer: &Consumer,
        settlements: &[(Receipt, Settlement)],
    ) -> Vec<Result<Settled, BrokerError>> {
        let panicked = |what: String| settlements.iter().map(|_| Err(panicked(&what))).collect();
        caught(self.0.settle(consumer, settlements)).await.unwrap_or_else(panicked)
    }

    async fn deregister(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        guarded(self.0.deregister(worker, queues)).await
    }

    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn max_message_bytes(&self) -> usize {
        self.0.max_message_bytes()
    }
}
