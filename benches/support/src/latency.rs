//! Latencies, in a histogram with three digits.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::{Result, Tally};

/// How late messages started.
#[derive(Debug)]
pub struct Latency(Histogram<u64>);

impl Latency {
    /// The time from when each was due to its start. The first tenth is left out, while connections warm up.
    ///
    /// # Errors
    ///
    /// One did not start.
    pub fn of(tally: &Tally, messages: u64, due: impl Fn(u64) -> Instant) -> Result<Self> {
        let late = |n| {
            let start = tally.start_of(n).ok_or_else(|| format!("message {n} did not start"))?;
            Ok(start.saturating_duration_since(due(n)))
        };
        Self::of_each((messages / 10..messages).map(late).collect::<Result<Vec<_>>>()?)
    }

    /// These times.
    ///
    /// # Errors
    ///
    /// One is longer than centuries.
    pub fn of_each(times: impl IntoIterator<Item = Duration>) -> Result<Self> {
        let mut histogram = Histogram::new(3)?;
        for time in times {
            histogram.record(u64::try_from(time.as_nanos())?)?;
        }
        Ok(Self(histogram))
    }

    /// The parts of a run's messages that are shown, and their names.
    pub const FIGURES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

    /// How late the latest of this part of the messages was, in milliseconds.
    #[must_use]
    pub fn ms(&self, part: f64) -> f64 {
        Duration::from_nanos(self.0.value_at_quantile(part)).as_secs_f64() * 1e3
    }
}
