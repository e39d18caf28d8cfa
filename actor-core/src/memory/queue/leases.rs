//! The leases of a queue's workers, and recovering what dead ones held.

use std::collections::HashSet;
use std::time::Duration;

use super::{InFlight, Key, Queue, delivery};
use crate::delivery::{Delivery, WorkerId};
use crate::memory::clock::Moment;
use crate::memory::control::is_cancelled;

impl Queue {
    pub(in crate::memory) fn register(&mut self, worker: &WorkerId, until: Moment) {
        self.leases.insert(worker.clone(), until);
    }

    /// Whether the lease is held: the worker was not declared dead.
    pub(in crate::memory) fn renew(&mut self, worker: &WorkerId, until: Moment) -> bool {
        self.leases.get_mut(worker).map(|end| *end = until).is_some()
    }

    /// Whether another worker seems to be dead.
    pub(in crate::memory) fn has_deaths(&self, worker: &WorkerId, now: Moment) -> bool {
        self.leases.iter().any(|(other, end)| other != worker && *end <= now)
            || self.in_flight.values().any(|in_flight| !self.leases.contains_key(&in_flight.worker))
    }

    pub(in crate::memory) fn stopping(&mut self, worker: &WorkerId) {
        if self.leases.contains_key(worker) {
            self.leaving.insert(worker.clone());
        }
    }

    pub(in crate::memory) fn deregister(&mut self, worker: &WorkerId) {
        self.leases.remove(worker);
        if self.in_flight.values().any(|in_flight| in_flight.worker == *worker) {
            self.leaving.insert(worker.clone());
        } else {
            self.leaving.remove(worker);
        }
    }

    fn forget_who_left(&mut self) {
        let holders: HashSet<_> = self.in_flight.values().map(|in_flight| &in_flight.worker).collect();
        self.leaving.retain(|worker| self.leases.contains_key(worker) || holders.contains(worker));
    }

    pub(in crate::memory) fn recover(
        &mut self,
        worker: &WorkerId,
        max: usize,
        grace: Duration,
        now: Moment,
    ) -> Vec<Delivery> {
        // A worker that is dead itself could get back what it had already lost, and its late answer to
        // the first delivery would count for the second.
        let sessions = self.leases.get(worker).is_some_and(|end| *end > now);
        if self.paused || max == 0 || !sessions {
            return Vec::new();
        }
        // Without its entry a worker is dead, whatever it still holds, until all of that is taken.
        self.leases.retain(|_, end| end.after(grace) > now);
        let left_behind = |(_, in_flight): &(&Key, &InFlight)| {
            in_flight.worker != *worker && !self.leases.contains_key(&in_flight.worker)
        };
        let fresh = |(_, in_flight): &(&Key, &InFlight)| in_flight.crashes == 0 && !in_flight.suspect;
        let mut taken: Vec<Key> =
            self.in_flight.iter().filter(left_behind).filter(fresh).map(|(key, _)| *key).take(max).collect();
        if taken.is_empty() {
            // What another dead worker held before is delivered last, and alone.
            taken.extend(self.in_flight.iter().find(left_behind).map(|(key, _)| *key));
        }
        let deliver = |key: Key| {
            let in_flight = self.in_flight.get_mut(&key)?;
            let was_leaving = self.leaving.contains(&in_flight.worker);
            let counted = if was_leaving { &mut in_flight.interruptions } else { &mut in_flight.crashes };
            *counted = counted.saturating_add(1);
            in_flight.worker = worker.clone();
            in_flight.since = now;
            let delivery = delivery(key.number, in_flight.level, in_flight.body.clone());
            let is_cancelled = is_cancelled(&self.cancelled, &in_flight.body);
            Some(delivery.recovered(in_flight.crashes, in_flight.interruptions).cancelled(is_cancelled))
        };
        let deliveries = taken.into_iter().filter_map(deliver).collect();
        self.forget_who_left();
        deliveries
    }
}
