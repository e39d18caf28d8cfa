//! Which ticks of a schedule fire now, and which is next: a decision without any input but its arguments.

use std::collections::VecDeque;

use super::timing::Timing;
use super::{CatchUp, Overlap};

/// How many missed ticks are caught up at most, the newest ones.
pub(super) const MOST_CAUGHT_UP: usize = 1_000;
/// How many of them fire in one step at most.
const AT_ONCE: usize = 64;
/// How late a tick may fire that is not caught up.
const ON_TIME_MS: u64 = 60_000;
/// Where the search for the newest ticks begins.
const FIRST_SPAN_MS: u64 = 1_000;

/// What a schedule's ticks depend on. All times are in milliseconds since 1970.
pub(super) struct Waiting<'a> {
    pub(super) timing: &'a Timing,
    pub(super) name: &'a str,
    pub(super) overlap: Overlap,
    pub(super) catch_up: CatchUp,
    /// The next tick, where it is known, and else from where on there are ticks.
    pub(super) tick: Option<u64>,
    pub(super) since: u64,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The ticks that fire.
    pub(super) ticks: Vec<u64>,
    /// The tick after them; `None` where there is none any more.
    pub(super) next: Option<u64>,
}

impl Waiting<'_> {
    pub(super) fn plan(&self, now: u64) -> Plan {
        let Some(first) = self.tick.or_else(|| self.timing.next(self.since)) else {
            return Plan { ticks: Vec::new(), next: None };
        };
        if !self.is_due(first, now) {
            return Plan { ticks: Vec::new(), next: Some(first) };
        }
        let most = if self.catch_up == CatchUp::All { MOST_CAUGHT_UP } else { 1 };
        let (mut ticks, mut next) = self.newest(first, now, most);
        match self.overlap {
            // Of several at once all but one would be skipped.
            Overlap::Skip => drop(ticks.drain(..ticks.len() - 1)),
            Overlap::Allow if ticks.len() > AT_ONCE => {
                next = Some(ticks[AT_ONCE]);
                ticks.truncate(AT_ONCE);
            }
            Overlap::Allow => {}
        }
        let is_late = |tick: u64| self.timing.due(self.name, tick).saturating_add(ON_TIME_MS) < now;
        ticks.retain(|tick| self.catch_up != CatchUp::None || !is_late(*tick));
        Plan { ticks: ticks.into(), next }
    }

    fn is_due(&self, tick: u64, now: u64) -> bool {
        self.timing.due(self.name, tick) <= now
    }

    /// The newest ticks from `first` on that are due, of which there is one at least, and the tick after them.
    fn newest(&self, first: u64, now: u64, most: usize) -> (VecDeque<u64>, Option<u64>) {
        // A pattern finds its ticks forwards. So it looks ever further back, until there are enough.
        let mut span = FIRST_SPAN_MS;
        loop {
            let from = now.saturating_sub(span).max(first - 1);
            let mut ticks = VecDeque::new();
            let mut tick = self.timing.next(from);
            while let Some(due) = tick.filter(|tick| self.is_due(*tick, now)) {
                ticks.push_back(due);
                if ticks.len() > most {
                    ticks.pop_front();
                }
                tick = self.timing.next(due);
            }
            if ticks.len() == most || from < first {
                return (ticks, tick);
            }
            span = span.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::timing::Written;
    use super::*;

    const MINUTE: u64 = 60_000;

    fn plan(pattern: &str, catch_up: CatchUp, overlap: Overlap, tick: Option<u64>, now: u64) -> Plan {
        let (pattern, timezone) = (pattern.to_owned(), "UTC".to_owned());
        let timing = Timing::read(&Written { pattern, timezone, jitter_ms: 0 }).unwrap();
        Waiting { timing: &timing, name: "it", overlap, catch_up, tick, since: 0 }.plan(now)
    }

    fn every_minute(catch_up: CatchUp, tick: u64, now: u64) -> (Vec<u64>, Option<u64>) {
        let plan = plan("* * * * *", catch_up, Overlap::Allow, Some(tick * MINUTE), now);
        (plan.ticks.iter().map(|tick| tick / MINUTE).collect(), plan.next.map(|tick| tick / MINUTE))
    }

    #[test]
    fn a_schedule_without_a_tick_gets_the_first_after_it_was_stored() {
        let first = plan("*/5 * * * *", CatchUp::Last, Overlap::Allow, None, MINUTE);
        assert_eq!(first, Plan { ticks: vec![], next: Some(5 * MINUTE) });
        // No worker was there at its first two ticks.
        let late = plan("*/5 * * * *", CatchUp::All, Overlap::Allow, None, 11 * MINUTE);
        assert_eq!(late, Plan { ticks: vec![5 * MINUTE, 10 * MINUTE], next: Some(15 * MINUTE) });
    }

    #[test]
    fn missed_ticks_are_caught_up_as_the_schedule_says() {
        let now = 14 * MINUTE + 10_000;
        assert_eq!(every_minute(CatchUp::All, 10, now), (vec![10, 11, 12, 13, 14], Some(15)));
        assert_eq!(every_minute(CatchUp::Last, 10, now), (vec![14], Some(15)));
        assert_eq!(every_minute(CatchUp::None, 10, now), (vec![14], Some(15)));
        assert_eq!(every_minute(CatchUp::Last, 14, now), (vec![14], Some(15)));
        assert_eq!(every_minute(CatchUp::Last, 15, now), (vec![], Some(15)), "before its time");
    }

    #[test]
    fn a_tick_that_is_not_caught_up_passes_a_minute_after_its_time() {
        let hourly = |now| plan("0 * * * *", CatchUp::None, Overlap::Allow, Some(60 * MINUTE), now);
        assert_eq!(hourly(61 * MINUTE).ticks, [60 * MINUTE]);
        assert_eq!(hourly(61 * MINUTE + 1), Plan { ticks: vec![], next: Some(120 * MINUTE) });
    }

    #[test]
    fn catching_up_is_bounded_and_goes_in_steps() {
        let second = |from: u64, now: u64| plan("* * * * * *", CatchUp::All, Overlap::Allow, Some(from * 1_000), now);
        let day = second(1, 86_400_000);
        let first = 86_400 - 999;
        assert_eq!((day.ticks.len(), day.ticks[0]), (AT_ONCE, first * 1_000));
        assert_eq!(day.next, Some((first + 64) * 1_000));
        let rest = second(first + 64, 86_400_000);
        assert_eq!(rest.ticks[0], (first + 64) * 1_000, "no more is left out");
    }

    #[test]
    fn the_last_tick_is_found_however_long_ago_it_was() {
        let ten_years = 3_652 * 86_400_000;
        let plan = plan("0 0 29 2 *", CatchUp::Last, Overlap::Allow, None, ten_years);
        let leap = |years_and_days: u64| years_and_days * 86_400_000;
        assert_eq!(plan, Plan { ticks: vec![leap(2 * 365 + 4 * 365 + 1 + 59)], next: Some(leap(10 * 365 + 2 + 59)) });
    }

    #[test]
    fn what_must_not_overlap_fires_once_for_all_that_was_missed() {
        let plan = plan("* * * * *", CatchUp::All, Overlap::Skip, Some(10 * MINUTE), 14 * MINUTE);
        assert_eq!(plan, Plan { ticks: vec![14 * MINUTE], next: Some(15 * MINUTE) });
    }
}
