//! An outage ends no lease, and every worker works again afterwards.

use std::collections::HashSet;

use super::{Evidence, Finding};
use crate::clock::SECOND;

/// How long before the calm a process must exist, and before the drain be unblocked, so that it has time to start a
/// run.
const BEGUN: u64 = SECOND;

/// A process lives but consumes nothing, for example because it never reconnected.
pub(super) fn all_work_again(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("when all faults are over, every worker works");
    let (since, until) = evidence.calm;
    let mut busy = HashSet::new();
    for message in evidence.messages.values() {
        for run in &message.runs {
            // A run that blocks its worker keeps it from starting others.
            let hogs = message.actor.ends_with("hog") && run.start < until && evidence.over(run) + BEGUN >= until;
            if hogs || (since..until).contains(&run.start) {
                busy.insert(evidence.processes[run.process].as_str());
            }
        }
    }
    for (process, spawned) in &evidence.alive {
        if process.starts_with("worker-") && spawned + BEGUN < since {
            finding.ask(busy.contains(process.as_str()), || format!("{process} started nothing after all faults"));
        }
    }
    finding
}

/// All workers are declared dead after an outage, though nothing was wrong with them.
pub(super) fn leases_outlive_outages(evidence: &Evidence, only_redis: bool) -> Finding {
    let mut finding = Finding::new(super::LEASES_KEPT);
    if only_redis {
        finding.ask(evidence.leases_lost() == 0, || format!("{} leases were lost", evidence.leases_lost()));
    }
    finding
}
