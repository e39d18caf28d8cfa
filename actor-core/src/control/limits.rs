//! Limits that are changed while their queue runs.

use std::fmt;
use std::num::NonZeroU32;
use std::time::SystemTime;

use async_trait::async_trait;

use crate::inspect::{Cursor, Page};
use crate::{BrokerError, Key, Limit, QueueName};

/// Changing and reading the limits of a queue while it runs, over all its workers.
///
/// What is set here wins over what the workers' programs declare, also over what later ones declare, until it is set back.
/// It holds for what waits from the next grant on. What is in flight runs on: a concurrency that was lowered is reached
/// as messages end.
///
/// ```
/// use actor_core::control::{LimitControl, LimitOf};
/// use actor_core::{Broker, BrokerError, Key, Limit, QueueName};
///
/// /// An account has paid for more, and another is a nuisance.
/// async fn tune(broker: &dyn Broker, queue: &QueueName, paid: &Key, nuisance: &Key) -> Result<(), BrokerError> {
///     let Some(limits) = broker.control().and_then(|control| control.limit_control()) else { return Ok(()) };
///     limits.set_limit(queue, &LimitOf::Key(paid.clone()), Some(Limit::new().concurrency(20))).await?;
///     limits.pause_lane(queue, nuisance).await
/// }
/// ```
///
/// # Errors
///
/// Each method fails if the storage could not be reached, and may then have been done all the same: repeating a call is
/// safe. Each fails by [`BrokerError::no_such_queue`] for a queue that was never used; and those that change
/// something are refused for a queue that has no lanes yet: declare it with limits first, and start a worker.
///
/// # Cancel safety
///
/// What was asked may or may not have happened when a future is dropped.
#[async_trait]
pub trait LimitControl: fmt::Debug + Send + Sync + 'static {
    /// Sets a limit in place of the one that is declared, all of it: a limit without a rate ends the rate that was
    /// declared. `None` goes back to what is declared; for a single key, to what holds for each key.
    async fn set_limit(&self, queue: &QueueName, of: &LimitOf, limit: Option<Limit>) -> Result<(), BrokerError>;

    /// Gives a key so many shares where others have one: so many turns, or in a [fair](crate::Queue::fair) queue so much
    /// of the workers' time. `None` goes back to one.
    async fn set_weight(&self, queue: &QueueName, key: &Key, weight: Option<NonZeroU32>) -> Result<(), BrokerError>;

    /// Has nothing of a key go to a worker until it is [resumed](Self::resume_lane). What is in flight, or was let go
    /// already, runs on.
    async fn pause_lane(&self, queue: &QueueName, key: &Key) -> Result<(), BrokerError>;

    /// Lets the messages of a key go again.
    async fn resume_lane(&self, queue: &QueueName, key: &Key) -> Result<(), BrokerError>;

    /// The limits of a queue: what is declared, and what is set in its place.
    async fn limits(&self, queue: &QueueName) -> Result<QueueLimits, BrokerError>;

    /// One page of the lanes of which something waits or is in flight, that are paused, or that have a limit or a weight
    /// of their own. Each is listed at least once if that is so throughout; they stand in no order.
    async fn lanes(&self, queue: &QueueName, page: Page) -> Result<LaneListing, BrokerError>;
}

/// What a limit is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitOf {
    /// The whole queue.
    Queue,
    /// Each of its keys that has no limit of its own.
    EachKey,
    /// One key.
    Key(Key),
}

/// The limits of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueLimits {
    /// Of the whole queue.
    pub queue: LimitSource,
    /// Of each key that has none of its own.
    pub per_key: LimitSource,
    /// Whether keys share the workers' time by how long their messages run.
    pub fair: bool,
}

impl QueueLimits {
    /// The limits of a queue, as a broker says them.
    #[must_use]
    pub fn new(queue: LimitSource, per_key: LimitSource, fair: bool) -> Self {
        Self { queue, per_key, fair }
    }
}

/// A limit, and where it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitSource {
    /// What the worker declared that began last.
    pub declared: Limit,
    /// What was [set](LimitControl::set_limit) in its place.
    pub set: Option<Limit>,
}

impl LimitSource {
    /// A limit as a broker says it.
    #[must_use]
    pub fn new(declared: Limit, set: Option<Limit>) -> Self {
        Self { declared, set }
    }

    /// The limit that holds.
    pub fn effective(&self) -> Limit {
        self.set.unwrap_or(self.declared)
    }
}

/// One page of a queue's lanes.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct LaneListing {
    /// The lanes.
    pub lanes: Vec<ListedLane>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

impl LaneListing {
    /// A page as a broker says it.
    #[must_use]
    pub fn new(lanes: Vec<ListedLane>, next: Option<Cursor>) -> Self {
        Self { lanes, next }
    }
}

/// One lane of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedLane {
    /// Whose messages wait in it.
    pub key: Key,
    /// How many of them wait.
    pub waiting: u64,
    /// How many slots are held: what all of its messages cost that were let go and are not settled.
    pub slots: u64,
    /// Whether a message of it may go.
    pub state: LaneState,
    /// The limit that was set for this key alone.
    pub limit: Option<Limit>,
    /// How many shares it has, where that was set.
    pub weight: Option<NonZeroU32>,
}

impl ListedLane {
    /// A lane with nothing set for it.
    #[must_use]
    pub fn new(key: Key, waiting: u64, slots: u64, state: LaneState) -> Self {
        Self { key, waiting, slots, state, limit: None, weight: None }
    }
}

/// Whether a message of a lane may go, as it was when the lane was last looked at for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneState {
    /// One may go, as far as the key's own limits are concerned; or nobody has looked since it came.
    Open,
    /// As many of the key are in flight as may be.
    Full,
    /// A rate, or a limit elsewhere, lets none go before this time.
    ClosedUntil(SystemTime),
    /// It is [paused](LimitControl::pause_lane).
    Paused,
    /// Nothing waits.
    Idle,
}
