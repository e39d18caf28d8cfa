//! When a schedule is due: a pattern, read in a time zone.
//!
//! A pattern that names hours goes by the wall clock: a time that the change to summer time skips is the next instant
//! that there is, and of one that comes twice the first counts. A pattern of every hour goes by elapsed time, so that
//! every five minutes stays every five minutes.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;
use serde::{Deserialize, Serialize};

use super::error::ScheduleError;

/// Further than any change of a zone's offset.
const FAR: TimeDelta = TimeDelta::hours(27);

/// What decides on a schedule's ticks, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) pattern: String,
    pub(super) timezone: String,
    #[serde(default)]
    pub(super) jitter_ms: u64,
}

/// The same, read. All times are in milliseconds since 1970.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    cron: Cron,
    zone: Tz,
    every_hour: bool,
    jitter_ms: u64,
}

impl Timing {
    pub(super) fn read(written: &Written) -> Result<Self, ScheduleError> {
        let Written { pattern, timezone, jitter_ms } = written;
        let cron: Cron = pattern.parse().map_err(|error| ScheduleError::pattern(pattern, error))?;
        let zone: Tz = timezone.parse().map_err(|_| ScheduleError::timezone(timezone))?;
        let every_hour = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
        Ok(Self { cron, zone, every_hour, jitter_ms: *jitter_ms })
    }

    pub(super) fn of_text(text: &str) -> Result<Self, ScheduleError> {
        let written = serde_json::from_str(text).map_err(|error| ScheduleError::stored(error.to_string()))?;
        Self::read(&written)
    }

    /// The first tick after this time; `None` where there is none before the year 5000.
    pub(super) fn next(&self, after_ms: u64) -> Option<u64> {
        let after = DateTime::<Utc>::from_timestamp_millis(i64::try_from(after_ms).ok()?)?;
        let after = after.with_nanosecond(0)?.with_timezone(&self.zone);
        let next = if self.every_hour {
            self.cron.find_next_occurrence(&after, false).ok()?
        } else {
            let mut local = after.naive_local();
            loop {
                local = self.cron.find_next_occurrence(&local, false).ok()?;
                // What comes twice lies in the past where this is the second time.
                let instant = self.instant(local)?;
                if instant > after {
                    break instant;
                }
            }
        };
        u64::try_from(next.timestamp_millis()).ok()
    }

    /// The instant at which a clock shows this time, or skips it.
    fn instant(&self, local: NaiveDateTime) -> Option<DateTime<Tz>> {
        if let Some(instant) = self.zone.from_local_datetime(&local).earliest() {
            return Some(instant);
        }
        let utc = local.and_utc();
        let (mut before, mut after) = ((utc - FAR).timestamp(), (utc + FAR).timestamp());
        while before + 1 < after {
            let middle = i64::midpoint(before, after);
            let shown = DateTime::from_timestamp(middle, 0)?.with_timezone(&self.zone).naive_local();
            if shown < local { before = middle } else { after = middle }
        }
        Some(DateTime::from_timestamp(after, 0)?.with_timezone(&self.zone))
    }

    /// When a tick's message is due: the same for every worker.
    pub(super) fn due(&self, name: &str, tick_ms: u64) -> u64 {
        if self.jitter_ms == 0 {
            return tick_ms;
        }
        let spread = hash(&[name.as_bytes(), &tick_ms.to_be_bytes()], 0) % self.jitter_ms;
        tick_ms.saturating_add(spread)
    }
}

/// FNV-1a with 64 bits, and a last step that spreads what differs in the last bytes over all bits.
pub(super) fn hash(parts: &[&[u8]], seed: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for part in parts {
        // The line feed ends each part, so that `a, bc` is not `ab, c`.
        for byte in part.iter().chain(b"\n") {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// The jitter as it is stored.
pub(super) fn whole_ms(jitter: Duration) -> u64 {
    u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
