//! Brokers that hand calls on to another.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::broker::{Broker, Enqueue, Enqueued};
use crate::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use crate::inspect::{Counts, Handle, Inspect, Listed, Listing, Page, State, Which};
use crate::settlement::{Settled, Settlement};
#[cfg(feature = "testing")]
use crate::testing::TestBroker;
use crate::{BrokerError, QueueName};

/// Has `$broker` hand every call on to the broker that `$inner` returns. `$note` sees what is enqueued.
macro_rules! forward {
    ([$($T:ident)?] $broker:ty => $inner:path $(, $note:path)?) => {
        #[async_trait]
        impl<$($T: Broker + ?Sized)?> Broker for $broker {
            async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
                $($note(self, &messages);)?
                $inner(self).enqueue(queue, messages).await
            }

            async fn register(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError> {
                $inner(self).register(worker, queues, lease).await
            }

            async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError> {
                $inner(self).renew(worker, queues, lease).await
            }

            async fn stopping(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
                $inner(self).stopping(worker, queues).await
            }

            async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
                $inner(self).claim(consumer, max, wait).await
            }

            async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
                $inner(self).recover(consumer, max, grace).await
            }

            async fn unpark(&self, consumer: &Consumer, abilities: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError> {
                $inner(self).unpark(consumer, abilities, max).await
            }

            async fn settle(
                &self,
                consumer: &Consumer,
                settlements: &[(Receipt, Settlement)],
            ) -> Vec<Result<Settled, BrokerError>> {
                $inner(self).settle(consumer, settlements).await
            }

            async fn deregister(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
                $inner(self).deregister(worker, queues).await
            }

            fn now(&self) -> SystemTime {
                $inner(self).now()
            }

            fn max_message_bytes(&self) -> usize {
                $inner(self).max_message_bytes()
            }
        }

        #[async_trait]
        impl<$($T: Inspect + ?Sized)?> Inspect for $broker {
            async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
                $inner(self).queues().await
            }

            async fn counts(&self, queue: &QueueName) -> Result<Counts, BrokerError> {
                $inner(self).counts(queue).await
            }

            async fn list(&self, queue: &QueueName, state: State, page: Page) -> Result<Listing, BrokerError> {
                $inner(self).list(queue, state, page).await
            }

            async fn read(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<Option<Listed>, BrokerError> {
                $inner(self).read(queue, state, handle).await
            }

            async fn replay(&self, queue: &QueueName, which: Which) -> Result<u64, BrokerError> {
                $inner(self).replay(queue, which).await
            }

            async fn delete(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<bool, BrokerError> {
                $inner(self).delete(queue, state, handle).await
            }

            async fn purge(&self, queue: &QueueName, state: State) -> Result<u64, BrokerError> {
                $inner(self).purge(queue, state).await
            }

            async fn pause(&self, queue: &QueueName) -> Result<(), BrokerError> {
                $inner(self).pause(queue).await
            }

            async fn resume(&self, queue: &QueueName) -> Result<(), BrokerError> {
                $inner(self).resume(queue).await
            }
        }
    };
}

forward!([T] Arc<T> => Arc::as_ref);
#[cfg(feature = "testing")]
forward!([] TestBroker => TestBroker::memory, TestBroker::note);
