//! The third seam: what people and programs do to messages that were sent.

mod ask;
mod filter;
mod limits;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use self::ask::{Asking, ControlError};
pub use self::filter::Filter;
pub use self::limits::{LaneListing, LaneState, LimitControl, LimitOf, LimitSource, ListedLane, QueueLimits};
use crate::inspect::Cursor;
use crate::{BrokerError, MessageId, QueueName};

/// Cancelling, deleting and rescheduling messages that were sent: one by its id, or all that match a [`Filter`].
///
/// It costs the path of a message nothing. Each call asks the storage for a bounded amount of work at a time, however
/// many messages there are. Repeating a call is safe.
///
/// A message is found by the id in its body. Of a queue's ready messages, and those in lanes, a storage may have to read many until it finds
/// one; scheduled ones and dead letters it finds at once.
///
/// ```
/// use actor_core::control::{Change, Control, Filter};
/// use actor_core::{MemoryBroker, actor};
///
/// #[actor(queue = "mail")]
/// async fn welcome(to: String) {
///     println!("welcome, {to}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MemoryBroker::new();
/// welcome.message("Ada".to_owned()).header("tenant", "acme").send_with(&broker).await?;
/// let of_tenant = Filter::new().actor("welcome").header("tenant", "acme");
/// let cancelled = broker.change_all(&welcome.queue(), Change::Cancel, &of_tenant).await?;
/// assert_eq!(cancelled.changed, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Each method fails if the storage could not be reached, and may then have been done in part. The same call may be
/// made again.
///
/// # Cancel safety
///
/// What was asked may or may not have happened when a future is dropped.
#[async_trait]
pub trait Control: fmt::Debug + Send + Sync + 'static {
    /// Cancels a message. What waits (in a lane, ready, scheduled, parked) is removed. Of what is in flight, its worker
    /// learns by its next [renewal](crate::delivery::Renewal::cancelled), and from then on it is not stored again: a
    /// settlement that would is answered with [`Settled::Cancelled`](crate::settlement::Settled::Cancelled), and a
    /// recovery delivers it [as cancelled](crate::delivery::Delivery::cancelled). The storage remembers that for a day.
    ///
    /// A dead letter is not cancelled, since nothing runs it; and replaying one ends what is remembered.
    async fn cancel(&self, queue: &QueueName, id: MessageId) -> Result<Cancelled, BrokerError>;

    /// Deletes a message that waits, or is dead. One in flight is left to its worker.
    ///
    /// A message that passes from one state to another meanwhile may not be found.
    async fn delete_by_id(&self, queue: &QueueName, id: MessageId) -> Result<Deleted, BrokerError>;

    /// Has a message that waits start no earlier than `delay` from now, or at once. One in flight is left to its
    /// worker, a dead letter to a [replay](crate::Inspect::replay).
    ///
    /// A message that passes from one state to another meanwhile may not be found.
    async fn reschedule(&self, queue: &QueueName, id: MessageId, delay: Duration) -> Result<Rescheduled, BrokerError>;

    /// Changes what matches `filter` of the next page of a queue's messages: of those in the states that the change
    /// applies to, or in the filter's. `after` is where the page before [ended](Changed::next), with the same change
    /// and filter.
    ///
    /// A message that passes from one state to another meanwhile, as by a retry, may be passed over.
    async fn change_page(
        &self,
        queue: &QueueName,
        change: Change,
        filter: &Filter,
        after: Option<&Cursor>,
    ) -> Result<Changed, BrokerError>;

    /// Goes through all pages: changes all that matches `filter`, a page at a time.
    async fn change_all(&self, queue: &QueueName, change: Change, filter: &Filter) -> Result<Changed, BrokerError> {
        let mut all = Changed::default();
        loop {
            let page = self.change_page(queue, change, filter, all.next.as_ref()).await?;
            all.changed += page.changed;
            all.requested += page.requested;
            all.next = page.next;
            if all.next.is_none() {
                return Ok(all);
            }
        }
    }

    /// What changes the limits of queues while they run; `None` for a broker that cannot. Default: `None`.
    fn limit_control(&self) -> Option<&dyn LimitControl> {
        None
    }
}

/// What happens to each message that matches a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// As [`Control::cancel`]: of scheduled, waiting, ready and in-flight messages.
    Cancel,
    /// As [`Control::delete_by_id`]: of scheduled, waiting and ready messages and dead letters.
    Delete,
    /// As [`Control::reschedule`], so long from now: of scheduled, waiting and ready messages. Only a scheduled one moves
    /// if that is zero.
    Reschedule(Duration),
}

/// What became of messages that matched a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// How many were removed or moved.
    pub changed: u64,
    /// How many in flight were told to end.
    pub requested: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

impl Changed {
    /// What became of one page, as a broker says it.
    #[must_use]
    pub fn new(changed: u64, requested: u64, next: Option<Cursor>) -> Self {
        Self { changed, requested, next }
    }
}

/// What became of a message that was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// It waited, and was removed; or it ended just now, because of this. It never runs again.
    Removed,
    /// It is in flight. Its run is told, in about two seconds, by
    /// [`Context::cancellation`](crate::Context::cancellation). If the run succeeds all the same, the message is done;
    /// however else it ends, the message ends with it.
    Requested,
    /// It has ended, is a dead letter, or never was in this queue.
    NotFound,
}

/// What became of a message that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deleted {
    /// It was removed.
    Removed,
    /// It is in flight, and was left to its worker. [`Control::cancel`] ends it.
    InFlight,
    /// It has ended, or never was in this queue.
    NotFound,
}

/// What became of a message that was to be rescheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rescheduled {
    /// It starts when it should, at the earliest.
    Moved,
    /// It is in flight, and was left to its worker.
    InFlight,
    /// It is a dead letter, and was left: [replay](crate::Inspect::replay) it.
    Dead,
    /// It has ended, or never was in this queue.
    NotFound,
}
