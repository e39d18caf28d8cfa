//! Why a schedule was not stored.

use std::error::Error as StdError;

use crate::causes::debug_as_shown;
use crate::{BrokerError, SendError};

/// Why a schedule was not stored, or could not be read.
///
/// The text is for people and may change; callers ask the predicates.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct ScheduleError(Box<Kind>);

debug_as_shown!(ScheduleError);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("`{pattern}` is not a pattern: {source}")]
    Pattern { pattern: String, source: Box<dyn StdError + Send + Sync> },
    #[error("`{0}` is no time zone of the IANA database: write one as in \"Europe/Berlin\", or \"UTC\"")]
    Timezone(String),
    #[error("`{0}` has no tick: no time matches it any more")]
    Never(String),
    #[error("the name of a schedule has 1 to 256 bytes and no control characters: {0:?}")]
    Name(String),
    #[error("a schedule's message has no delay, durability or idempotency key of its own: remove `.{0}(..)`")]
    Setting(&'static str),
    #[error("this broker keeps no schedules")]
    Unsupported,
    #[error("there is no schedule `{0}` in this queue")]
    Unknown(String),
    #[error("what is stored is not a schedule of this version: {0}")]
    Stored(String),
    #[error(transparent)]
    Message(SendError),
    #[error("the schedule {}", if .0.is_unknown() { "may or may not have been stored" } else { "was not stored" })]
    Broker(#[source] BrokerError),
}

impl ScheduleError {
    pub(super) fn pattern(pattern: &str, source: impl StdError + Send + Sync + 'static) -> Self {
        Self(Box::new(Kind::Pattern { pattern: pattern.to_owned(), source: Box::new(source) }))
    }

    pub(super) fn timezone(name: &str) -> Self {
        Self(Box::new(Kind::Timezone(name.to_owned())))
    }

    pub(super) fn never(pattern: &str) -> Self {
        Self(Box::new(Kind::Never(pattern.to_owned())))
    }

    pub(super) fn name(name: &str) -> Self {
        Self(Box::new(Kind::Name(name.chars().take(300).collect())))
    }

    pub(super) fn setting(name: &'static str) -> Self {
        Self(Box::new(Kind::Setting(name)))
    }

    pub(super) fn unsupported() -> Self {
        Self(Box::new(Kind::Unsupported))
    }

    pub(super) fn unknown_name(name: &str) -> Self {
        Self(Box::new(Kind::Unknown(name.to_owned())))
    }

    pub(super) fn stored(why: String) -> Self {
        Self(Box::new(Kind::Stored(why)))
    }

    pub(super) fn message(error: SendError) -> Self {
        Self(Box::new(Kind::Message(error)))
    }

    pub(super) fn broker(error: BrokerError) -> Self {
        Self(Box::new(Kind::Broker(error)))
    }

    /// Whether the schedule itself is wrong: its name, pattern, time zone or message.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        match &*self.0 {
            Kind::Pattern { .. } | Kind::Timezone(_) | Kind::Never(_) | Kind::Name(_) | Kind::Setting(_) => true,
            Kind::Message(error) => error.is_invalid(),
            _ => false,
        }
    }

    /// Whether the broker in use keeps no schedules.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(*self.0, Kind::Unsupported)
    }

    /// Whether there is no schedule of this name.
    #[must_use]
    pub fn is_no_such_schedule(&self) -> bool {
        matches!(*self.0, Kind::Unknown(_))
    }

    /// Whether it may have happened all the same. A schedule may be stored again at any time.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        match &*self.0 {
            Kind::Broker(error) => error.is_unknown(),
            Kind::Message(error) => error.is_unknown(),
            _ => false,
        }
    }

    /// Whether the same call may succeed later, unchanged: the broker is away, full or read-only.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &*self.0 {
            Kind::Broker(error) => error.is_transient(),
            Kind::Message(error) => error.is_transient(),
            _ => false,
        }
    }
}
