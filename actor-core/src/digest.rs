//! Numbers that are logged summed up: what happens often must be seen, and must not fill the log.

use std::time::{Duration, Instant};

/// How long the log is quiet about it after it was logged.
const QUIET: Duration = Duration::from_secs(60);

/// A number that is logged at once, and from then on summed up, once a minute at most.
#[derive(Debug, Default)]
pub struct Digest {
    sum: u64,
    quiet_until: Option<Instant>,
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
        if self.sum == 0 || self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = now.checked_add(QUIET);
        Some(std::mem::take(&mut self.sum))
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
        let later = Instant::now() + QUIET;
        assert_eq!((digest.at(later), digest.at(later)), (Some(7), None));
    }
}
