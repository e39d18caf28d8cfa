//! The limit of each key, and the lanes of those that wait for it. Each method is a part of one script.

use crate::storage::{Counters, Group, Storage};
use crate::unique::Place;

/// What stands in Redis of a queue with a limit for each key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gate {
    /// How many messages of a key may be in flight.
    pub limit: u8,
    /// How many slots of each key are counted as taken.
    pub taken: Vec<u8>,
    /// What waits in the lane of each key, in order.
    pub lanes: Vec<Vec<(u8, Counters)>>,
}

impl Gate {
    /// With so many keys, a slot each, and nothing that waits.
    pub fn new(keys: u8) -> Self {
        let keys = usize::from(keys);
        Self { limit: 1, taken: vec![0; keys], lanes: vec![Vec::new(); keys] }
    }

    /// The key of a message.
    pub fn key(&self, message: u8) -> usize {
        usize::from(message) % self.taken.len()
    }

    /// `enter.lua`: a message goes to the end of its lane.
    pub fn enter(&mut self, message: u8, counters: Counters) {
        let key = self.key(message);
        self.lanes[key].push((message, counters));
    }

    /// The keys of which a message may go.
    pub fn open(&self) -> impl Iterator<Item = u8> {
        let is_open = |key: &u8| {
            let at = usize::from(*key);
            !self.lanes[at].is_empty() && self.taken[at] < self.limit
        };
        (0_u8..).take(self.taken.len()).filter(is_open)
    }

    /// `free_slots.lua`.
    pub fn free(&mut self, message: u8) {
        let key = self.key(message);
        self.taken[key] = self.taken[key].saturating_sub(1);
    }
}

impl Storage {
    /// `grant.lua`: the first message of a lane becomes ready, and takes its slot.
    pub fn grant(&mut self, key: u8) {
        let Some(gate) = &mut self.gate else { return };
        let key = usize::from(key);
        if gate.lanes[key].is_empty() {
            return;
        }
        let (message, counters) = gate.lanes[key].remove(0);
        gate.taken[key] += 1;
        let added = self.add(message, counters);
        self.moved(Place::Lane(message), Place::Entry(added));
    }

    /// Frees what a message held, where the queue has a limit.
    pub fn free(&mut self, message: u8) {
        if let Some(gate) = &mut self.gate {
            gate.free(message);
        }
    }

    /// How many messages of a key are in flight or on their way there: what the slots should be.
    pub fn granted(&self, key: usize) -> u8 {
        let Some(gate) = &self.gate else { return 0 };
        let held = self.entries.iter().filter(|(_, entry)| entry.group != Group::Acknowledged);
        u8::try_from(held.filter(|(id, _)| gate.key(id.message) == key).count()).unwrap_or(u8::MAX)
    }
}
