//! Reading and repairing the queues of a [`MemoryBroker`].

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryBroker;
use super::clock::Moment;
use super::queue::{Dead, InFlight, Key, Ready, Scheduled};
use crate::inspect::{Counts, Cursor, Handle, Inspect, Listed, Listing, Page, State, Which};
use crate::{BrokerError, QueueName, wire};

/// The most messages of one page.
const LONGEST_PAGE: usize = 1_000;

#[async_trait]
impl Inspect for MemoryBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        Ok(self.names())
    }

    async fn counts(&self, queue: &QueueName) -> Result<Counts, BrokerError> {
        self.known(queue)?;
        Ok(self.view(queue, |queue| Counts {
            paused: queue.paused,
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
        let after = match &page.after {
            Some(cursor) => {
                let key = cursor.as_str().parse::<Key>();
                Some(key.map_err(|()| BrokerError::refused("the cursor is not one of this broker's"))?)
            }
            None => None,
        };
        let limit = page.limit.clamp(1, LONGEST_PAGE);
        Ok(self.view(queue, |queue| match state {
            State::Ready => listing(&queue.ready, after, limit, ready),
            State::InFlight => listing(&queue.in_flight, after, limit, in_flight),
            State::Scheduled => listing(&queue.scheduled, after, limit, scheduled),
            State::Dead => listing(&queue.dead, after, limit, dead),
        }))
    }

    async fn read(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<Option<Listed>, BrokerError> {
        let Ok(key) = handle.as_str().parse::<Key>() else {
            return Ok(None);
        };
        Ok(self.view(queue, |queue| match state {
            State::Ready => queue.ready.get(&key).map(|message| ready(key, message)),
            State::InFlight => queue.in_flight.get(&key).map(|message| in_flight(key, message)),
            State::Scheduled => queue.scheduled.get(&key).map(|message| scheduled(key, message)),
            State::Dead => queue.dead.get(&key).map(|message| dead(key, message)),
        }))
    }

    async fn replay(&self, queue: &QueueName, which: Which) -> Result<u64, BrokerError> {
        self.known(queue)?;
        Ok(self.change_and_wake(queue, |queue, now| {
            let dead_lettered = match which {
                Which::All => std::mem::take(&mut queue.dead).into_values().collect(),
                Which::One(handle) => {
                    let dead_lettered = handle.as_str().parse::<Key>().ok().and_then(|key| queue.dead.remove(&key));
                    Vec::from_iter(dead_lettered)
                }
            };
            for Dead { body, .. } in &dead_lettered {
                let revived = wire::revive(body);
                queue.store(revived.priority, revived.body, false, Duration::ZERO, now);
            }
            queue.forget_pruned();
            dead_lettered.len() as u64
        }))
    }

    async fn delete(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<bool, BrokerError> {
        let Ok(key) = handle.as_str().parse::<Key>() else {
            return Ok(false);
        };
        Ok(self.change(queue, |queue, _| match state {
            State::Ready => queue.ready.remove(&key).is_some(),
            State::InFlight => false,
            State::Scheduled => queue.scheduled.remove(&key).is_some(),
            State::Dead => {
                let was_there = queue.dead.remove(&key).is_some();
                queue.forget_pruned();
                was_there
            }
        }))
    }

    async fn purge(&self, queue: &QueueName, state: State) -> Result<u64, BrokerError> {
        self.known(queue)?;
        Ok(self.change(queue, |queue, _| match state {
            State::Ready => std::mem::take(&mut queue.ready).len() as u64,
            State::InFlight => 0,
            State::Scheduled => std::mem::take(&mut queue.scheduled).len() as u64,
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

/// One page of the messages in one state.
fn listing<T>(messages: &BTreeMap<Key, T>, after: Option<Key>, limit: usize, show: fn(Key, &T) -> Listed) -> Listing {
    let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = messages.range((begin, Bound::Unbounded));
    let page: Vec<(&Key, &T)> = rest.by_ref().take(limit).collect();
    let next = page.last().filter(|_| rest.next().is_some()).map(|(key, _)| Cursor::new(key.to_string()));
    Listing::new(page.into_iter().map(|(key, message)| show(*key, message)).collect(), next)
}

fn listed(key: Key, body: &Bytes, time: Moment) -> Listed {
    Listed { time: Some(time.time()), ..Listed::new(Handle::new(key.to_string()), body.clone()) }
}

fn ready(key: Key, message: &Ready) -> Listed {
    listed(key, &message.body, message.since)
}

fn in_flight(key: Key, message: &InFlight) -> Listed {
    let worker = Some(message.worker.as_str().to_owned());
    Listed { worker, ..listed(key, &message.body, message.since) }
}

fn scheduled(key: Key, message: &Scheduled) -> Listed {
    listed(key, &message.body, key.moment())
}

fn dead(key: Key, message: &Dead) -> Listed {
    Listed { reason: Some(message.reason.clone()), ..listed(key, &message.body, key.moment()) }
}
