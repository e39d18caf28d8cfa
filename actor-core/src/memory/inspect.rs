//! Reading and repairing the queues of a [`MemoryBroker`].

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use async_trait::async_trait;
use bytes::Bytes;

use super::clock::Moment;
use super::gate::Waiting;
use super::queue::{Key, Queue};
use super::{LONGEST_PAGE, MemoryBroker};
use crate::inspect::{Counts, Cursor, Handle, Inspect, Listed, Listing, Page, State, Which};
use crate::lane::Key as Lane;
use crate::{BrokerError, QueueName};

#[async_trait]
impl Inspect for MemoryBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        Ok(self.names())
    }

    async fn counts(&self, queue: &QueueName) -> Result<Counts, BrokerError> {
        self.known(queue)?;
        Ok(self.view(queue, |queue| Counts {
            paused: queue.paused,
            waiting: queue.gate.count() as u64,
            pruned: queue.pruned.map_or(0, |pruned| pruned.count),
            pruned_since: queue.pruned.map(|pruned| pruned.since.time()),
            ..Counts::new(
                queue.ready.len() as u64,
                queue.in_flight.len() as u64,
                queue.scheduled.len() as u64,
                queue.dead.len() as u64,
            )
        }))
    }

    async fn list(&self, queue: &QueueName, state: State, page: Page) -> Result<Listing, BrokerError> {
        self.known(queue)?;
        let after = page.after.as_ref().map(|cursor| Name::parse(cursor.as_str()));
        let after =
            after.map(|name| name.ok_or_else(|| BrokerError::refused("the cursor is not one of this broker's")));
        let after = after.transpose()?;
        let limit = page.limit.clamp(1, LONGEST_PAGE);
        let mut messages = self.view(queue, |queue| page_of(queue, state, after.as_ref(), limit + 1));
        let is_last = messages.len() <= limit;
        messages.truncate(limit);
        let next = messages.last().filter(|_| !is_last).map(|last| Cursor::new(last.handle.as_str()));
        Ok(Listing::new(messages, next))
    }

    async fn read(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<Option<Listed>, BrokerError> {
        let Some(Name { key, lane }) = Name::parse(handle.as_str()) else {
            return Ok(None);
        };
        Ok(self.view(queue, |queue| match state {
            State::Waiting => lane.and_then(|lane| Some(in_lane(&lane, key, queue.gate.get(&lane, key)?))),
            _ => listed(queue, state, key..=key, 1).pop(),
        }))
    }

    async fn replay(&self, queue: &QueueName, which: Which) -> Result<u64, BrokerError> {
        self.known(queue)?;
        self.change_and_wake(queue, |queue, now| {
            let replayed = match which {
                // One whose key another message holds is left.
                Which::All => {
                    let dead: Vec<Key> = queue.dead.keys().copied().collect();
                    Ok(dead.into_iter().filter(|key| matches!(queue.replay(*key, now), Ok(true))).count() as u64)
                }
                Which::One(handle) => {
                    handle.as_str().parse().map_or(Ok(0), |key| queue.replay(key, now).map(u64::from))
                }
            };
            queue.forget_pruned();
            replayed
        })
    }

    async fn delete(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<bool, BrokerError> {
        let Some(Name { key, lane }) = Name::parse(handle.as_str()) else {
            return Ok(false);
        };
        Ok(self.change_and_wake(queue, |queue, now| match state {
            State::Waiting => lane.is_some_and(|lane| queue.remove_waiting(&lane, key, now)),
            State::Ready => queue.remove_ready(key, now),
            State::InFlight => false,
            State::Scheduled => queue.remove_scheduled(key, now),
            State::Dead => {
                let was_there = queue.dead.remove(&key).is_some();
                queue.forget_pruned();
                was_there
            }
        }))
    }

    async fn purge(&self, queue: &QueueName, state: State) -> Result<u64, BrokerError> {
        self.known(queue)?;
        Ok(self.change_and_wake(queue, |queue, now| match state {
            State::Waiting => {
                let purged = queue.gate.purge();
                purged.iter().for_each(|waiting| queue.give_up(waiting.held.as_deref(), now));
                purged.len() as u64
            }
            State::Ready => {
                let ready: Vec<Key> = queue.ready.keys().copied().collect();
                ready.iter().filter(|key| queue.remove_ready(**key, now)).count() as u64
            }
            State::InFlight => 0,
            State::Scheduled => {
                let scheduled: Vec<Key> = queue.scheduled.keys().copied().collect();
                scheduled.iter().filter(|key| queue.remove_scheduled(**key, now)).count() as u64
            }
            State::Dead => {
                let purged = std::mem::take(&mut queue.dead).len() as u64;
                queue.forget_pruned();
                purged
            }
        }))
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.change(queue, |queue, _| queue.paused = true);
        Ok(())
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BrokerError> {
        self.change_and_wake(queue, |queue, _| queue.paused = false);
        Ok(())
    }
}

/// What a handle or a cursor names: a copy, and its lane where it waits in one.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) key: Key,
    pub(super) lane: Option<Lane>,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.lane {
            Some(lane) => write!(f, "{}@{lane}", self.key),
            None => self.key.fmt(f),
        }
    }
}

impl Name {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (key, lane) = text.split_once('@').map_or((text, None), |(key, lane)| (key, Some(lane)));
        Some(Self { key: key.parse().ok()?, lane: lane.map(Lane::new).transpose().ok()? })
    }
}

/// The first messages of a state after this one.
pub(super) fn page_of(queue: &Queue, state: State, after: Option<&Name>, most: usize) -> Vec<Listed> {
    if state == State::Waiting {
        return waiting(queue, after, most);
    }
    let begin = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.key));
    listed(queue, state, (begin, Bound::Unbounded), most)
}

fn waiting(queue: &Queue, after: Option<&Name>, most: usize) -> Vec<Listed> {
    let after = after.and_then(|Name { key, lane }| Some((lane.as_ref()?, *key)));
    queue.gate.waiting(after).take(most).map(|(lane, key, waiting)| in_lane(lane, *key, waiting)).collect()
}

fn in_lane(lane: &Lane, key: Key, waiting: &Waiting) -> Listed {
    let handle = Handle::new(format!("{key}@{lane}"));
    Listed { time: Some(waiting.since.time()), ..Listed::new(handle, waiting.body.clone()) }
}

/// The first messages of a state, of those whose keys are in `range`.
pub(super) fn listed(queue: &Queue, state: State, range: impl RangeBounds<Key>, most: usize) -> Vec<Listed> {
    fn all<T>(
        of: &BTreeMap<Key, T>,
        range: impl RangeBounds<Key>,
        most: usize,
        show: impl Fn(Key, &T) -> Listed,
    ) -> Vec<Listed> {
        of.range(range).take(most).map(|(key, message)| show(*key, message)).collect()
    }
    match state {
        State::Waiting => Vec::new(),
        State::Ready => all(&queue.ready, range, most, |key, ready| show(key, &ready.body, ready.since)),
        State::InFlight => all(&queue.in_flight, range, most, |key, in_flight| Listed {
            worker: Some(in_flight.worker.as_str().to_owned()),
            ..show(key, &in_flight.body, in_flight.since)
        }),
        State::Scheduled => all(&queue.scheduled, range, most, |key, later| show(key, &later.copy.body, key.moment())),
        State::Dead => all(&queue.dead, range, most, |key, dead| Listed {
            reason: Some(dead.reason.clone()),
            ..show(key, &dead.body, key.moment())
        }),
    }
}

fn show(key: Key, body: &Bytes, time: Moment) -> Listed {
    Listed { time: Some(time.time()), ..Listed::new(Handle::new(key.to_string()), body.clone()) }
}
