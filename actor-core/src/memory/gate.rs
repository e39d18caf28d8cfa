//! The gate of a queue: which of the messages that wait in lanes may go, within the limits.
//!
//! A lane that has messages is in one of three places: `open`, by its virtual time; `closed`, by the time at which it
//! opens; or `full`. Whoever has run least goes first (stride scheduling).
//! Source: C. Waldspurger, W. Weihl, "Stride Scheduling: Deterministic Proportional-Share Resource Management", MIT (1995).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use super::clock::Moment;
use super::queue::Key as Place;
use super::unique::Held;
use crate::{Key, Lane, Limit, Limits, Rate};

/// What a message is charged where lanes only take turns, and before it is known how long messages run, in nanoseconds.
const TURN: u64 = 1_000_000;

/// The lanes of a queue, and what its limits count.
#[derive(Debug, Default)]
pub(super) struct Gate {
    pub(super) limits: Limits,
    /// How many messages wait.
    count: usize,
    lanes: BTreeMap<Key, LaneState>,
    open: BTreeSet<(u64, Key)>,
    closed: BTreeSet<(Moment, Key)>,
    /// The slots that are taken of the whole queue.
    running: u64,
    /// When all starts would have been used up that the queue's rate has allowed by now.
    allowed: Moment,
    /// The virtual time of the lane that went last: where a newcomer begins.
    now: u64,
    /// How long messages run here, about, in nanoseconds.
    usual: u64,
    /// How many lanes there may be before those of which nothing is left to know are forgotten.
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct LaneState {
    waiting: BTreeMap<Place, Waiting>,
    is: Is,
    time: u64,
    running: u64,
    allowed: Moment,
    closed_until: Option<Moment>,
}

/// Where a lane that has messages stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Is {
    #[default]
    Empty,
    Open,
    Closed(Moment),
    Full,
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
    /// Puts a message into its lane.
    pub(super) fn push(&mut self, key: Key, place: Place, waiting: Waiting) {
        let lane = self.lanes.entry(key.clone()).or_default();
        self.count += usize::from(lane.waiting.insert(place, waiting).is_none());
        self.place(&key);
    }

    /// Has nothing go from a lane for some time.
    pub(super) fn close(&mut self, key: &Key, until: Moment) {
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.closed_until = lane.closed_until.max(Some(until));
        self.place(key);
    }

    /// The next message that may go now, with what it holds from here on.
    pub(super) fn grant(&mut self, now: Moment) -> Option<(Place, Waiting, Slot)> {
        while let Some((until, key)) = self.closed.first().filter(|(until, _)| *until <= now).cloned() {
            self.closed.remove(&(until, key.clone()));
            let lane = self.lanes.get_mut(&key)?;
            (lane.is, lane.closed_until) = (Is::Empty, None);
            self.place(&key);
        }
        self.sweep(now);
        while let Some((_, key)) = self.open.first().cloned() {
            let (place, cost) = self.lanes.get(&key).and_then(LaneState::first)?;
            if !self.has_room(cost) || self.opens(cost) > now {
                return None;
            }
            let Some(slot) = self.take(&Lane::new(key.clone()).cost(cost), now) else {
                self.place(&key);
                continue;
            };
            let waiting = self.lanes.get_mut(&key)?.waiting.remove(&place)?;
            self.count -= 1;
            self.place(&key);
            return Some((place, waiting, slot));
        }
        None
    }

    /// Takes what a message needs, out of turn, where all of its limits allow it.
    pub(super) fn take_for(&mut self, lane: &Lane, now: Moment) -> Option<Slot> {
        if !self.has_room(lane.cost) || self.opens(lane.cost) > now {
            return None;
        }
        let slot = self.take(lane, now)?;
        self.place(&lane.key);
        Some(slot)
    }

    /// Takes what a message needs, where its lane's limits allow it.
    fn take(&mut self, lane: &Lane, now: Moment) -> Option<Slot> {
        let Limits { queue, per_key, fair } = self.limits;
        let state = self.lanes.entry(lane.key.clone()).or_default();
        let opens = per_key.max_rate().map_or(Moment::default(), |rate| opens(state.allowed, lane.cost, rate));
        let opens = state.closed_until.unwrap_or_default().max(opens);
        if opens > now {
            state.closed_until = Some(opens);
            return None;
        }
        if !fits(state.running, lane.cost, per_key) {
            return None;
        }
        let charged = if fair { self.usual.max(1) } else { TURN }.saturating_mul(lane.cost.into());
        self.now = self.now.max(state.time);
        if state.is == Is::Open {
            self.open.remove(&(state.time, lane.key.clone()));
            state.is = Is::Empty;
        }
        state.time = state.time.max(self.now).saturating_add(charged);
        state.running += u64::from(lane.cost);
        self.running += u64::from(lane.cost);
        if let Some(rate) = per_key.max_rate() {
            state.allowed = used(state.allowed, lane.cost, rate, now);
        }
        if let Some(rate) = queue.max_rate() {
            self.allowed = used(self.allowed, lane.cost, rate, now);
        }
        Some(Slot { lane: lane.clone(), charged })
    }

    /// Frees what a message held that ran so long.
    pub(super) fn free(&mut self, slot: &Slot, ran: Duration) {
        let cost = u64::from(slot.lane.cost);
        self.running = self.running.saturating_sub(cost);
        let Some(lane) = self.lanes.get_mut(&slot.lane.key) else { return };
        lane.running = lane.running.saturating_sub(cost);
        if self.limits.fair {
            let ran = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
            self.usual = if self.usual == 0 { ran } else { self.usual - self.usual / 8 + ran / 8 };
            if lane.is == Is::Open {
                self.open.remove(&(lane.time, slot.lane.key.clone()));
                lane.is = Is::Empty;
            }
            let owed = ran.saturating_mul(cost);
            lane.time = lane.time.saturating_add(owed).saturating_sub(slot.charged);
        }
        if lane.is == Is::Full {
            lane.is = Is::Empty;
        }
        self.place(&slot.lane.key);
    }

    /// When something may go by time alone, if nothing is freed before.
    pub(super) fn next_open(&self, now: Moment) -> Option<Moment> {
        let closed = self.closed.first().map(|(until, _)| *until);
        let cost = self.open.first().and_then(|(_, key)| self.lanes.get(key)?.first()).map(|(_, cost)| cost);
        let rate = cost.filter(|cost| self.has_room(*cost)).map(|cost| self.opens(cost)).filter(|at| *at > now);
        closed.into_iter().chain(rate).min()
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
        let removed = self.lanes.get_mut(key)?.waiting.remove(&place);
        self.count -= usize::from(removed.is_some());
        self.place(key);
        removed
    }

    /// How many messages wait.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Lets every lane be looked at again, after the limits have changed.
    pub(super) fn declare(&mut self, limits: Limits) {
        if self.limits == limits {
            return;
        }
        self.limits = limits;
        let keys: Vec<Key> = self.lanes.keys().cloned().collect();
        for key in keys {
            if let Some(lane) = self.lanes.get_mut(&key).filter(|lane| lane.is == Is::Full) {
                lane.is = Is::Empty;
            }
            self.place(&key);
        }
    }

    /// Forgets the lanes of which nothing is left to know, once they may be half of all.
    fn sweep(&mut self, now: Moment) {
        if self.lanes.len() > self.sweep_at {
            let time = self.now;
            self.lanes
                .retain(|_, lane| lane.is != Is::Empty || lane.running > 0 || lane.time > time || lane.allowed > now);
            self.sweep_at = 2 * self.lanes.len().max(32);
        }
    }

    /// Puts a lane where it belongs now.
    fn place(&mut self, key: &Key) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let next = match (lane.closed_until, lane.first()) {
            (Some(until), _) => Is::Closed(until),
            (None, None) => Is::Empty,
            (None, Some((_, cost))) if !fits(lane.running, cost, self.limits.per_key) => Is::Full,
            (None, Some(_)) => Is::Open,
        };
        match lane.is {
            Is::Open => drop(self.open.remove(&(lane.time, key.clone()))),
            Is::Closed(until) => drop(self.closed.remove(&(until, key.clone()))),
            Is::Empty | Is::Full => {}
        }
        lane.is = next;
        match next {
            Is::Open => {
                lane.time = lane.time.max(self.now);
                self.open.insert((lane.time, key.clone()));
            }
            Is::Closed(until) => drop(self.closed.insert((until, key.clone()))),
            Is::Empty | Is::Full => {}
        }
    }

    fn has_room(&self, cost: u32) -> bool {
        fits(self.running, cost, self.limits.queue)
    }

    fn opens(&self, cost: u32) -> Moment {
        self.limits.queue.max_rate().map_or(Moment::default(), |rate| opens(self.allowed, cost, rate))
    }
}

impl LaneState {
    fn first(&self) -> Option<(Place, u32)> {
        self.waiting.first_key_value().map(|(place, waiting)| (*place, waiting.cost))
    }
}

/// Whether a message of this cost may run beside what runs. What costs more than all runs alone.
fn fits(running: u64, cost: u32, limit: Limit) -> bool {
    limit.max_concurrency().is_none_or(|max| running + u64::from(cost.min(max)) <= max.into())
}

/// When a message of this cost may start.
fn opens(allowed: Moment, cost: u32, rate: Rate) -> Moment {
    // What it costs more than the burst has to be saved up for.
    let spare = rate.interval().saturating_mul(rate.burst - cost.min(rate.burst));
    Moment(allowed.0.saturating_sub(Moment::default().after(spare).0))
}

/// What is used up once it has started.
fn used(allowed: Moment, cost: u32, rate: Rate, now: Moment) -> Moment {
    allowed.max(now).after(rate.interval().saturating_mul(cost))
}
