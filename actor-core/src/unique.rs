//! What makes one message stand for others: unique keys, and idempotency keys.

mod digest;

use std::time::Duration;

pub(crate) use self::digest::Digest;
use crate::Key;

/// How long a day's idempotency key answers for what was sent with it.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How messages of one unique key exclude one another: what `#[actor(unique(..))]` says.
///
/// Default: until the first is done, and what is sent meanwhile is not stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Uniqueness {
    /// How long a message holds its key.
    pub until: Until,
    /// What becomes of a message whose key is held.
    pub on_conflict: OnConflict,
}

impl Uniqueness {
    /// With these settings.
    #[must_use]
    pub const fn new(until: Until, on_conflict: OnConflict) -> Self {
        Self { until, on_conflict }
    }
}

/// How long a message holds its unique key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Until {
    /// Until it is settled as done, becomes a dead letter, or is deleted. Retries hold it.
    #[default]
    Done,
    /// Until its run begins, or it ends without one.
    Started,
    /// For so long from when it is stored, whatever becomes of it.
    Window(Duration),
}

/// What becomes of a message whose unique key another one holds.
///
/// A message in flight is never changed. Nobody but [`Keep`](Self::Keep) and a [window](Until::Window) drops what is
/// sent meanwhile: it follows in the step in which the message in flight gives up the key, and until then it is scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnConflict {
    /// It is not stored: the one that holds the key stands for it. A window has this alone.
    #[default]
    Keep,
    /// It takes the place of one that waits, which never runs. It starts when the earlier of the two would have.
    Replace,
    /// It takes the place of one that waits, which never runs, and its own delay counts: a debounce.
    Postpone {
        /// How long after the first of those that were replaced the last one starts, at the latest. `None` for no bound.
        max_wait: Option<Duration>,
    },
    /// It is not stored where the other one waits, and follows where that one is in flight.
    RunAgain,
}

/// The key that a message holds from when it is stored, so that no other holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unique {
    /// The key. All messages of a queue share one space of keys.
    pub key: Key,
    /// For how long, and what becomes of others meanwhile.
    pub uniqueness: Uniqueness,
}

impl Unique {
    /// A key that is held as `uniqueness` says.
    #[must_use]
    pub fn new(key: Key, uniqueness: Uniqueness) -> Self {
        Self { key, uniqueness }
    }
}

/// A key that makes sending safe to repeat: for a time, only the first message sent with it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Idempotency {
    /// The key. All messages of a queue share one space of keys.
    pub key: Key,
    /// For how long, from when the first was sent.
    pub window: Duration,
}

impl Idempotency {
    /// A key that is remembered for a day.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { key, window: DAY }
    }

    /// The same, remembered for so long.
    #[must_use]
    pub fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }
}
