//! Numbers that are logged summed up: what happens often must be seen, and must not fill the log.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// How often something was logged in full in this minute.
#[derive(Debug, Default)]
pub(crate) struct InFull {
    minute_ends: Option<Instant>,
    logged: u32,
}

impl InFull {
    /// Whether it may be logged once more, with at most `most` a minute.
    pub(crate) fn may_log(&mut self, most: u32, now: Instant) -> bool {
        if self.is_over(now) {
            *self = Self { minute_ends: Some(now + MINUTE), logged: 0 };
        }
        let may_log = self.logged < most;
        self.logged += u32::from(may_log);
        may_log
    }

    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.minute_ends.is_none_or(|end| now >= end)
    }
}

/// A number that is logged at once, and from then on summed up, once a minute at most.
#[derive(Debug, Default)]
pub struct Digest {
    sum: u64,
    in_full: InFull,
}

impl Digest {
    /// Adds to it. Returns the sum, where it is to be logged now. Called again with nothing, it returns what
    /// is still to be logged once its time has come.
    #[must_use]
    pub fn add(&mut self, more: u64) -> Option<u64> {
        self.sum = self.sum.saturating_add(more);
        // Almost always, and without asking for the time.
        if self.sum == 0 { None } else { self.at(Instant::now()) }
    }

    fn at(&mut self, now: Instant) -> Option<u64> {
        (self.sum > 0 && self.in_full.may_log(1, now)).then(|| std::mem::take(&mut self.sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_the_others_once_a_minute_and_none_is_left_out() {
        let mut digest = Digest::default();
        assert_eq!(digest.add(0), None);
        assert_eq!(digest.add(2), Some(2));
        assert_eq!((digest.add(3), digest.add(4)), (None, None));
        let later = Instant::now() + MINUTE;
        assert_eq!((digest.at(later), digest.at(later)), (Some(7), None));
    }
}
