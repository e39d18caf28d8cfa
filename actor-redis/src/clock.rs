//! Redis's clock, as well as it is known without asking.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
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
    /// The last time that it was put forward. Locked for moments only, by measurements and recoveries.
    leap: Mutex<Option<Leap>>,
    /// The longest lease that is kept here, in ms: whoever lives has renewed one by the new time after it.
    lease_ms: AtomicU64,
}

/// Redis's clock was put forward, or another server's clock is ahead of that of the one before: all leases
/// that were begun before seem to have ended.
#[derive(Clone, Copy, Debug)]
struct Leap {
    by: Duration,
    noticed: Instant,
}

/// Less than this is no leap.
const LEAST_LEAP: Duration = Duration::from_millis(500);
/// How long a leap counts at least.
const LEAP_COUNTS: Duration = Duration::from_secs(10);

/// Nothing has been measured: there was no connection yet.
const UNKNOWN: i64 = i64::MIN;

impl Default for Clock {
    fn default() -> Self {
        Self {
            made: Instant::now(),
            redis_us: AtomicI64::new(UNKNOWN),
            leap: Mutex::default(),
            lease_ms: AtomicU64::new(0),
        }
    }
}

impl Clock {
    /// Redis's time; this host's where there was no connection yet.
    pub(crate) fn now(&self) -> SystemTime {
        self.at(Instant::now()).unwrap_or_else(SystemTime::now)
    }

    /// Redis's time in milliseconds since 1970; `None` where there was no connection yet.
    pub(crate) fn now_ms(&self) -> Option<i64> {
        self.us_at(Instant::now()).map(|us| us / 1_000)
    }

    /// By how much it was put forward a moment ago.
    pub(crate) fn leapt(&self) -> Duration {
        self.leapt_by(Instant::now())
    }

    fn leapt_by(&self, here: Instant) -> Duration {
        let leap = *self.leap.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = LEAP_COUNTS.max(Duration::from_millis(self.lease_ms.load(Ordering::Relaxed)));
        leap.filter(|leap| here.saturating_duration_since(leap.noticed) < counts).map_or(Duration::ZERO, |leap| leap.by)
    }

    /// Tells how long the leases are.
    pub(crate) fn keeps(&self, lease: Duration) {
        self.lease_ms.fetch_max(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn at(&self, here: Instant) -> Option<SystemTime> {
        let us = u64::try_from(self.us_at(here)?).unwrap_or(0);
        UNIX_EPOCH.checked_add(Duration::from_micros(us))
    }

    fn us_at(&self, here: Instant) -> Option<i64> {
        let then = Some(self.redis_us.load(Ordering::Relaxed)).filter(|then| *then != UNKNOWN)?;
        Some(then.saturating_add(self.age_us(here)))
    }

    /// Takes Redis's time, microseconds since 1970, from an answer to what was asked at `asked`.
    pub(crate) fn measure(&self, asked: Instant, redis_us: i64) {
        // The answer was made about halfway.
        let halfway = asked + asked.elapsed() / 2;
        let then = redis_us.saturating_sub(self.age_us(halfway));
        let before = self.redis_us.swap(then, Ordering::Relaxed);
        let by = Duration::from_micros(u64::try_from(then.saturating_sub(before)).unwrap_or(0));
        if before != UNKNOWN && by > LEAST_LEAP {
            // No sum: where answers are slow, measurements waver, and each seems to be a leap.
            let by = by.max(self.leapt());
            let leap = Leap { by, noticed: Instant::now() };
            *self.leap.lock().unwrap_or_else(PoisonError::into_inner) = Some(leap);
        }
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

    #[test]
    fn a_clock_that_is_put_forward_has_leapt_and_one_that_is_put_back_has_not() {
        let clock = Clock::default();
        let measure = |seconds: i64| clock.measure(Instant::now(), 1_000_000 * (1_000_000 + seconds));
        measure(0);
        assert_eq!(clock.leapt(), Duration::ZERO);
        measure(-3_600);
        assert_eq!(clock.leapt(), Duration::ZERO);
        measure(-3_590);
        measure(-3_500);
        let leapt = clock.leapt();
        assert!(leapt.abs_diff(Duration::from_secs(90)) < Duration::from_secs(5), "{leapt:?}");
    }

    #[test]
    fn a_leap_counts_until_whoever_lives_has_renewed_the_longest_lease_that_is_kept_here() {
        let clock = Clock::default();
        for lease in [6, 60, 6] {
            clock.keeps(Duration::from_secs(lease));
        }
        clock.measure(Instant::now(), 1_000_000_000_000);
        clock.measure(Instant::now(), 1_000_010_000_000);
        let noticed = Instant::now();
        assert!(clock.leapt_by(noticed + Duration::from_secs(50)) > Duration::from_secs(5));
        assert_eq!(clock.leapt_by(noticed + Duration::from_secs(60)), Duration::ZERO);
    }
}
