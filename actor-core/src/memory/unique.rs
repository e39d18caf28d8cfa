//! The unique keys of a queue: which message holds each, where it is, and what follows it.

use std::collections::HashMap;
use std::time::Duration;

use super::clock::Moment;
use super::gate::Waiting;
use super::queue::{Copied, Dead, Key as Place, Queue, Ready, Scheduled};
use crate::broker::{Enqueue, Enqueued};
use crate::wire::{self, Revived};
use crate::{BrokerError, Key, Lane, MessageId, OnConflict, Unique, Uniqueness, Until};

/// Until when a message is scheduled that follows another: that one's end comes first.
const FOLLOWS: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[derive(Debug, Default)]
pub(super) struct UniqueKeys {
    holders: HashMap<Key, Holder>,
    /// What was stored within a window: of unique keys, and of idempotency keys.
    windows: HashMap<Key, (MessageId, Moment)>,
    idempotent: HashMap<Key, (MessageId, Moment)>,
    /// How many windows there may be before those that are over are forgotten.
    sweep_at: usize,
}

/// Who holds a key.
#[derive(Debug)]
struct Holder {
    id: MessageId,
    at: At,
    /// When the first of those was sent whose place it took.
    first: Moment,
    next: Option<Next>,
}

/// What follows a message in flight, once that gives up the key.
#[derive(Debug)]
struct Next {
    id: MessageId,
    /// Where it is scheduled.
    place: Place,
    due: Moment,
    first: Moment,
}

/// Where a copy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    Waiting(Key, Place),
    Ready(Place),
    Scheduled(Place),
    InFlight,
}

/// What a copy carries of its key.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) key: Key,
    pub(super) id: MessageId,
}

impl UniqueKeys {
    /// Notes where the message is that holds a key. One that holds it no more has no place here.
    pub(super) fn moved(&mut self, held: Option<&Held>, at: At) {
        if let Some(Held { key, id }) = held
            && let Some(holder) = self.holders.get_mut(key).filter(|holder| holder.id == *id)
        {
            holder.at = at;
        }
    }

    /// Whether any key is held, or was a moment ago.
    pub(super) fn is_used(&self) -> bool {
        !self.holders.is_empty()
    }

    fn within(windows: &HashMap<Key, (MessageId, Moment)>, key: &Key, now: Moment) -> Option<MessageId> {
        windows.get(key).filter(|(_, ends)| *ends > now).map(|(id, _)| *id)
    }

    /// Forgets the windows that are over, once they may be half of all.
    fn sweep(&mut self, now: Moment) {
        if self.windows.len() + self.idempotent.len() > self.sweep_at {
            self.windows.retain(|_, (_, ends)| *ends > now);
            self.idempotent.retain(|_, (_, ends)| *ends > now);
            self.sweep_at = 2 * (self.windows.len() + self.idempotent.len()).max(32);
        }
    }
}

impl Queue {
    /// Stores a message, unless another one stands for it.
    pub(super) fn enqueue(&mut self, message: Enqueue, now: Moment) -> Enqueued {
        let Enqueue { id, priority, body, delay, lane, unique, idempotency, .. } = message;
        let copy = Copied { priority, body, suspect: false, lane, held: None };
        if let Some(idempotency) = idempotency {
            if let Some(existing) = UniqueKeys::within(&self.unique.idempotent, &idempotency.key, now) {
                return Enqueued::Existing(existing);
            }
            let enqueued = self.enqueue_as(unique.as_deref(), id, copy, delay, now);
            let stands = if let Enqueued::Existing(existing) = enqueued { existing } else { id };
            self.unique.sweep(now);
            self.unique.idempotent.insert(idempotency.key, (stands, now.after(idempotency.window)));
            return enqueued;
        }
        self.enqueue_as(unique.as_deref(), id, copy, delay, now)
    }

    fn enqueue_as(
        &mut self,
        unique: Option<&Unique>,
        id: MessageId,
        copy: Copied,
        delay: Duration,
        now: Moment,
    ) -> Enqueued {
        match unique {
            None => {
                self.store(copy, delay, now);
                Enqueued::Stored
            }
            Some(Unique { key, uniqueness: Uniqueness { until: Until::Window(window), .. } }) => {
                if let Some(existing) = UniqueKeys::within(&self.unique.windows, key, now) {
                    return Enqueued::Existing(existing);
                }
                self.unique.sweep(now);
                self.unique.windows.insert(key.clone(), (id, now.after(*window)));
                self.store(copy, delay, now);
                Enqueued::Stored
            }
            Some(Unique { key, uniqueness }) => {
                let held = Held { key: key.clone(), id };
                self.enqueue_unique(held, uniqueness.on_conflict, copy, delay, now)
            }
        }
    }

    fn enqueue_unique(
        &mut self,
        held: Held,
        on_conflict: OnConflict,
        copy: Copied,
        delay: Duration,
        now: Moment,
    ) -> Enqueued {
        let copy = Copied { held: Some(Box::new(held.clone())), ..copy };
        let Some(holder) = self.unique.holders.get(&held.key) else {
            self.hold(held, now);
            self.store(copy, delay, now);
            return Enqueued::Stored;
        };
        let (old, at, first) = (holder.id, holder.at.clone(), holder.first);
        if on_conflict == OnConflict::Keep {
            return Enqueued::Existing(old);
        }
        // What has followed since is newer than a message in flight that waits again.
        if at == At::InFlight || holder.next.is_some() {
            return self.follow(&held, on_conflict, copy, delay, now);
        }
        if on_conflict == OnConflict::RunAgain {
            return Enqueued::Existing(old);
        }
        let due = earliest(on_conflict, &at, now.after(delay), first, now);
        self.hold(held, first);
        match at {
            // Its time has come before, and it stays in its lane.
            At::Waiting(lane, place) => {
                if let Some(Waiting { since, cost, .. }) = self.gate.remove(&lane, place) {
                    self.push_at(place, Copied { lane: Some(Lane::new(lane).cost(cost)), ..copy }, since);
                }
            }
            At::Ready(place) => {
                drop(self.drop_ready(place));
                if due <= now {
                    self.push_at(place.of(copy.priority), copy, now);
                } else {
                    self.store(copy, now.until(due), now);
                }
            }
            At::Scheduled(place) => {
                self.scheduled.remove(&place);
                self.store(copy, now.until(due), now);
            }
            At::InFlight => {}
        }
        Enqueued::Replaced(old)
    }

    /// Has a message follow the one in flight that holds its key.
    fn follow(&mut self, held: &Held, on_conflict: OnConflict, copy: Copied, delay: Duration, now: Moment) -> Enqueued {
        let next = self.unique.holders.get_mut(&held.key).and_then(|holder| holder.next.take());
        let (mut due, mut first, mut replaced) = (now.after(delay), now, None);
        if let Some(next) = next {
            if on_conflict == OnConflict::RunAgain {
                let existing = next.id;
                self.follows(&held.key, next);
                return Enqueued::Existing(existing);
            }
            self.scheduled.remove(&next.place);
            due = earliest(on_conflict, &At::Scheduled(Place::at(next.due)), due, next.first, now);
            (first, replaced) = (next.first, Some(next.id));
        }
        let place = self.schedule(copy, FOLLOWS, now);
        self.follows(&held.key, Next { id: held.id, place, due, first });
        replaced.map_or(Enqueued::Stored, Enqueued::Replaced)
    }

    fn follows(&mut self, key: &Key, next: Next) {
        if let Some(holder) = self.unique.holders.get_mut(key) {
            holder.next = Some(next);
        }
    }

    /// Has a message hold a key. What stores it says where it is.
    pub(super) fn hold(&mut self, Held { key, id }: Held, first: Moment) {
        self.unique.holders.insert(key, Holder { id, at: At::InFlight, first, next: None });
    }

    /// Has a message give up its key, if it still holds it. What follows it is let go.
    pub(super) fn give_up(&mut self, held: Option<&Held>, now: Moment) {
        let Some(Held { key, id }) = held else { return };
        let Some(holder) = self.unique.holders.get_mut(key) else { return };
        if holder.id != *id {
            // It may have been what follows.
            holder.next.take_if(|next| next.id == *id);
            return;
        }
        let next = holder.next.take();
        self.unique.holders.remove(key);
        if let Some(next) = next
            && let Some(Scheduled { copy }) = self.scheduled.remove(&next.place)
        {
            self.hold(Held { key: key.clone(), id: next.id }, next.first);
            self.store(copy, now.until(next.due), now);
        }
    }

    /// Has what follows another message be due then, once that gives up the key. Whether that is another time; nothing for
    /// what follows none.
    pub(super) fn move_follower(&mut self, place: Place, due: Moment) -> Option<bool> {
        let Held { key, .. } = self.scheduled.get(&place)?.copy.held.as_deref()?;
        let next = self.unique.holders.get_mut(key)?.next.as_mut().filter(|next| next.place == place)?;
        Some(std::mem::replace(&mut next.due, due) != due)
    }

    /// Makes a dead letter ready again. Whether it was there.
    ///
    /// # Errors
    ///
    /// Another message holds its key.
    pub(super) fn replay(&mut self, dead: Place, now: Moment) -> Result<bool, BrokerError> {
        let Some(Dead { body, .. }) = self.dead.get(&dead) else { return Ok(false) };
        let Revived { priority, lane, unique, body, .. } = wire::revive(body);
        let held = unique.map(|(id, unique)| Held { key: unique.key, id });
        if let Some(held) = &held {
            if let Some(holder) = self.unique.holders.get(&held.key) {
                return Err(BrokerError::held(holder.id));
            }
            self.hold(held.clone(), now);
        }
        if let Some(Dead { body, .. }) = self.dead.remove(&dead)
            && let Some(id) = wire::id(&body)
        {
            self.cancelled.remove(&id);
            // It has not ended after all.
            self.results.remove(id);
        }
        self.store(Copied { priority, body, suspect: false, lane, held: held.map(Box::new) }, Duration::ZERO, now);
        Ok(true)
    }

    /// Deletes a message in its lane, and frees what it held.
    pub(super) fn remove_waiting(&mut self, lane: &Key, place: Place, now: Moment) -> bool {
        let Some(Waiting { held, .. }) = self.gate.remove(lane, place) else { return false };
        self.give_up(held.as_deref(), now);
        true
    }

    /// Deletes a message that is ready, and frees what it held.
    pub(super) fn remove_ready(&mut self, place: Place, now: Moment) -> bool {
        let Some(Ready { held, .. }) = self.drop_ready(place) else { return false };
        self.give_up(held.as_deref(), now);
        true
    }

    /// Deletes a message that is scheduled, and frees what it held.
    pub(super) fn remove_scheduled(&mut self, place: Place, now: Moment) -> bool {
        let Some(Scheduled { copy }) = self.scheduled.remove(&place) else { return false };
        self.give_up(copy.held.as_deref(), now);
        true
    }

    fn drop_ready(&mut self, place: Place) -> Option<Ready> {
        let ready = self.take_ready(place)?;
        if let Some(slot) = &ready.slot {
            self.gate.free(slot, Duration::ZERO);
        }
        Some(ready)
    }
}

/// When a message starts that takes the place of another.
fn earliest(on_conflict: OnConflict, at: &At, due: Moment, first: Moment, now: Moment) -> Moment {
    match (on_conflict, at) {
        (OnConflict::Postpone { max_wait }, _) => max_wait.map_or(due, |wait| due.min(first.after(wait))),
        (_, At::Scheduled(place)) => due.min(place.moment()),
        _ => now,
    }
}
