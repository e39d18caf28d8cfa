//! The state of one queue, and what may happen to it. No lock, no waiting and no clock: every
//! method is given the time.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;

use super::clock::Moment;
use super::schedules::Kept;
use crate::delivery::{Delivery, Receipt, WorkerId};
use crate::settlement::{Consequence, Outcome, Settled, Settlement};
use crate::{MessageId, Priority, wire};

/// How long dead letters are kept, and how many, the newest ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    pub(super) age: Duration,
    pub(super) count: usize,
}

impl Default for Retention {
    /// Long enough for a person to come back from a holiday week, and no leak where nobody ever looks.
    fn default() -> Self {
        Self { age: Duration::from_secs(7 * 24 * 60 * 60), count: 10_000 }
    }
}

/// Where priorities are weighted, one claim of so many takes the lowest first.
const WEIGHT: u32 = 8;

/// Dead letters that were removed because they were too many or too old.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pruned {
    pub(super) count: u64,
    pub(super) since: Moment,
}

/// One queue. A message's copy is in exactly one of the four maps.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In the order in which they are delivered: the rank is the level.
    pub(super) ready: BTreeMap<Key, Ready>,
    /// The rank is zero, so that a receipt's number finds it.
    pub(super) in_flight: BTreeMap<Key, InFlight>,
    /// The rank is the time when it is due.
    pub(super) scheduled: BTreeMap<Key, Scheduled>,
    /// The rank is the time when it was dead-lettered.
    pub(super) dead: BTreeMap<Key, Dead>,
    /// Which scheduled messages wait for a worker with an ability. What is deleted may still stand here.
    pub(super) parked: BTreeSet<(String, u64, Key)>,
    pub(super) schedules: Kept,
    pub(super) paused: bool,
    pub(super) retention: Retention,
    /// Whether low priorities are claimed before high ones now and then.
    pub(super) weighted: bool,
    /// How many claims have found something since that was last so.
    in_turn: u32,
    pub(super) pruned: Option<Pruned>,
    /// How many of these are still to be logged.
    pub(super) unlogged: u64,
    /// When each worker's lease ends. A worker that is not here has none.
    leases: HashMap<WorkerId, Moment>,
    /// The workers that have begun to stop, and those that deregistered with messages in flight.
    leaving: HashSet<WorkerId>,
    /// How many copies were ever stored.
    numbered: u64,
}

/// Where a copy stands among those in the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    rank: u64,
    /// Unique in the queue, and growing.
    number: u64,
}

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) body: Bytes,
    pub(super) since: Moment,
    suspect: bool,
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) body: Bytes,
    pub(super) since: Moment,
    pub(super) worker: WorkerId,
    crashes: u32,
    interruptions: u32,
    /// Whether a worker has died with it, as a copy before this one.
    suspect: bool,
    /// Where it was in flight from, so that it keeps its place among what its worker holds.
    level: u64,
}

#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) body: Bytes,
    priority: Priority,
    suspect: bool,
}

#[derive(Debug)]
pub(super) struct Dead {
    pub(super) body: Bytes,
    pub(super) reason: String,
}

/// Each priority has two levels: what was released goes before what never was in flight.
fn level(priority: Priority) -> u64 {
    match priority {
        Priority::High => 1,
        Priority::Normal => 3,
        Priority::Low => 5,
    }
}

/// The level of what is released, from the level that it was delivered from.
fn released(level: u64) -> u64 {
    level & !1
}

impl Queue {
    /// Brings the state to `now`: what is due becomes ready, and old dead letters end. Called
    /// before anything else happens, so that messages become ready in the order of their times.
    pub(super) fn tick(&mut self, now: Moment) {
        while let Some(first) = self.scheduled.first_entry().filter(|first| first.key().moment() <= now) {
            let (key, Scheduled { body, priority, suspect }) = first.remove_entry();
            self.push_ready(level(priority), body, suspect, key.moment());
            if !self.parked.is_empty() {
                self.parked.retain(|(.., parked)| *parked != key);
            }
        }
        while let Some(oldest) = self.dead.first_entry() {
            let too_old = oldest.key().moment().after(self.retention.age) <= now;
            if !too_old && self.dead.len() <= self.retention.count {
                break;
            }
            self.dead.pop_first();
            self.pruned.get_or_insert(Pruned { count: 0, since: now }).count += 1;
            self.unlogged += 1;
        }
    }

    /// Forgets how many dead letters were removed, once a person has seen to all that were left.
    pub(super) fn forget_pruned(&mut self) {
        if self.dead.is_empty() {
            self.pruned = None;
        }
    }

    pub(super) fn claim(&mut self, worker: &WorkerId, max: usize, now: Moment) -> Vec<Delivery> {
        if self.paused {
            return Vec::new();
        }
        let mut deliveries = Vec::with_capacity(max.min(self.ready.len()));
        let out_of_turn = self.weighted && self.is_out_of_turn();
        while deliveries.len() < max
            && let Some(key) = self.next_ready(out_of_turn)
            && let Some(Ready { body, suspect, .. }) = self.ready.remove(&key)
        {
            let delivery = self.deliver(worker, key, body, suspect, now);
            // What was claimed out of turn starts before all others.
            deliveries.push(if out_of_turn { delivery.ranked(0) } else { delivery });
        }
        deliveries
    }

    fn deliver(&mut self, worker: &WorkerId, from: Key, body: Bytes, suspect: bool, now: Moment) -> Delivery {
        let Key { rank: level, number } = from;
        let (worker, delivery) = (worker.clone(), delivery(number, level, body.clone()));
        let in_flight = InFlight { body, since: now, worker, crashes: 0, interruptions: 0, suspect, level };
        self.in_flight.insert(Key { rank: 0, number }, in_flight);
        delivery
    }

    pub(super) fn unpark(&mut self, worker: &WorkerId, abilities: &[&str], max: usize, now: Moment) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        if self.paused {
            return deliveries;
        }
        for ability in abilities {
            let first = ((*ability).to_owned(), 0, Key { rank: 0, number: 0 });
            while deliveries.len() < max
                && let Some(found) = self.parked.range(&first..).next().filter(|found| found.0 == *ability).cloned()
            {
                self.parked.remove(&found);
                let (_, number, key) = found;
                let Some(Scheduled { body, priority, suspect }) = self.scheduled.remove(&key) else { continue };
                let from = Key { rank: released(level(priority)), number };
                deliveries.push(self.deliver(worker, from, body, suspect, now));
            }
        }
        deliveries
    }

    /// Whether this claim takes the lowest first, which one of a number does that find something.
    fn is_out_of_turn(&mut self) -> bool {
        if self.ready.is_empty() {
            return false;
        }
        self.in_turn = (self.in_turn + 1) % WEIGHT;
        self.in_turn == 0
    }

    fn next_ready(&self, out_of_turn: bool) -> Option<Key> {
        let first_from = |rank| self.ready.range(Key { rank, number: 0 }..).next().map(|(key, _)| *key);
        let levels = [Priority::Low, Priority::Normal].map(|priority| released(level(priority)));
        let lowest = levels.into_iter().filter(|_| out_of_turn).find_map(first_from);
        lowest.or_else(|| first_from(0))
    }

    /// When a message becomes ready by time alone; `None` where time alone changes nothing.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.scheduled.first_key_value().map(|(key, _)| key.moment())
    }

    pub(super) fn register(&mut self, worker: &WorkerId, until: Moment) {
        self.leases.insert(worker.clone(), until);
    }

    /// Whether the lease is held: the worker was not declared dead.
    pub(super) fn renew(&mut self, worker: &WorkerId, until: Moment) -> bool {
        self.leases.get_mut(worker).map(|end| *end = until).is_some()
    }

    /// Whether another worker seems to be dead.
    pub(super) fn has_deaths(&self, worker: &WorkerId, now: Moment) -> bool {
        self.leases.iter().any(|(other, end)| other != worker && *end <= now)
            || self.in_flight.values().any(|in_flight| !self.leases.contains_key(&in_flight.worker))
    }

    pub(super) fn stopping(&mut self, worker: &WorkerId) {
        if self.leases.contains_key(worker) {
            self.leaving.insert(worker.clone());
        }
    }

    pub(super) fn deregister(&mut self, worker: &WorkerId) {
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

    pub(super) fn recover(&mut self, worker: &WorkerId, max: usize, grace: Duration, now: Moment) -> Vec<Delivery> {
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
            Some(delivery.recovered(in_flight.crashes, in_flight.interruptions))
        };
        let deliveries = taken.into_iter().filter_map(deliver).collect();
        self.forget_who_left();
        deliveries
    }

    pub(super) fn settle(
        &mut self,
        worker: &WorkerId,
        receipt: &Receipt,
        settlement: &Settlement,
        now: Moment,
    ) -> Settled {
        let Ok(number) = receipt.as_bytes().try_into().map(u64::from_be_bytes) else { return Settled::Stale };
        let Entry::Occupied(held) = self.in_flight.entry(Key { rank: 0, number }) else { return Settled::Stale };
        // A zombie's failure says nothing about the run of the worker that has the message now.
        if held.get().worker != *worker && !matches!(settlement.outcome, Outcome::Done) {
            return Settled::Stale;
        }
        let in_flight = held.remove();
        let suspect = in_flight.suspect || in_flight.crashes > 0;
        match &settlement.outcome {
            Outcome::Done => {}
            Outcome::Reschedule { priority, body, after, .. } => {
                self.store(*priority, body.clone(), suspect, *after, now);
            }
            Outcome::Park { priority, body, after, ability, .. } => {
                let key = self.schedule(*priority, body.clone(), suspect, *after, now);
                self.parked.insert((ability.clone(), key.number, key));
            }
            Outcome::DeadLetter { body, reason, .. } => {
                let dead = Dead { body: body.clone(), reason: reason.clone() };
                let key = self.key(now.0);
                self.dead.insert(key, dead);
                self.tick(now);
            }
            Outcome::Release { body } => self.push_ready(released(in_flight.level), body.clone(), suspect, now),
        }
        for Consequence::EndTick(message) in &settlement.consequences {
            self.schedules.end_tick(*message);
        }
        Settled::Applied
    }

    /// Whether this message waits or is in flight.
    pub(super) fn has(&self, message: MessageId) -> bool {
        let ready = self.ready.values().map(|ready| &ready.body);
        let in_flight = self.in_flight.values().map(|in_flight| &in_flight.body);
        let mut bodies = ready.chain(in_flight).chain(self.scheduled.values().map(|scheduled| &scheduled.body));
        bodies.any(|body| wire::id(body) == Some(message))
    }

    pub(super) fn store(&mut self, priority: Priority, body: Bytes, suspect: bool, delay: Duration, now: Moment) {
        if delay.is_zero() {
            self.push_ready(level(priority), body, suspect, now);
        } else {
            self.schedule(priority, body, suspect, delay, now);
        }
    }

    fn schedule(&mut self, priority: Priority, body: Bytes, suspect: bool, delay: Duration, now: Moment) -> Key {
        let key = self.key(now.after(delay).0);
        self.scheduled.insert(key, Scheduled { body, priority, suspect });
        key
    }

    fn push_ready(&mut self, level: u64, body: Bytes, suspect: bool, since: Moment) {
        let key = self.key(level);
        self.ready.insert(key, Ready { body, since, suspect });
    }

    fn key(&mut self, rank: u64) -> Key {
        self.numbered += 1;
        Key { rank, number: self.numbered }
    }
}

fn delivery(number: u64, level: u64, body: Bytes) -> Delivery {
    let receipt = Receipt::new(number.to_be_bytes().to_vec());
    Delivery::new(receipt, body).ranked(u8::try_from(level).unwrap_or(u8::MAX))
}

impl Key {
    /// The time that it stands for, where the rank is one.
    pub(super) fn moment(self) -> Moment {
        Moment(self.rank)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.rank, self.number)
    }
}

impl FromStr for Key {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (rank, number) = text.split_once('-').ok_or(())?;
        Ok(Self { rank: rank.parse().map_err(drop)?, number: number.parse().map_err(drop)? })
    }
}

#[cfg(test)]
mod tests;
