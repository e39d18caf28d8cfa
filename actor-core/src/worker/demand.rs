//! How many messages to fetch: what is free, and what will be done before the next fetch is back.

use std::time::Duration;

const LARGEST_CLAIM: usize = 512;

/// How far ahead to fetch, at least: less than this and the fetches, not the work, set the pace.
const HORIZON: Duration = Duration::from_millis(5);

/// How many round trips ahead to fetch: a claim begins when half of that is left, and may itself take
/// longer than those before it.
const ROUND_TRIPS: u32 = 4;

/// The most that waits in the worker for a free slot.
const LARGEST_BUFFER: f64 = 1_024.0;

/// Follows the pace of a queue's runs.
///
/// A slow actor's pace is next to nothing, so it holds nothing that another worker could run; a fast
/// one's is fed in batches.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    per_second: f64,
    round_trip: Duration,
}

impl Demand {
    /// Takes in that `finished` runs ended within `span`.
    pub(crate) fn observe(&mut self, finished: u64, span: Duration) {
        let seconds = span.as_secs_f64().max(1e-6);
        #[allow(clippy::cast_precision_loss)] // A pace needs no more digits than a float has.
        let now = finished as f64 / seconds;
        // The memory is 20 ms long, however often it is asked.
        let weight = 1.0 - (-seconds / 0.02).exp();
        self.per_second += (now - self.per_second) * weight;
    }

    /// Takes in how long a claim took that had not to wait for a message.
    pub(crate) fn observe_round_trip(&mut self, took: Duration) {
        self.round_trip = (self.round_trip * 3 + took) / 4;
    }

    /// Forgets the pace: what was fetched ahead did not start in time.
    pub(crate) fn forget(&mut self) {
        self.per_second = 0.0;
    }

    /// How many messages to claim now, with this many slots free and this many messages waiting.
    pub(crate) fn claim(&self, free: usize, waiting: usize) -> usize {
        let ahead = self.ahead();
        // In batches: not before half of what is fetched ahead has started.
        if waiting > ahead / 2 {
            return 0;
        }
        (free + ahead).saturating_sub(waiting).min(LARGEST_CLAIM)
    }

    fn ahead(&self) -> usize {
        let horizon = HORIZON.max(self.round_trip * ROUND_TRIPS).as_secs_f64();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // It is clamped.
        {
            (self.per_second * horizon).clamp(0.0, LARGEST_BUFFER) as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_actor_hoards_nothing() {
        let mut demand = Demand::default();
        for _ in 0..100 {
            demand.observe(8, Duration::from_secs(1));
        }
        assert_eq!(demand.claim(3, 0), 3);
        assert_eq!(demand.claim(0, 0), 0);
    }

    #[test]
    fn a_fast_actor_is_fed_ahead_in_batches_and_within_bounds() {
        let mut demand = Demand::default();
        for _ in 0..100 {
            demand.observe(1_000, Duration::from_millis(10));
        }
        assert!((450..=512).contains(&demand.claim(0, 0)), "{}", demand.claim(0, 0));
        assert_eq!(demand.claim(0, 400), 0, "claimed again before half was used up");
        assert!(demand.claim(0, 200) > 200);
    }

    #[test]
    fn a_long_way_to_the_broker_is_bridged() {
        let mut near = Demand::default();
        let mut far = Demand::default();
        for _ in 0..100 {
            near.observe(200, Duration::from_millis(10));
            far.observe(200, Duration::from_millis(10));
            far.observe_round_trip(Duration::from_millis(10));
        }
        assert!(far.claim(0, 0) > 3 * near.claim(0, 0));
    }
}
