//! What a fault hits: a process, or some of Redis.

use crate::fault::{Fault, Track};
use crate::fleet::{Role, Slot};
use crate::stage::Stage;
use crate::topology::Servers;

/// The victim.
#[derive(Clone, Debug)]
pub(crate) struct Victim {
    /// The slot of a process, or none for Redis.
    pub(crate) slot: Option<usize>,
    /// As histories name it.
    pub(crate) on: String,
}

impl Victim {
    /// Faults of single workers spare the first, so that one can always recover.
    pub(crate) fn of(fault: Fault, stage: &Stage, rng: u64) -> Self {
        let wanted: &[Role] = match fault {
            Fault::KillWorker | Fault::CycleWorker | Fault::FreezeWorker | Fault::RollBack | Fault::FewThreads => {
                &[Role::Worker]
            }
            Fault::KillProducer => &[Role::Producer],
            fault if fault.track() == Track::Network => &[Role::Worker, Role::Producer],
            _ => &[],
        };
        let fits = |(index, slot): (usize, &Slot)| {
            (wanted.contains(&slot.role()) && !(slot.role() == Role::Worker && index == 0)).then_some(index)
        };
        let victims: Vec<_> = stage.slots.iter().enumerate().filter_map(fits).collect();
        let count = victims.len() as u64;
        let slot = (count > 0).then(|| victims[(rng % count) as usize]);
        let on = match (slot, &stage.servers) {
            (Some(slot), _) => stage.slots[slot].place(),
            (None, Servers::Cluster(cluster)) if fault == Fault::Reshard => cluster.chosen_slot(rng),
            (None, Servers::Cluster(cluster)) if fault.is_of_a_primary() => cluster.chosen(rng),
            (None, _) => "redis".to_owned(),
        };
        Self { slot, on }
    }
}
