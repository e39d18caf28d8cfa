//! The schedule of a run's faults, which depends only on the seed.

use std::time::Duration;

use fastrand::Rng;

use crate::fault::{Fault, Track};
use crate::scenario::Scenario;

/// Minimum distance between outages of this length. Workers extend others' leases by an outage, for a lease; frequent
/// outages of all queues would postpone every death.
const LONG: Duration = Duration::from_millis(1_500);

/// A planned fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub(crate) at: Duration,
    pub(crate) hold: Duration,
    pub(crate) fault: Fault,
    /// Chooses the victim.
    pub(crate) rng: u64,
}

/// Plans the faults of the first `span`, by time.
pub(crate) fn plan(scenario: &Scenario, span: Duration, seed: u64) -> Vec<Planned> {
    let mut planned = Vec::new();
    for (number, track) in [Track::Process, Track::Redis, Track::Network, Track::Beside].into_iter().enumerate() {
        let faults: Vec<_> = scenario.faults.iter().filter(|(fault, _)| fault.track() == track).copied().collect();
        let weights: u32 = faults.iter().map(|(_, weight)| weight).sum();
        if weights == 0 {
            continue;
        }
        let mut rng = Rng::with_seed(seed.wrapping_mul(3).wrapping_add(number as u64));
        // The processes get their first seconds without faults.
        let mut at = Duration::from_secs(2);
        loop {
            at += Duration::from_millis(rng.u64(scenario.gap_ms.0..=scenario.gap_ms.1));
            let fault = choose(&faults, rng.u32(0..weights));
            let (least, most) = fault.hold_ms(scenario.lease());
            let hold = Duration::from_millis(rng.u64(least..=most));
            let rng = rng.u64(..);
            if at + hold > span {
                break;
            }
            planned.push(Planned { at, hold, fault, rng });
            at += hold;
            if track == Track::Redis && hold > LONG && !fault.spares_service() && !fault.is_partial() {
                at += scenario.lease() * 2;
            }
        }
    }
    planned.sort_by_key(|planned| planned.at);
    planned
}

fn choose(faults: &[(Fault, u32)], mut rng: u32) -> Fault {
    for (fault, weight) in faults {
        if rng < *weight {
            return *fault;
        }
        rng -= weight;
    }
    faults[0].0
}
