//! The broker's time: real time, and as much more as a test has added.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point of the broker's time, in nanoseconds since 1970. It reaches to the year 2554; what is
/// later is then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    /// A time of the broker's.
    pub(super) fn of(time: SystemTime) -> Self {
        Self(nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    pub(super) fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }

    /// How long it is from `self` to `scheduled`; zero where it has passed.
    pub(super) fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }

    pub(super) fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0)
    }
}

/// A clock that never goes back, also where the system's does, and that a test can move on.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    began_at: Moment,
    ahead: Duration,
    /// Where it stands still, and for how many.
    held: Option<(Duration, usize)>,
}

impl Clock {
    pub(super) fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Instant::now(), began_at: Moment(nanos(since_1970)), ahead: Duration::ZERO, held: None }
    }

    pub(super) fn now(&self) -> Moment {
        let run = self.held.map_or_else(|| self.began.elapsed(), |(run, _)| run);
        self.began_at.after(run).after(self.ahead)
    }

    /// Stands still until it is released as often as it was held, but for what a test adds.
    #[cfg(feature = "testing")]
    pub(super) fn hold(&mut self) {
        let (run, holders) = self.held.unwrap_or_else(|| (self.began.elapsed(), 0));
        self.held = Some((run, holders + 1));
    }

    #[cfg(feature = "testing")]
    pub(super) fn release(&mut self) {
        self.held = self.held.filter(|(_, holders)| *holders > 1).map(|(run, holders)| (run, holders - 1));
    }

    pub(super) fn advance(&mut self, duration: Duration) {
        self.ahead = self.ahead.saturating_add(duration);
    }

    /// Moves on, if somebody holds it.
    pub(super) fn advance_held(&mut self, duration: Duration) -> bool {
        if self.held.is_some() {
            self.advance(duration);
        }
        self.held.is_some()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_as_long_as_anybody_holds_it() {
        let mut clock = Clock::new();
        clock.hold();
        let held = clock.now();
        clock.hold();
        clock.release();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(clock.now(), held);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), held.after(Duration::from_secs(1)));
        clock.release();
        assert!(clock.now() > held.after(Duration::from_secs(1)));
    }
}
