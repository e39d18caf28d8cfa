//! The third seam: a storage that keeps schedules. It costs the path of a message nothing.

use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use super::listed::{ListedSchedule, ScheduleListing};
use crate::broker::Enqueue;
use crate::delivery::Wait;
use crate::inspect::Page;
use crate::size::debug_by_size;
use crate::{BrokerError, QueueName};

/// A storage that keeps schedules, by queue and name.
///
/// It knows when each is due and the text that it was given, and nothing of patterns or time zones: a worker asks
/// what is [due](Self::due), reads the pattern, and [fires](Self::fire). Any number of workers may do so at once.
/// `actor_core::testing::conformance::schedules` tests every promise.
///
/// - One clock decides what is due: the storage's.
/// - [`fire`](Self::fire) compares the schedule's revision and tick with what is stored, moves it on and stores its
///   messages in one step. So a tick fires once, whoever fires it and however often.
/// - What was written over, removed or paused meanwhile does not fire.
///
/// # Cancel safety
///
/// What changes something may or may not have happened when its future is dropped. Each call may be repeated.
#[async_trait]
pub trait Schedules: fmt::Debug + Send + Sync + 'static {
    /// Stores schedules, each in place of the one of its name. The answers stand in their order.
    ///
    /// One whose [timing](NewSchedule::timing) is as before keeps its next tick; else its ticks begin now. One that
    /// was paused stays so. One that was parked is active again, since whoever stores it could read it.
    ///
    /// # Errors
    ///
    /// For each: the storage could not be reached, or an actor declares a schedule of this name.
    async fn upsert(&self, queue: &QueueName, schedules: &[NewSchedule]) -> Vec<Result<(), BrokerError>>;

    /// Notes that a worker which is alive declares these schedules of the queue and no others.
    ///
    /// Where it `begins`, they are stored as by [`upsert`](Self::upsert); else only those that are missing. A
    /// schedule that was declared, and that no worker has declared for
    /// [`UNDECLARED_AFTER`](crate::schedule::Declared::UNDECLARED_AFTER), fires no more and is listed as undeclared;
    /// after [`REMOVED_AFTER`](crate::schedule::Declared::REMOVED_AFTER) it is removed. Time in which no worker called
    /// this does not count. Declared again, it goes on from then.
    ///
    /// # Errors
    ///
    /// The storage could not be reached or refused.
    async fn declare(
        &self,
        queue: &QueueName,
        schedules: &[NewSchedule],
        begins: bool,
    ) -> Result<Declared, BrokerError>;

    /// Up to `max` schedules that are due, the longest overdue first. With none it waits as `wait` says. It may return
    /// none at any time.
    ///
    /// # Errors
    ///
    /// The storage could not be reached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    async fn due(&self, queue: &QueueName, max: usize, wait: &Wait) -> Result<Due, BrokerError>;

    /// Moves schedules on, each with its messages in one step. The answers stand in their order.
    ///
    /// # Errors
    ///
    /// For each: it may or may not have happened, and may be tried again, unchanged.
    async fn fire(&self, queue: &QueueName, firings: &[Firing]) -> Vec<Result<Fired, BrokerError>>;

    /// One page of a queue's schedules, by name. A queue without any is no error.
    ///
    /// # Errors
    ///
    /// The storage could not be reached.
    async fn list_schedules(&self, queue: &QueueName, page: Page) -> Result<ScheduleListing, BrokerError>;

    /// One schedule; `None` where there is none of this name.
    ///
    /// # Errors
    ///
    /// The storage could not be reached.
    async fn read_schedule(&self, queue: &QueueName, name: &str) -> Result<Option<ListedSchedule>, BrokerError>;

    /// Changes one schedule. Returns whether there is one of this name.
    ///
    /// # Errors
    ///
    /// The storage could not be reached or refused.
    async fn change_schedule(&self, queue: &QueueName, name: &str, change: Change) -> Result<bool, BrokerError>;
}

/// What a person may do to a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It fires no more until it is resumed. A declaration or an upsert does not resume it.
    Pause,
    /// It fires again, from the next tick on: what passed meanwhile is not caught up. Also for one that is parked.
    Resume,
    /// It is removed. One that is declared comes back with the next worker that declares it: pause it instead.
    Remove,
}

/// A schedule to store.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewSchedule {
    /// Its name, unique in its queue: 1 to 256 bytes without control characters.
    pub name: String,
    /// What decides on its ticks: opaque, without a line feed.
    pub timing: String,
    /// All else: opaque.
    pub body: Bytes,
}

debug_by_size!(NewSchedule { body, name, timing });

impl NewSchedule {
    /// A schedule, as whoever reads patterns writes it.
    #[must_use]
    pub fn new(name: impl Into<String>, timing: impl Into<String>, body: Bytes) -> Self {
        Self { name: name.into(), timing: timing.into(), body }
    }
}

/// What [`declare`](Schedules::declare) found of schedules that nobody declares any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declared {
    /// They fire no more from now on.
    pub undeclared: Vec<String>,
    /// They were removed.
    pub removed: Vec<String>,
}

impl Declared {
    /// How often workers say what they declare, at least.
    pub const REFRESH: std::time::Duration = std::time::Duration::from_secs(60);

    /// How long nobody declares a schedule, with a worker alive, until it fires no more.
    pub const UNDECLARED_AFTER: std::time::Duration = std::time::Duration::from_secs(5 * 60);

    /// How long nobody declares a schedule, with a worker alive, until it is removed.
    pub const REMOVED_AFTER: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
}

/// What is due in a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Due {
    /// The schedules.
    pub schedules: Vec<DueSchedule>,
    /// The storage's time.
    pub now: SystemTime,
    /// Whether the queue has any schedule, due or not.
    pub any: bool,
}

impl Due {
    /// What is due, as a storage finds it.
    #[must_use]
    pub fn new(schedules: Vec<DueSchedule>, now: SystemTime, any: bool) -> Self {
        Self { schedules, now, any }
    }
}

/// A schedule that is due.
#[derive(Clone)]
#[non_exhaustive]
pub struct DueSchedule {
    /// Its name.
    pub name: String,
    /// What decides on its ticks.
    pub timing: String,
    /// All else.
    pub body: Bytes,
    /// Which of its versions this is.
    pub revision: u64,
    /// The tick that it is due for; `None` for one that was stored or resumed and has none yet, which is due at once.
    pub tick: Option<SystemTime>,
    /// When it was stored or resumed: its ticks come after this.
    pub since: SystemTime,
}

debug_by_size!(DueSchedule { body, name, timing, revision, tick, since });

impl DueSchedule {
    /// The schedule as it was given, with what the storage knows of it.
    #[must_use]
    pub fn new(schedule: NewSchedule, revision: u64, tick: Option<SystemTime>, since: SystemTime) -> Self {
        let NewSchedule { name, timing, body } = schedule;
        Self { name, timing, body, revision, tick, since }
    }
}

/// How to move a schedule on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Firing {
    /// Its name.
    pub name: String,
    /// The [revision](DueSchedule::revision) that this is for.
    pub revision: u64,
    /// The [tick](DueSchedule::tick) that this is for.
    pub tick: Option<SystemTime>,
    /// The messages to store, ready at once, and the tick that the last of them is for.
    pub messages: Option<(Vec<Enqueue>, SystemTime)>,
    /// Whether its messages are only stored where the last one before is settled. Then there is one message at most.
    pub unless_unsettled: bool,
    /// What becomes of it.
    pub then: Then,
}

impl Firing {
    /// Moves `due` on, without a message.
    #[must_use]
    pub fn new(due: &DueSchedule, then: Then) -> Self {
        let DueSchedule { name, revision, tick, .. } = due;
        let (name, revision, tick) = (name.clone(), *revision, *tick);
        Self { name, revision, tick, messages: None, unless_unsettled: false, then }
    }

    /// The same with messages, the last of which is for the tick `last`.
    #[must_use]
    pub fn messages(mut self, messages: Vec<Enqueue>, last: SystemTime) -> Self {
        self.messages = Some((messages, last));
        self
    }

    /// The same, only where the last message before is settled.
    #[must_use]
    pub fn unless_unsettled(mut self) -> Self {
        self.unless_unsettled = true;
        self
    }
}

/// What becomes of a schedule that was moved on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Then {
    /// It waits for its next tick.
    Next {
        /// The tick.
        tick: SystemTime,
        /// When it is due: the tick, and its jitter.
        due: SystemTime,
    },
    /// It cannot go on, and is kept for a person: why, in words.
    Park(String),
}

/// What became of a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fired {
    /// It was moved on, and its messages are stored.
    Fired,
    /// It was moved on without its message: the last one before is not settled.
    Skipped,
    /// Nothing happened: it is not due, or somebody else has fired, changed or removed it.
    Stale,
}
