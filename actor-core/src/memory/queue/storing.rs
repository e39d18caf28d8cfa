//! Where a message is put, and from where it is taken.

use std::time::Duration;

use bytes::Bytes;

use super::{Key, Queue, Ready, Scheduled, level};
use crate::memory::clock::Moment;
use crate::memory::gate::Waiting;
use crate::{Lane, MessageId, Priority, wire};

impl Queue {
    /// Whether this message waits or is in flight.
    pub(in crate::memory) fn has(&self, message: MessageId) -> bool {
        let ready = self.ready.values().map(|ready| &ready.body);
        let in_flight = self.in_flight.values().map(|in_flight| &in_flight.body);
        let waiting = self.gate.waiting(None).map(|(.., waiting)| &waiting.body);
        let scheduled = self.scheduled.values().map(|scheduled| &scheduled.body);
        let mut bodies = ready.chain(in_flight).chain(scheduled).chain(waiting);
        bodies.any(|body| wire::id(body) == Some(message))
    }

    pub(in crate::memory) fn store(
        &mut self,
        priority: Priority,
        body: Bytes,
        suspect: bool,
        delay: Duration,
        lane: Option<Lane>,
        now: Moment,
    ) {
        if delay.is_zero() {
            self.push(priority, body, suspect, lane, now);
        } else {
            self.schedule(priority, body, suspect, delay, lane, now);
        }
    }

    pub(super) fn schedule(
        &mut self,
        priority: Priority,
        body: Bytes,
        suspect: bool,
        delay: Duration,
        lane: Option<Lane>,
        now: Moment,
    ) -> Key {
        let key = self.key(now.after(delay).0);
        self.scheduled.insert(key, Scheduled { body, priority, suspect, lane });
        key
    }

    /// Has a message wait in its lane, or makes it ready where it has none.
    pub(super) fn push(&mut self, priority: Priority, body: Bytes, suspect: bool, lane: Option<Lane>, since: Moment) {
        let place = self.key(level(priority));
        match lane {
            None => self.make_ready(place, Ready { body, since, suspect, slot: None }),
            Some(Lane { key, cost }) => {
                self.gate.push(&key, place, Waiting { body, since, cost, suspect });
            }
        }
    }

    pub(super) fn make_ready(&mut self, key: Key, ready: Ready) {
        self.granted += usize::from(ready.slot.is_some());
        self.ready.insert(key, ready);
    }

    pub(in crate::memory) fn take_ready(&mut self, key: Key) -> Option<Ready> {
        let ready = self.ready.remove(&key)?;
        self.granted -= usize::from(ready.slot.is_some());
        Some(ready)
    }

    /// Deletes a message that is ready, and frees what it held.
    pub(in crate::memory) fn remove_ready(&mut self, key: Key) -> bool {
        let Some(ready) = self.take_ready(key) else { return false };
        if let Some(slot) = ready.slot {
            self.gate.free(&slot, Duration::ZERO);
        }
        true
    }
}
