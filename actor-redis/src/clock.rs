//! Redis's clock, as well as it is known without asking.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far this host's clock is behind Redis's, measured with every connection and renewal.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    behind_us: AtomicI64,
}

impl Clock {
    pub(crate) fn now(&self) -> SystemTime {
        let behind = self.behind_us.load(Ordering::Relaxed);
        let by = Duration::from_micros(behind.unsigned_abs());
        let now = SystemTime::now();
        let moved = if behind < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        moved.unwrap_or(now)
    }

    /// Takes Redis's time, microseconds since 1970, from an answer to what was asked at `asked`.
    pub(crate) fn measure(&self, asked: SystemTime, redis_us: i64) {
        let answered = SystemTime::now();
        // The answer was made about halfway.
        let halfway = asked + answered.duration_since(asked).unwrap_or_default() / 2;
        let here_us = halfway.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        if let Ok(here_us) = i64::try_from(here_us) {
            self.behind_us.store(redis_us.saturating_sub(here_us), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_an_hour_behind_redis_shows_redis_time() {
        let clock = Clock::default();
        let asked = SystemTime::now();
        let hour = Duration::from_secs(3600);
        let redis = (asked + hour).duration_since(UNIX_EPOCH).unwrap_or_default();
        clock.measure(asked, i64::try_from(redis.as_micros()).unwrap_or_default());
        let ahead = clock.now().duration_since(asked).unwrap_or_default();
        assert!(ahead.abs_diff(hour) < Duration::from_secs(10), "{ahead:?}");
    }
}
