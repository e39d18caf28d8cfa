//! What holds of a queue's limits: what is declared, and what was set in its place.

use super::Gate;
use super::lane::{LaneState, Own, Stands};
use super::rate::changed;
use crate::control::{self, LimitSource, ListedLane, QueueLimits};
use crate::{Key, Limit, Limits};

impl Gate {
    /// Whether anything of the queue was ever limited, or has waited in a lane.
    pub(in crate::memory) fn has_lanes(&self) -> bool {
        self.declared.is_gated() || !self.lanes.is_empty()
    }

    /// Takes in what is declared last, also for what waits. Returns whether that is anything new.
    pub(in crate::memory) fn declare(&mut self, limits: Limits) -> bool {
        if self.declared == limits {
            return false;
        }
        self.declared = limits;
        self.apply();
        true
    }

    /// Sets a limit of the queue, or of each key.
    pub(in crate::memory) fn set(&mut self, each_key: bool, limit: Option<Limit>) {
        self.set[usize::from(each_key)] = limit;
        self.apply();
    }

    /// Changes what is set for one key.
    pub(in crate::memory) fn set_own(&mut self, key: &Key, change: impl FnOnce(&mut Own)) {
        let (limits, now) = (self.limits, self.now);
        let lane = self.lanes.entry(key.clone()).or_default();
        let former = lane.limit(&limits).max_rate();
        change(&mut lane.own);
        if let Some(rate) = lane.limit(&limits).max_rate().filter(|rate| Some(*rate) != former) {
            lane.allowed = changed(lane.allowed, rate, now);
        }
        self.place(key);
        self.forget();
    }

    pub(in crate::memory) fn limits(&self) -> QueueLimits {
        let [queue, per_key] = self.set;
        QueueLimits::new(
            LimitSource::new(self.declared.queue, queue),
            LimitSource::new(self.declared.per_key, per_key),
            self.declared.fair,
        )
    }

    /// The lanes after that of a key of which there is something to show, by key.
    pub(in crate::memory) fn lanes_after(&self, after: Option<&Key>) -> impl Iterator<Item = ListedLane> {
        let lanes = self.lanes.iter().filter(move |(key, _)| after.is_none_or(|after| after < *key));
        lanes.filter(|(_, lane)| lane.is_shown()).map(|(key, lane)| lane.listed(key))
    }

    /// Goes by what is declared and set from now on.
    fn apply(&mut self) {
        let [queue, per_key] = self.set;
        let mut limits = self.declared;
        limits.queue = queue.unwrap_or(limits.queue);
        limits.per_key = per_key.unwrap_or(limits.per_key);
        let former = std::mem::replace(&mut self.limits, limits);
        if let Some(rate) = limits.queue.max_rate().filter(|rate| former.queue.max_rate() != Some(*rate)) {
            self.allowed = changed(self.allowed, rate, self.now);
        }
        if let Some(rate) = limits.per_key.max_rate().filter(|rate| former.per_key.max_rate() != Some(*rate)) {
            let lanes = self.lanes.values_mut().filter(|lane| lane.own.limit.is_none());
            lanes.for_each(|lane| lane.allowed = changed(lane.allowed, rate, self.now));
        }
        self.place_all();
    }
}

impl LaneState {
    fn is_shown(&self) -> bool {
        !self.waiting.is_empty() || self.running > 0 || self.own != Own::default()
    }

    fn listed(&self, key: &Key) -> ListedLane {
        let state = match self.stands {
            _ if self.own.paused => control::LaneState::Paused,
            Stands::Open(_) => control::LaneState::Open,
            Stands::Full => control::LaneState::Full,
            Stands::Closed(until) => control::LaneState::ClosedUntil(until.time()),
            _ => control::LaneState::Idle,
        };
        let mut listed = ListedLane::new(key.clone(), self.waiting.len() as u64, self.running, state);
        (listed.limit, listed.weight) = (self.own.limit, self.own.weight);
        listed
    }
}
