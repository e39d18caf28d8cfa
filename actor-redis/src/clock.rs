//! Redis's clock, as well as it is known without asking.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What Redis's clock shows, measured with every connection and renewal.
///
/// Between two measurements it goes on with this host's monotonic clock: a sender may keep a connection
/// for weeks, while the host's time of day is put right by as much as it was wrong.
/// A host that was put to sleep is behind by as long, where that clock stood still, until the next of them.
#[derive(Debug)]
pub(crate) struct Clock {
    /// When this was made.
    made: Instant,
    /// What Redis's clock showed then, in microseconds since 1970.
    redis_us: AtomicI64,
}

/// Nothing has been measured: there was no connection yet.
const UNKNOWN: i64 = i64::MIN;

impl Default for Clock {
    fn default() -> Self {
        Self { made: Instant::now(), redis_us: AtomicI64::new(UNKNOWN) }
    }
}

impl Clock {
    /// Redis's time; this host's where there was no connection yet.
    pub(crate) fn now(&self) -> SystemTime {
        self.at(Instant::now()).unwrap_or_else(SystemTime::now)
    }

    fn at(&self, here: Instant) -> Option<SystemTime> {
        let then = Some(self.redis_us.load(Ordering::Relaxed)).filter(|then| *then != UNKNOWN)?;
        let us = u64::try_from(then.saturating_add(self.age_us(here))).unwrap_or(0);
        UNIX_EPOCH.checked_add(Duration::from_micros(us))
    }

    /// Takes Redis's time, microseconds since 1970, from an answer to what was asked at `asked`.
    pub(crate) fn measure(&self, asked: Instant, redis_us: i64) {
        // The answer was made about halfway.
        let halfway = asked + asked.elapsed() / 2;
        self.redis_us.store(redis_us.saturating_sub(self.age_us(halfway)), Ordering::Relaxed);
    }

    fn age_us(&self, here: Instant) -> i64 {
        i64::try_from(here.saturating_duration_since(self.made).as_micros()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_a_measurement_it_shows_this_hosts_time_and_then_that_of_redis() {
        let clock = Clock::default();
        let here = SystemTime::now();
        assert!(clock.now().duration_since(here).unwrap_or_default() < Duration::from_secs(10));
        let (asked, redis) = (Instant::now(), here + Duration::from_secs(3_600));
        let redis_us = redis.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        clock.measure(asked, i64::try_from(redis_us).unwrap_or_default());
        for later in [0, 60, 1_000_000].map(Duration::from_secs) {
            let shown = clock.at(asked + later).unwrap_or(UNIX_EPOCH);
            let wrong_by = shown.duration_since(redis).unwrap_or_default().abs_diff(later);
            assert!(wrong_by < Duration::from_secs(10), "after {later:?} it is wrong by {wrong_by:?}");
        }
    }
}
