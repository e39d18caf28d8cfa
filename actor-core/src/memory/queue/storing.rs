//! Where a message is put, and from where it is taken.

use std::time::Duration;

use super::{Copied, Key, Queue, Ready, Scheduled, level};
use crate::memory::clock::Moment;
use crate::memory::gate::Waiting;
use crate::memory::unique::At;
use crate::{Lane, MessageId, wire};

impl Queue {
    /// Whether this message waits or is in flight.
    pub(in crate::memory) fn has(&self, message: MessageId) -> bool {
        let ready = self.ready.values().map(|ready| &ready.body);
        let in_flight = self.in_flight.values().map(|in_flight| &in_flight.body);
        let waiting = self.gate.waiting(None).map(|(.., waiting)| &waiting.body);
        let scheduled = self.scheduled.values().map(|scheduled| &scheduled.copy.body);
        let mut bodies = ready.chain(in_flight).chain(scheduled).chain(waiting);
        bodies.any(|body| wire::id(body) == Some(message))
    }

    pub(in crate::memory) fn store(&mut self, copy: Copied, delay: Duration, now: Moment) {
        if delay.is_zero() {
            self.push(copy, now);
        } else {
            self.schedule(copy, delay, now);
        }
    }

    pub(in crate::memory) fn schedule(&mut self, copy: Copied, delay: Duration, now: Moment) -> Key {
        self.schedule_at(now.after(delay), copy)
    }

    pub(in crate::memory) fn schedule_at(&mut self, due: Moment, copy: Copied) -> Key {
        let key = self.key(due.0);
        self.unique.moved(copy.held.as_deref(), At::Scheduled(key));
        self.scheduled.insert(key, Scheduled { copy });
        key
    }

    pub(super) fn push(&mut self, copy: Copied, since: Moment) {
        let place = self.key(level(copy.priority));
        self.push_at(place, copy, since);
    }

    /// Has a message wait in its lane, or makes it ready where it has none.
    pub(in crate::memory) fn push_at(&mut self, place: Key, copy: Copied, since: Moment) {
        let Copied { body, suspect, lane, held, .. } = copy;
        match lane {
            None => self.make_ready(place, Ready { body, since, suspect, slot: None, held }),
            Some(Lane { key, cost }) => {
                self.unique.moved(held.as_deref(), At::Waiting(key.clone(), place));
                self.gate.push(&key, place, Waiting { body, since, cost, suspect, held });
            }
        }
    }

    pub(super) fn make_ready(&mut self, key: Key, ready: Ready) {
        self.unique.moved(ready.held.as_deref(), At::Ready(key));
        self.granted += usize::from(ready.slot.is_some());
        self.ready.insert(key, ready);
    }

    /// Takes what is ready, with all that it holds.
    pub(in crate::memory) fn take_ready(&mut self, key: Key) -> Option<Ready> {
        let ready = self.ready.remove(&key)?;
        self.granted -= usize::from(ready.slot.is_some());
        Some(ready)
    }
}
