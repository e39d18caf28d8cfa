//! The gate of a queue: which of the messages that wait in lanes may go, within the limits.
//!
//! Of the lanes whose first message may go, the one that has run least goes first (stride scheduling): its virtual
//! time is the least. A lane is kept as long as something waits or runs, as it has had more than the others, or as its
//! rate is used up; then it is forgotten.
//! Source: C. Waldspurger, W. Weihl, "Stride Scheduling: Deterministic Proportional-Share Resource Management", MIT (1995).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use self::lane::{LaneState, Stands, fits};
use self::rate::{opens, used};
use super::clock::Moment;
use super::queue::Key as Place;
use super::unique::Held;
use crate::{Key, Lane, Limit, Limits};

/// What a message is charged where lanes only take turns, in nanoseconds.
const TURN: u64 = 1_000_000;

/// A lane that its own limits held back may catch up on this many turns.
const CATCH_UP: u64 = 16;

/// The lanes of a queue, and what its limits count.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Those that hold.
    limits: Limits,
    declared: Limits,
    /// What was set in place of what is declared: of the queue, and of each key.
    set: [Option<Limit>; 2],
    /// How many messages wait.
    count: usize,
    lanes: BTreeMap<Key, LaneState>,
    open: BTreeSet<(u64, Key)>,
    closed: BTreeSet<(Moment, Key)>,
    owing: BTreeSet<(u64, Key)>,
    resting: BTreeSet<(Moment, Key)>,
    /// The slots that are taken of the whole queue.
    running: u64,
    /// When all starts would have been used up that the queue's rate has allowed.
    allowed: Moment,
    /// The time as far as it is known here.
    now: Moment,
    /// The virtual time where no lane is open.
    time: u64,
    /// Where the last newcomer began.
    joined: u64,
    /// How long messages run here, about, in nanoseconds.
    usual: u64,
}

/// A message in its lane.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) body: Bytes,
    pub(super) since: Moment,
    pub(super) cost: u32,
    pub(super) suspect: bool,
    pub(super) held: Option<Box<Held>>,
}

/// What a message holds of its queue's limits, from when it was let go to its settlement.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) lane: Lane,
    charged: u64,
}

impl Gate {
    /// Brings it to `now`: lanes open whose time has come, and those of which nothing is left to know are forgotten.
    pub(super) fn tick(&mut self, now: Moment) {
        self.now = self.now.max(now);
        while let Some((_, key)) = self.closed.first().filter(|(until, _)| *until <= self.now).cloned() {
            self.place(&key);
        }
        self.forget();
    }

    /// Puts a message into its lane.
    pub(super) fn push(&mut self, key: &Key, place: Place, waiting: Waiting) {
        let (others, turn) = (self.virtual_time(), self.charge(1));
        let step = turn / (self.open.len() as u64 + 1);
        let lane = self.lanes.entry(key.clone()).or_default();
        if lane.waiting.is_empty() {
            // Whoever comes goes before the others, whatever it did not use before. Of many that come, each begins a
            // lane's part of a turn after the one before, and a turn after the others at most: they starve nobody.
            let begins = (self.joined + step).clamp(others.saturating_sub(1), others.saturating_add(turn));
            if lane.time < begins {
                (lane.time, self.joined) = (begins, begins);
            }
        }
        self.count += usize::from(lane.waiting.insert(place, waiting).is_none());
        self.place(key);
        self.forget();
    }

    /// Has nothing go from a lane for some time.
    pub(super) fn close(&mut self, key: &Key, until: Moment) {
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.refused_until = lane.refused_until.max(until);
        self.place(key);
        self.forget();
    }

    /// The next message that may go now, with what it holds from here on.
    pub(super) fn grant(&mut self) -> Option<(Place, Waiting, Slot)> {
        let key = self.open.first()?.1.clone();
        let lane = self.lanes.get_mut(&key)?;
        let (place, cost) = lane.first()?;
        // Whoever is first is waited for, or what costs much would never go.
        if !fits(self.running, cost, self.limits.queue) || self.opens(cost) > self.now {
            return None;
        }
        let waiting = self.lanes.get_mut(&key)?.waiting.remove(&place)?;
        self.count -= 1;
        let slot = self.take(Lane::new(key).cost(cost));
        Some((place, waiting, slot))
    }

    /// Takes what a message needs, out of turn, where all of its limits allow it.
    pub(super) fn take_for(&mut self, lane: &Lane) -> Option<Slot> {
        let none = LaneState::default();
        let own = self.lanes.get(&lane.key).unwrap_or(&none);
        let opens = own.opens(lane.cost, &self.limits);
        let fits =
            fits(self.running, lane.cost, self.limits.queue) && fits(own.running, lane.cost, own.limit(&self.limits));
        (fits && !own.own.paused && opens.max(self.opens(lane.cost)) <= self.now).then(|| self.take(lane.clone()))
    }

    fn take(&mut self, lane: Lane) -> Slot {
        let (charged, others, cost) = (self.charge(lane.cost), self.virtual_time(), u64::from(lane.cost));
        let state = self.lanes.entry(lane.key.clone()).or_default();
        let charged = (charged / state.weight()).max(1);
        if state.running == 0 && !matches!(state.stands, Stands::Open(_)) {
            state.time = state.time.max(others);
        }
        state.time = state.time.saturating_add(charged);
        state.running += cost;
        self.running += cost;
        if let Some(rate) = state.limit(&self.limits).max_rate() {
            state.allowed = used(state.allowed, lane.cost, rate, self.now);
        }
        if let Some(rate) = self.limits.queue.max_rate() {
            self.allowed = used(self.allowed, lane.cost, rate, self.now);
        }
        self.place(&lane.key);
        self.forget();
        Slot { lane, charged }
    }

    /// Frees what a message held that ran so long.
    pub(super) fn free(&mut self, slot: &Slot, ran: Duration) {
        let cost = u64::from(slot.lane.cost);
        self.running = self.running.saturating_sub(cost);
        let Some(lane) = self.lanes.get_mut(&slot.lane.key) else { return };
        lane.running = lane.running.saturating_sub(cost);
        if self.limits.fair {
            let ran = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
            // What never ran says nothing about how long others run.
            self.usual = match (self.usual, ran) {
                (usual, 0) => usual,
                (0, ran) => ran,
                (usual, ran) => usual - usual / 8 + ran / 8,
            };
            lane.time = lane.time.saturating_add(ran.saturating_mul(cost) / lane.weight()).saturating_sub(slot.charged);
        }
        self.place(&slot.lane.key);
        self.forget();
    }

    /// When something may go by time alone, if nothing is freed before.
    pub(super) fn next_open(&self) -> Option<Moment> {
        let closed = self.closed.first().map(|(until, _)| *until);
        let cost = self.open.first().and_then(|(_, key)| self.lanes.get(key)?.first()).map(|(_, cost)| cost);
        let rate = cost.filter(|cost| fits(self.running, *cost, self.limits.queue)).map(|cost| self.opens(cost));
        closed.into_iter().chain(rate).filter(|at| *at > self.now).min()
    }

    /// All messages in lanes, by lane.
    pub(super) fn waiting(&self, after: Option<(&Key, Place)>) -> impl Iterator<Item = (&Key, &Place, &Waiting)> {
        let from = after.map_or(Bound::Unbounded, |(key, _)| Bound::Included(key));
        let place = after.map(|(key, place)| (key.clone(), place));
        self.lanes.range::<Key, _>((from, Bound::Unbounded)).flat_map(move |(key, lane)| {
            let begin = place.as_ref().filter(|(first, _)| first == key).map(|(_, place)| *place);
            let begin = begin.map_or(Bound::Unbounded, Bound::Excluded);
            lane.waiting.range((begin, Bound::Unbounded)).map(move |(place, waiting)| (key, place, waiting))
        })
    }

    pub(super) fn get(&self, key: &Key, place: Place) -> Option<&Waiting> {
        self.lanes.get(key)?.waiting.get(&place)
    }

    pub(super) fn remove(&mut self, key: &Key, place: Place) -> Option<Waiting> {
        let removed = self.lanes.get_mut(key).and_then(|lane| lane.waiting.remove(&place));
        self.count -= usize::from(removed.is_some());
        self.place(key);
        self.forget();
        removed
    }

    /// How many messages wait.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Takes out all that waits.
    pub(super) fn purge(&mut self) -> Vec<Waiting> {
        let lanes = self.lanes.values_mut();
        let purged = lanes.flat_map(|lane| std::mem::take(&mut lane.waiting).into_values()).collect();
        self.count = 0;
        self.place_all();
        purged
    }

    fn place_all(&mut self) {
        let keys: Vec<Key> = self.lanes.keys().cloned().collect();
        keys.iter().for_each(|key| self.place(key));
        self.forget();
    }

    /// Puts a lane where it belongs now.
    fn place(&mut self, key: &Key) {
        let (others, turn) = (self.virtual_time(), self.charge(1));
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let mut belongs = lane.belongs(&self.limits, self.now, others);
        if matches!((lane.stands, belongs), (Stands::Closed(_) | Stands::Full | Stands::Paused, Stands::Open(_))) {
            lane.time = lane.time.max(others.saturating_sub(turn.saturating_mul(CATCH_UP)));
            belongs = Stands::Open(lane.time);
        }
        let (stood, time) = (std::mem::replace(&mut lane.stands, belongs), lane.time);
        if stood == belongs {
            return;
        }
        match stood {
            Stands::Open(time) => drop(self.open.remove(&(time, key.clone()))),
            Stands::Closed(until) => drop(self.closed.remove(&(until, key.clone()))),
            Stands::Owing(time) => drop(self.owing.remove(&(time, key.clone()))),
            Stands::Resting(until) => drop(self.resting.remove(&(until, key.clone()))),
            Stands::Idle | Stands::Full | Stands::Paused | Stands::Nowhere => {}
        }
        match belongs {
            Stands::Open(time) => drop(self.open.insert((time, key.clone()))),
            Stands::Closed(until) => drop(self.closed.insert((until, key.clone()))),
            Stands::Owing(time) => drop(self.owing.insert((time, key.clone()))),
            Stands::Resting(until) => drop(self.resting.insert((until, key.clone()))),
            Stands::Idle | Stands::Full | Stands::Paused => {}
            Stands::Nowhere => drop(self.lanes.remove(key)),
        }
        // The last one to have been open takes the virtual time with it.
        if matches!(stood, Stands::Open(_)) && self.open.is_empty() {
            self.time = self.time.max(time);
        }
    }

    /// Forgets the lanes of which nothing is left to know.
    fn forget(&mut self) {
        if self.count == 0 && self.running == 0 {
            // Nobody waits for what others have had.
            self.time = self.time.max(self.owing.last().map_or(0, |(time, _)| *time));
        }
        let others = self.virtual_time();
        while let Some((_, key)) = self.owing.first().filter(|(time, _)| *time <= others).cloned() {
            self.place(&key);
        }
        while let Some((_, key)) = self.resting.first().filter(|(until, _)| *until <= self.now).cloned() {
            self.place(&key);
        }
    }

    /// The least virtual time of those that may go.
    fn virtual_time(&self) -> u64 {
        self.open.first().map_or(self.time, |(time, _)| *time)
    }

    /// What a message is charged when it goes. What it ran is charged in place of that once it is settled.
    fn charge(&self, cost: u32) -> u64 {
        let turn = if self.limits.fair { self.usual.max(1) } else { TURN };
        turn.saturating_mul(cost.into())
    }

    /// When the queue's rate lets a message of this cost go.
    fn opens(&self, cost: u32) -> Moment {
        self.limits.queue.max_rate().map_or(Moment::default(), |rate| opens(self.allowed, cost, rate))
    }
}

mod lane;
pub(super) mod rate;
mod set;
#[cfg(test)]
mod tests;
