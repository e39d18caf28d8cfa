//! The state of one queue, and what may happen to it. No lock, no waiting and no clock: every
//! method is given the time.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;

use super::clock::Moment;
use super::control::is_cancelled;
use super::expiring::Expiring;
use super::gate::{Gate, Slot, Waiting};
use super::schedules::Kept;
use super::states::Fields;
use super::unique::{At, Held, UniqueKeys};
use crate::delivery::{Delivery, Receipt, WorkerId};
use crate::settlement::{Consequence, Outcome, Settled, Settlement};
use crate::{Lane, Limits, MessageId, Priority};

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

/// One queue. A message's copy is in exactly one of the four maps, or waits in its lane at the gate.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) gate: Gate,
    pub(super) unique: UniqueKeys,
    /// In the order in which they are delivered: the rank is the level.
    pub(super) ready: BTreeMap<Key, Ready>,
    /// How many of these the gate has let go.
    granted: usize,
    /// The rank is zero, so that a receipt's number finds it.
    pub(super) in_flight: BTreeMap<Key, InFlight>,
    /// The rank is the time when it is due.
    pub(super) scheduled: BTreeMap<Key, Scheduled>,
    /// The rank is the time when it was dead-lettered.
    pub(super) dead: BTreeMap<Key, Dead>,
    /// Which scheduled messages wait for a worker with an ability. What is deleted may still stand here.
    pub(super) parked: BTreeSet<(String, u64, Key)>,
    pub(super) schedules: Kept,
    /// What is kept of messages beside them.
    pub(super) states: Expiring<MessageId, Fields>,
    /// How they ended.
    pub(super) results: Expiring<MessageId, Bytes>,
    pub(super) paused: bool,
    pub(super) retention: Retention,
    /// Whether low priorities are claimed before high ones now and then.
    pub(super) weighted: bool,
    /// How many claims have found something since that was last so.
    in_turn: u32,
    pub(super) pruned: Option<Pruned>,
    /// The messages that were cancelled in flight, and until when that is remembered.
    pub(super) cancelled: HashMap<MessageId, Moment>,
    /// How many of these are still to be logged.
    pub(super) unlogged: u64,
    /// When each worker's lease ends. A worker that is not here has none.
    leases: HashMap<WorkerId, Moment>,
    /// The workers that have begun to stop, and those that deregistered with messages in flight.
    leaving: HashSet<WorkerId>,
    /// How many copies were ever stored.
    numbered: u64,
    /// What each worker declared of the limits.
    declared: HashMap<WorkerId, Limits>,
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
    pub(super) suspect: bool,
    pub(super) slot: Option<Slot>,
    pub(super) held: Option<Box<Held>>,
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
    slot: Option<Slot>,
    held: Option<Box<Held>>,
}

#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) copy: Copied,
}

/// A message as it is stored, wherever that is.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) priority: Priority,
    pub(super) body: Bytes,
    pub(super) suspect: bool,
    pub(super) lane: Option<Lane>,
    pub(super) held: Option<Box<Held>>,
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
        self.gate.tick(now);
        self.states.tick(now);
        self.results.tick(now);
        while let Some(first) = self.scheduled.first_entry().filter(|first| first.key().moment() <= now) {
            let (key, Scheduled { copy }) = first.remove_entry();
            self.push(copy, key.moment());
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

    /// Takes in what a worker's program declares of the queue, once for each of its sessions. Returns whether that is
    /// anything new.
    pub(super) fn declare(&mut self, worker: &WorkerId, limits: Limits) -> bool {
        if !limits.is_gated() || self.declared.get(worker) == Some(&limits) {
            return false;
        }
        self.declared.retain(|worker, _| self.leases.contains_key(worker));
        self.declared.insert(worker.clone(), limits);
        self.gate.declare(limits)
    }

    pub(super) fn claim(&mut self, worker: &WorkerId, max: usize, now: Moment) -> Vec<Delivery> {
        if self.paused {
            return Vec::new();
        }
        // As many as are asked for, whatever else is ready: what has no lane must not keep back what has one. No more,
        // since it is no longer the gate that says who is next of them.
        while self.granted < max
            && let Some((key, Waiting { body, since, suspect, held, .. }, slot)) = self.gate.grant()
        {
            self.make_ready(key, Ready { body, since, suspect, slot: Some(slot), held });
        }
        let mut deliveries = Vec::with_capacity(max.min(self.ready.len()));
        let out_of_turn = self.weighted && self.is_out_of_turn();
        while deliveries.len() < max
            && let Some(key) = self.next_ready(out_of_turn)
            && let Some(ready) = self.take_ready(key)
        {
            let delivery = self.deliver(worker, key, ready, now);
            // What was claimed out of turn starts before all others.
            deliveries.push(if out_of_turn { delivery.ranked(0) } else { delivery });
        }
        deliveries
    }

    fn deliver(&mut self, worker: &WorkerId, from: Key, ready: Ready, now: Moment) -> Delivery {
        let Ready { body, suspect, slot, held, .. } = ready;
        self.unique.moved(held.as_deref(), At::InFlight);
        let Key { rank: level, number } = from;
        let (worker, delivery) = (worker.clone(), delivery(number, level, body.clone()));
        let (crashes, interruptions) = (0, 0);
        let in_flight = InFlight { body, since: now, worker, crashes, interruptions, suspect, level, slot, held };
        self.in_flight.insert(Key { rank: 0, number }, in_flight);
        delivery
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

    /// When a message may be delivered by time alone; `None` where time alone changes nothing.
    pub(super) fn next_due(&self) -> Option<Moment> {
        let due = self.scheduled.first_key_value().map(|(key, _)| key.moment());
        due.into_iter().chain(self.gate.next_open()).min()
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
        if settlement.outcome.body().is_some() && is_cancelled(&self.cancelled, &in_flight.body) {
            if let Some(slot) = &in_flight.slot {
                self.gate.free(slot, settlement.ran);
            }
            self.give_up(in_flight.held.as_deref(), now);
            return Settled::Cancelled;
        }
        let suspect = in_flight.suspect || in_flight.crashes > 0;
        let (slot, held) = (in_flight.slot, in_flight.held);
        if let Outcome::Release { body } = &settlement.outcome {
            let key = self.key(released(in_flight.level));
            self.make_ready(key, Ready { body: body.clone(), since: now, suspect, slot, held });
            return Settled::Applied;
        }
        if let Some(slot) = &slot {
            self.gate.free(slot, settlement.ran);
        }
        let lane = slot.map(|slot| slot.lane);
        let copy = |priority, body: &Bytes, held| Copied { priority, body: body.clone(), suspect, lane, held };
        match &settlement.outcome {
            Outcome::Done | Outcome::Cancelled { .. } | Outcome::Release { .. } => self.give_up(held.as_deref(), now),
            Outcome::Reschedule { priority, body, after, .. } => self.store(copy(*priority, body, held), *after, now),
            Outcome::Limited { priority, body, after, .. } => {
                let copy = copy(*priority, body, held);
                match &copy.lane {
                    None => self.store(copy, *after, now),
                    Some(Lane { key, .. }) => {
                        self.gate.close(key, now.after(*after));
                        let place = self.key(released(level(*priority)));
                        self.push_at(place, copy, now);
                    }
                }
            }
            Outcome::Park { priority, body, after, ability, .. } => {
                let key = self.schedule(copy(*priority, body, held), *after, now);
                self.parked.insert((ability.clone(), key.number, key));
            }
            Outcome::DeadLetter { body, reason, .. } => {
                self.give_up(held.as_deref(), now);
                let dead = Dead { body: body.clone(), reason: reason.clone() };
                let key = self.key(now.0);
                self.dead.insert(key, dead);
                self.tick(now);
            }
        }
        for consequence in &settlement.consequences {
            match consequence {
                Consequence::EndTick(message) => self.schedules.end_tick(*message),
                Consequence::ForgetState(message) => drop(self.states.remove(*message)),
                Consequence::KeepResult { id, record, keep } => {
                    self.results.insert(*id, record.clone(), now.after(*keep));
                }
                // Stored by whoever has all queues.
                Consequence::Send { .. } => {}
            }
        }
        Settled::Applied
    }

    /// What a worker holds by a receipt.
    fn held(&self, worker: &WorkerId, receipt: &Receipt) -> Option<&InFlight> {
        let number = receipt.as_bytes().try_into().map(u64::from_be_bytes).ok()?;
        self.in_flight.get(&Key { rank: 0, number }).filter(|held| held.worker == *worker)
    }

    pub(super) fn is_held(&self, worker: &WorkerId, receipt: &Receipt) -> bool {
        self.held(worker, receipt).is_some()
    }

    /// Notes that the run of a delivery begins.
    pub(super) fn begin(&mut self, worker: &WorkerId, receipt: &Receipt, now: Moment) -> Settled {
        let Some(in_flight) = self.held(worker, receipt) else { return Settled::Stale };
        let held = in_flight.held.clone();
        self.give_up(held.as_deref(), now);
        Settled::Applied
    }

    pub(super) fn key(&mut self, rank: u64) -> Key {
        self.numbered += 1;
        Key { rank, number: self.numbered }
    }
}

fn delivery(number: u64, level: u64, body: Bytes) -> Delivery {
    let receipt = Receipt::new(number.to_be_bytes().to_vec());
    Delivery::new(receipt, body).ranked(u8::try_from(level).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod fairness;
mod key;
mod leases;
mod storing;
#[cfg(test)]
mod tests;
mod unparking;
