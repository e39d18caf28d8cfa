//! Schedules fire each tick once.

use super::{Evidence, Finding};

/// A second, in ms.
const SECOND: u64 = 1_000;

/// Of a schedule of every second that catches up all it missed: from the first tick that ran to the last.
pub(super) fn each_once(evidence: &Evidence, has_schedule: bool) -> Finding {
    let mut finding = Finding::new(super::TICKS);
    let (Some((first, _)), Some((last, _))) = (evidence.ticks.first_key_value(), evidence.ticks.last_key_value())
    else {
        finding.ask(!has_schedule, || "no tick ran".to_owned());
        return finding;
    };
    for at in (*first..=*last).step_by(usize::try_from(SECOND).unwrap_or(usize::MAX)) {
        let ids = evidence.ticks.get(&at).map_or(0, std::collections::BTreeSet::len);
        finding.ask(ids == 1, || format!("the tick {at} has {ids} messages"));
    }
    let odd = evidence.ticks.keys().filter(|at| *at % SECOND != 0);
    odd.for_each(|at| finding.breach(format!("{at} is no tick")));
    finding
}
