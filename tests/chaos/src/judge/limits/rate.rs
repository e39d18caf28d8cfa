//! No more messages start in a time than the queue's rate allows.

use super::super::{Evidence, Finding, RATED};
use super::bounds::Bounds;
use super::gated;
use super::holds::holds;
use crate::clock::SECOND;
use crate::tasks::gated::BURST;

/// How much later than it was let go a delivery may be recorded, without faults.
const LATE: u64 = SECOND / 2;

/// Checked for each start, with those before it since the last fault or change of a limit.
pub(in super::super) fn never_too_fast(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(RATED);
    let bounds = Bounds::of(evidence);
    let mut starts: Vec<(u64, u32)> = Vec::new();
    for (id, message, lane) in gated(evidence) {
        let holds = holds(evidence, id, message);
        starts.extend(holds.iter().filter(|hold| hold.is_start).map(|hold| (hold.delivered.at, lane.cost)));
    }
    starts.sort_unstable();
    // Since when starts are counted, until when those have used up the rate, and when the last one was.
    let (mut first, mut used, mut last) = (None, 0, 0);
    for (at, cost) in starts {
        let is_calm = evidence.disrupted_between(last, at) == 0;
        last = at;
        let counted = first.filter(|_| is_calm);
        let Some((since, interval)) =
            counted.and_then(|since: u64| Some((since, bounds.interval(since.saturating_sub(LATE), at)?)))
        else {
            (first, used) = (Some(at), 0);
            continue;
        };
        let spends = u64::from(cost) * interval;
        used = at.max(used) + spends;
        let most = (u64::from(BURST) * interval).max(spends) + LATE;
        finding.ask(used - at <= most, || {
            let ahead = (used - at) / 1_000;
            format!("what started since {since} uses up the rate of one in {interval} us for {ahead} ms from {at} on")
        });
    }
    finding
}
