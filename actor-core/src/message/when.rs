//! When a message starts.

use std::time::{Duration, SystemTime};

/// When a message starts, at the earliest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// So long from now.
    After(Duration),
    /// At this time, by the broker's clock. A time that has passed means at once.
    At(SystemTime),
}

impl When {
    /// How long it is from `now`.
    pub(crate) fn delay(self, now: SystemTime) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::After(delay) => delay,
            Self::At(time) => time.duration_since(now).unwrap_or_default(),
        }
    }
}
