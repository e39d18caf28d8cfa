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

/// Has `$broker` hand every call on to the broker that `$inner` returns, but for what is enqueued where `$enqueue` does
/// that.
macro_rules! forward {
    ([$($T:ident)?] $broker:ty => $inner:path $(, $enqueue:path)?) => {
        forward! { [$($T)?] Broker for $broker => $inner,
            {
                async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
                    $(return $enqueue(self, queue, messages).await;)?
                    #[allow(unreachable_code)]
                    $inner(self).enqueue(queue, messages).await
                }
            }
            async fn register(worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError>;
            async fn renew(worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError>;
            async fn stopping(worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError>;
            async fn claim(consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError>;
            async fn recover(consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError>;
            async fn unpark(consumer: &Consumer, abilities: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError>;
            async fn begin(consumer: &Consumer, receipts: &[Receipt]) -> Vec<Result<Settled, BrokerError>>;
            async fn settle(consumer: &Consumer, all: &[(Receipt, Settlement)]) -> Vec<Result<Settled, BrokerError>>;
            async fn deregister(worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError>;
            fn now() -> SystemTime;
            fn max_message_bytes() -> usize;
        }
        forward! { [$($T)?] Inspect for $broker => $inner, {}
            async fn queues() -> Result<Vec<QueueName>, BrokerError>;
            async fn counts(queue: &QueueName) -> Result<Counts, BrokerError>;
            async fn list(queue: &QueueName, state: State, page: Page) -> Result<Listing, BrokerError>;
            async fn read(queue: &QueueName, state: State, handle: &Handle) -> Result<Option<Listed>, BrokerError>;
            async fn replay(queue: &QueueName, which: Which) -> Result<u64, BrokerError>;
            async fn delete(queue: &QueueName, state: State, handle: &Handle) -> Result<bool, BrokerError>;
            async fn purge(queue: &QueueName, state: State) -> Result<u64, BrokerError>;
            async fn pause(queue: &QueueName) -> Result<(), BrokerError>;
            async fn resume(queue: &QueueName) -> Result<(), BrokerError>;
        }
    };
    (
        [$($T:ident)?] $seam:ident for $broker:ty => $inner:path, {$($own:tt)*}
        $(async fn $method:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*
        $(fn $read:ident() -> $value:ty;)*
    ) => {
        #[async_trait]
        impl<$($T: $seam + ?Sized)?> $seam for $broker {
            $($own)*
            $(async fn $method(&self, $($arg: $type),*) -> $answer {
                $inner(self).$method($($arg),*).await
            })*
            $(fn $read(&self) -> $value {
                $inner(self).$read()
            })*
        }
    };
}

forward!([T] Arc<T> => Arc::as_ref);
#[cfg(feature = "testing")]
forward!([] TestBroker => TestBroker::memory, TestBroker::store);
