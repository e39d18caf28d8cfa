//! Schedules: messages that a storage keeps, to be stored anew at each tick of a cron pattern.
//!
//! An actor declares one with `#[actor(cron = "0 6 * * 1-5")]`; [`Schedule`] makes them at run time. The storage
//! keeps them and decides what is due ([`Schedules`], a seam of its own); workers read patterns and time zones.
//! `docs/schedules.md` has the rules.
//!
//! What stands here without the feature `cron` is the seam alone.

#[cfg(feature = "cron")]
mod builder;
#[cfg(feature = "cron")]
mod error;
#[cfg(all(feature = "cron", feature = "worker"))]
mod fire;
mod listed;
#[cfg(all(feature = "cron", feature = "worker"))]
mod plan;
mod seam;
#[cfg(feature = "cron")]
mod stored;
#[cfg(feature = "cron")]
mod timing;

/// The page's code, compiled.
#[cfg(all(doctest, feature = "cron", feature = "testing"))]
#[doc = include_str!("../../../docs/schedules.md")]
mod page {}

use std::time::Duration;

#[cfg(feature = "cron")]
pub use self::builder::{Schedule, run_now};
#[cfg(feature = "cron")]
pub use self::error::ScheduleError;
pub use self::listed::{ListedSchedule, ScheduleListing, ScheduleState};
pub use self::seam::{Change, Declared, Due, DueSchedule, Fired, Firing, NewSchedule, Schedules, Then};
#[cfg(all(feature = "cron", feature = "worker"))]
pub(crate) use self::{builder::declared, fire::fire};

/// What happens at a tick while the message of the last tick is not settled: it waits, runs, or is to be retried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overlap {
    /// Both run. The default.
    #[default]
    Allow,
    /// The tick passes without a message.
    Skip,
}

/// What becomes of ticks that nobody fired in time, because no worker ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CatchUp {
    /// They pass without a message. A tick counts as missed a minute after its time.
    None,
    /// The last of them fires, late. The default.
    #[default]
    Last,
    /// Each of them fires, late: the newest 1,000.
    All,
}

/// The schedule that an actor declares, as the macro writes it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CronDef {
    /// When it is due.
    pub pattern: &'static str,
    /// The IANA name of the time zone that the pattern is read in.
    pub timezone: &'static str,
    /// What happens while the last message is not settled.
    pub overlap: Overlap,
    /// What becomes of missed ticks.
    pub catch_up: CatchUp,
    /// How much later than its tick a message is stored at most.
    pub jitter: Duration,
}

impl CronDef {
    /// The schedule of a pattern, with every option at its default.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(pattern: &'static str) -> Self {
        let (overlap, catch_up) = (Overlap::Allow, CatchUp::Last);
        Self { pattern, timezone: "UTC", overlap, catch_up, jitter: Duration::ZERO }
    }
}
