//! Delivering what was parked to a worker that can run it.

use std::ops::Bound;

use super::{Copied, Key, Queue, Ready, Scheduled, level, released};
use crate::delivery::{Delivery, WorkerId};
use crate::memory::clock::Moment;

impl Queue {
    pub(in crate::memory) fn unpark(
        &mut self,
        worker: &WorkerId,
        abilities: &[&str],
        max: usize,
        now: Moment,
    ) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        if self.paused {
            return deliveries;
        }
        for ability in abilities {
            let mut from = Bound::Included(((*ability).to_owned(), 0, Key { rank: 0, number: 0 }));
            while deliveries.len() < max
                && let Some(found) = self.parked.range((from, Bound::Unbounded)).next().cloned()
                && found.0 == *ability
            {
                let (_, number, key) = found;
                from = Bound::Excluded(found.clone());
                let lane = self.scheduled.get(&key).and_then(|parked| parked.copy.lane.as_ref());
                let slot = match lane.map(|lane| self.gate.take_for(lane)) {
                    // Its limits are used up: it is asked for again.
                    Some(None) => continue,
                    slot => slot.flatten(),
                };
                self.parked.remove(&found);
                let Some(Scheduled { copy }) = self.scheduled.remove(&key) else { continue };
                let Copied { body, priority, suspect, held, .. } = copy;
                let from = Key { rank: released(level(priority)), number };
                let ready = Ready { body, since: now, suspect, slot, held };
                deliveries.push(self.deliver(worker, from, ready, now));
            }
        }
        deliveries
    }
}
