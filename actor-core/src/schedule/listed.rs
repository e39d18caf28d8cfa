//! A stored schedule, as people and screens read it.

use std::time::SystemTime;

use bytes::Bytes;

use crate::MessageId;
use crate::inspect::Cursor;
use crate::schedule::NewSchedule;
use crate::size::debug_by_size;

/// One page of schedules.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScheduleListing {
    /// The schedules.
    pub schedules: Vec<ListedSchedule>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

impl ScheduleListing {
    /// A page, as a storage makes it.
    #[must_use]
    pub fn new(schedules: Vec<ListedSchedule>, next: Option<Cursor>) -> Self {
        Self { schedules, next }
    }
}

/// A schedule as a listing shows it. With the feature `cron` it also knows its pattern and its next runs.
#[derive(Clone)]
#[non_exhaustive]
pub struct ListedSchedule {
    /// Its name.
    pub name: String,
    /// What decides on its ticks, as it is stored.
    pub timing: String,
    /// All else, as it is stored.
    pub body: Bytes,
    /// Whether it fires, and if not, why.
    pub state: ScheduleState,
    /// Whether an actor declares it; otherwise a program has stored it at run time.
    pub declared: bool,
    /// Its next tick; `None` where no worker has seen it since it was stored or resumed.
    pub next_tick: Option<SystemTime>,
    /// When it is due: at its next tick, with its jitter. `None` while it does not fire.
    pub due: Option<SystemTime>,
    /// When it was stored or resumed.
    pub since: SystemTime,
    /// The last tick that stored a message.
    pub last_tick: Option<SystemTime>,
    /// When that was.
    pub last_fired: Option<SystemTime>,
    /// The last message.
    pub last_message: Option<MessageId>,
}

debug_by_size!(ListedSchedule {
    body,
    name,
    timing,
    state,
    declared,
    next_tick,
    due,
    since,
    last_tick,
    last_fired,
    last_message
});

impl ListedSchedule {
    /// A schedule that was just stored, as a storage lists it.
    #[must_use]
    pub fn new(schedule: NewSchedule, state: ScheduleState, declared: bool, since: SystemTime) -> Self {
        let NewSchedule { name, timing, body } = schedule;
        let (last_tick, last_fired, last_message) = (None, None, None);
        let (next_tick, due) = (None, None);
        Self { name, timing, body, state, declared, next_tick, due, since, last_tick, last_fired, last_message }
    }
}

/// Whether a schedule fires, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleState {
    /// It fires.
    Active,
    /// A person has paused it.
    Paused,
    /// No worker could read it, or it has no further tick: why.
    Parked(String),
    /// Its declaration is in no worker any more, since about then. It is removed a day later.
    Undeclared(SystemTime),
}
