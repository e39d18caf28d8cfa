//! Cancelling, deleting and rescheduling in a [`MemoryBroker`].

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryBroker;
use super::clock::Moment;
use super::gate::Waiting;
use super::inspect::{Name, page_of};
use super::queue::{Copied, Key, Queue, Ready, Scheduled};
use crate::control::{Cancelled, Change, Changed, Control, Deleted, Filter, LimitControl, Rescheduled};
use crate::delivery::WorkerId;
use crate::inspect::{Cursor, State};
use crate::{BrokerError, Lane, MessageId, QueueName, wire};

/// How long it is remembered that a message was cancelled in flight.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

const PAGE: usize = 500;

#[async_trait]
impl Control for MemoryBroker {
    async fn cancel(&self, queue: &QueueName, id: MessageId) -> Result<Cancelled, BrokerError> {
        self.known(queue)?;
        // It wakes the worker of a test too, whose run is told.
        Ok(self.change_and_wake(queue, |queue, now| match queue.find(id) {
            Some((State::InFlight, _)) => {
                queue.note_cancelled(id, now);
                Cancelled::Requested
            }
            Some((state @ (State::Waiting | State::Ready | State::Scheduled), name)) => {
                queue.remove(state, &name, now);
                Cancelled::Removed
            }
            Some((State::Dead, _)) | None => Cancelled::NotFound,
        }))
    }

    async fn delete_by_id(&self, queue: &QueueName, id: MessageId) -> Result<Deleted, BrokerError> {
        self.known(queue)?;
        Ok(self.change_and_wake(queue, |queue, now| match queue.find(id) {
            Some((State::InFlight, _)) => Deleted::InFlight,
            Some((state, name)) => {
                queue.remove(state, &name, now);
                Deleted::Removed
            }
            None => Deleted::NotFound,
        }))
    }

    async fn reschedule(&self, queue: &QueueName, id: MessageId, delay: Duration) -> Result<Rescheduled, BrokerError> {
        self.known(queue)?;
        Ok(self.change_and_wake(queue, |queue, now| match queue.find(id) {
            Some((State::InFlight, _)) => Rescheduled::InFlight,
            Some((State::Dead, _)) => Rescheduled::Dead,
            Some((state, name)) => {
                queue.move_to(state, &name, now.after(delay), now);
                Rescheduled::Moved
            }
            None => Rescheduled::NotFound,
        }))
    }

    async fn change_page(
        &self,
        queue: &QueueName,
        change: Change,
        filter: &Filter,
        after: Option<&Cursor>,
    ) -> Result<Changed, BrokerError> {
        self.known(queue)?;
        let states = states(change, filter.only_state());
        let place = match after {
            Some(cursor) => read_cursor(cursor.as_str()),
            None => Some(Place { state: 0, after: None, due: None }),
        };
        let place = place.ok_or_else(|| BrokerError::refused("the cursor is not one of this broker's"))?;
        let Some(state) = states.get(place.state).copied() else { return Ok(Changed::default()) };
        Ok(self.change_and_wake(queue, |queue, now| {
            let due = match change {
                Change::Reschedule(delay) => Some(place.due.unwrap_or_else(|| now.after(delay))),
                _ => None,
            };
            let page = page_of(queue, state, place.after.as_ref(), PAGE);
            let mut changed = Changed::default();
            let last = page.last().map(|last| last.handle.as_str().to_owned());
            for message in &page {
                let Some(name) = Name::parse(message.handle.as_str()) else { continue };
                if filter.matches(&message.body) {
                    queue.change_one(change, state, &name, &message.body, due, now, &mut changed);
                }
            }
            let next = if page.len() == PAGE {
                Some(Place { state: place.state, after: last.as_deref().and_then(Name::parse), due })
            } else {
                Some(Place { state: place.state + 1, after: None, due }).filter(|next| next.state < states.len())
            };
            changed.next = next.map(|next| next.cursor());
            changed
        }))
    }

    fn limit_control(&self) -> Option<&dyn LimitControl> {
        Some(self)
    }
}

/// Where a page begins: at which state, after which message; and when what is rescheduled is due, by the first page.
struct Place {
    state: usize,
    after: Option<Name>,
    due: Option<Moment>,
}

impl Place {
    fn cursor(&self) -> Cursor {
        let after = self.after.as_ref().map(Name::to_string).unwrap_or_default();
        let due = self.due.map(|due| due.0.to_string()).unwrap_or_default();
        Cursor::new(format!("{} {due} {after}", self.state))
    }
}

fn read_cursor(text: &str) -> Option<Place> {
    let mut parts = text.splitn(3, ' ');
    let (state, due, after) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    let after = if after.is_empty() { None } else { Some(Name::parse(after)?) };
    let due = if due.is_empty() { None } else { Some(Moment(due.parse().ok()?)) };
    Some(Place { state, after, due })
}

/// The states that a change goes through, in the order in which messages pass from one to the next.
fn states(change: Change, only: Option<State>) -> Vec<State> {
    let all: &[State] = match change {
        Change::Cancel => &[State::Scheduled, State::Waiting, State::Ready, State::InFlight],
        Change::Delete => &[State::Scheduled, State::Waiting, State::Ready, State::Dead],
        Change::Reschedule(_) => &[State::Scheduled, State::Waiting, State::Ready],
    };
    all.iter().copied().filter(|state| only.is_none_or(|only| only == *state)).collect()
}

/// Whether a message is one of those that were cancelled.
pub(super) fn is_cancelled(cancelled: &HashMap<MessageId, Moment>, body: &[u8]) -> bool {
    !cancelled.is_empty() && wire::id(body).is_some_and(|id| cancelled.contains_key(&id))
}

/// Says of bodies whether they are this message's.
pub(super) fn is_of(id: MessageId) -> impl Fn(&Bytes) -> bool {
    let text = id.to_string();
    // Parsing all would take long.
    move |body| {
        body.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes())) && wire::id(body) == Some(id)
    }
}

impl Queue {
    /// The messages in flight with a worker that were cancelled.
    pub(super) fn cancelled_of(&self, worker: &WorkerId) -> Vec<MessageId> {
        if self.cancelled.is_empty() {
            return Vec::new();
        }
        let of_worker = self.in_flight.values().filter(|in_flight| in_flight.worker == *worker);
        let ids = of_worker.filter_map(|in_flight| wire::id(&in_flight.body));
        ids.filter(|id| self.cancelled.contains_key(id)).collect()
    }

    pub(super) fn find(&self, id: MessageId) -> Option<(State, Name)> {
        let is_it = is_of(id);
        fn key<T>(of: &BTreeMap<Key, T>, is_it: impl Fn(&T) -> bool) -> Option<Key> {
            of.iter().find(|(_, message)| is_it(message)).map(|(key, _)| *key)
        }
        let found = |state| move |key| (state, Name { key, lane: None });
        let scheduled =
            || key(&self.scheduled, |message: &Scheduled| is_it(&message.copy.body)).map(found(State::Scheduled));
        let ready = || key(&self.ready, |message| is_it(&message.body)).map(found(State::Ready));
        let in_flight = || key(&self.in_flight, |message| is_it(&message.body)).map(found(State::InFlight));
        let dead = || key(&self.dead, |message| is_it(&message.body)).map(found(State::Dead));
        let waiting = || {
            let mut all = self.gate.waiting(None);
            let (lane, key, _) = all.find(|(.., waiting)| is_it(&waiting.body))?;
            Some((State::Waiting, Name { key: *key, lane: Some(lane.clone()) }))
        };
        scheduled().or_else(waiting).or_else(ready).or_else(in_flight).or_else(dead)
    }

    fn note_cancelled(&mut self, id: MessageId, now: Moment) {
        self.cancelled.retain(|_, until| *until > now);
        self.cancelled.insert(id, now.after(REMEMBERED));
    }

    fn remove(&mut self, state: State, name: &Name, now: Moment) -> bool {
        let key = name.key;
        match state {
            State::Waiting => name.lane.as_ref().is_some_and(|lane| self.remove_waiting(lane, key, now)),
            State::Ready => self.remove_ready(key, now),
            State::Scheduled => self.remove_scheduled(key, now),
            State::InFlight => false,
            State::Dead => {
                let was_there = self.dead.remove(&key).is_some();
                self.forget_pruned();
                was_there
            }
        }
    }

    /// Has a message that waits become ready at `due`. What is ready stays where it is, if that is now.
    fn move_to(&mut self, state: State, name: &Name, due: Moment, now: Moment) -> bool {
        let key = name.key;
        if let Some(moved) = self.move_follower(key, due) {
            return moved;
        }
        let moved = match state {
            State::Scheduled if key.moment() != due => self.scheduled.remove(&key).map(|scheduled| scheduled.copy),
            State::Waiting if due > now => name.lane.as_ref().and_then(|lane| {
                let Waiting { body, suspect, cost, held, .. } = self.gate.remove(lane, key)?;
                let (priority, lane) = (wire::priority(&body), Some(Lane::new(lane.clone()).cost(cost)));
                Some(Copied { priority, body, suspect, lane, held })
            }),
            State::Ready if due > now => self.take_ready(key).map(|Ready { body, suspect, slot, held, .. }| {
                if let Some(slot) = &slot {
                    self.gate.free(slot, Duration::ZERO);
                }
                let priority = wire::priority(&body);
                Copied { priority, body, suspect, lane: slot.map(|slot| slot.lane), held }
            }),
            _ => None,
        };
        let Some(moved) = moved else { return false };
        self.schedule_at(due, moved);
        self.tick(now);
        true
    }

    #[allow(clippy::too_many_arguments)] // Each is a thing of its own.
    fn change_one(
        &mut self,
        change: Change,
        state: State,
        name: &Name,
        body: &[u8],
        due: Option<Moment>,
        now: Moment,
        changed: &mut Changed,
    ) {
        match (change, state) {
            (Change::Cancel, State::InFlight) => {
                if let Some(id) = wire::id(body) {
                    self.note_cancelled(id, now);
                    changed.requested += 1;
                }
            }
            (Change::Reschedule(_), _) => {
                changed.changed += u64::from(due.is_some_and(|due| self.move_to(state, name, due, now)));
            }
            _ => changed.changed += u64::from(self.remove(state, name, now)),
        }
    }
}
