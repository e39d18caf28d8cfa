//! Brokers that hand calls on to another.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::broker::{Broker, Enqueue, Enqueued};
use crate::control::{
    Cancelled, Change, Changed, Control, Deleted, Filter, LaneListing, LimitControl, LimitOf, QueueLimits, Rescheduled,
};
use crate::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use crate::inspect::{Counts, Cursor, Handle, Inspect, Listed, Listing, Page, State, Which};
use crate::limiter::Limiters;
use crate::outbox::Outboxes;
use crate::results::Results;
use crate::schedule::{self, Declared, Due, Fired, Firing, ListedSchedule, NewSchedule, ScheduleListing, Schedules};
use crate::settlement::{Settled, Settlement};
use crate::state::States;
#[cfg(feature = "testing")]
use crate::testing::TestBroker;
use crate::{BrokerError, Key, Limit, MessageId, QueueName};

/// Has `$broker` hand every call on to the broker that `$inner` returns, but for what is enqueued and settled where
/// `$enqueue` and `$settle` do that.
macro_rules! forward {
    ([$($T:ident)?] $broker:ty => $inner:path $(, $enqueue:path, $settle:path)?) => {
        forward! { [$($T)?] Broker for $broker => $inner,
            {
                async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
                    $(return $enqueue(self, queue, messages).await;)?
                    #[allow(unreachable_code)]
                    $inner(self).enqueue(queue, messages).await
                }

                async fn settle(
                    &self,
                    consumer: &Consumer,
                    all: &[(Receipt, Settlement)],
                ) -> Vec<Result<Settled, BrokerError>> {
                    $(return $settle(self, consumer, all).await;)?
                    #[allow(unreachable_code)]
                    $inner(self).settle(consumer, all).await
                }
            }
            async fn register(worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError>;
            async fn renew(worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError>;
            async fn stopping(worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError>;
            async fn claim(consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError>;
            async fn recover(consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError>;
            async fn unpark(consumer: &Consumer, abilities: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError>;
            async fn begin(consumer: &Consumer, receipts: &[Receipt]) -> Vec<Result<Settled, BrokerError>>;
            async fn deregister(worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError>;
            fn control() -> Option<&dyn Control>;
            fn now() -> SystemTime;
            fn max_message_bytes() -> usize;
            fn schedules() -> Option<&dyn Schedules>;
            fn outboxes() -> Option<&dyn Outboxes>;
            fn limiters() -> Option<Arc<dyn Limiters>>;
            fn states() -> Option<&dyn States>;
            fn results() -> Option<&dyn Results>;
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
        forward! { [$($T)?] Control for $broker => $inner, {}
            async fn cancel(queue: &QueueName, id: MessageId) -> Result<Cancelled, BrokerError>;
            async fn delete_by_id(queue: &QueueName, id: MessageId) -> Result<Deleted, BrokerError>;
            async fn reschedule(queue: &QueueName, id: MessageId, delay: Duration) -> Result<Rescheduled, BrokerError>;
            async fn change_page(
                queue: &QueueName,
                change: Change,
                filter: &Filter,
                after: Option<&Cursor>
            ) -> Result<Changed, BrokerError>;
            async fn change_all(queue: &QueueName, change: Change, filter: &Filter) -> Result<Changed, BrokerError>;
            fn limit_control() -> Option<&dyn LimitControl>;
        }
    };
    ([$($T:ident)?] LimitControl for $broker:ty => $inner:path) => {
        forward! { [$($T)?] LimitControl for $broker => $inner, {}
            async fn set_limit(queue: &QueueName, of: &LimitOf, limit: Option<Limit>) -> Result<(), BrokerError>;
            async fn set_weight(queue: &QueueName, key: &Key, weight: Option<NonZeroU32>) -> Result<(), BrokerError>;
            async fn pause_lane(queue: &QueueName, key: &Key) -> Result<(), BrokerError>;
            async fn resume_lane(queue: &QueueName, key: &Key) -> Result<(), BrokerError>;
            async fn limits(queue: &QueueName) -> Result<QueueLimits, BrokerError>;
            async fn lanes(queue: &QueueName, page: Page) -> Result<LaneListing, BrokerError>;
        }
    };
    ([$($T:ident)?] Schedules for $broker:ty => $inner:path) => {
        forward! { [$($T)?] Schedules for $broker => $inner, {}
            async fn upsert(queue: &QueueName, all: &[NewSchedule]) -> Vec<Result<(), BrokerError>>;
            async fn declare(queue: &QueueName, all: &[NewSchedule], begins: bool) -> Result<Declared, BrokerError>;
            async fn due(queue: &QueueName, max: usize, wait: &Wait) -> Result<Due, BrokerError>;
            async fn fire(queue: &QueueName, firings: &[Firing]) -> Vec<Result<Fired, BrokerError>>;
            async fn list_schedules(queue: &QueueName, page: Page) -> Result<ScheduleListing, BrokerError>;
            async fn read_schedule(queue: &QueueName, name: &str) -> Result<Option<ListedSchedule>, BrokerError>;
            async fn change_schedule(queue: &QueueName, name: &str, change: schedule::Change) -> Result<bool, BrokerError>;
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
forward!([T] LimitControl for Arc<T> => Arc::as_ref);
forward!([T] Schedules for Arc<T> => Arc::as_ref);
#[cfg(feature = "testing")]
forward!([] TestBroker => TestBroker::memory, TestBroker::store, TestBroker::end);
#[cfg(feature = "testing")]
forward!([] LimitControl for TestBroker => TestBroker::memory);
#[cfg(feature = "testing")]
forward!([] Schedules for TestBroker => TestBroker::memory);
