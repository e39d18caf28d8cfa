//! One lane: the messages of a key that wait, and what its limits count.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::rate::opens;
use super::{Place, Waiting};
use crate::memory::clock::Moment;
use crate::{Limit, Limits};

#[derive(Debug, Default)]
pub(super) struct LaneState {
    pub(super) waiting: BTreeMap<Place, Waiting>,
    pub(super) stands: Stands,
    /// Its virtual time: what its messages have been charged.
    pub(super) time: u64,
    /// The slots that its messages hold.
    pub(super) running: u64,
    /// When all starts would have been used up that its rate has allowed.
    pub(super) allowed: Moment,
    /// Until when a limit elsewhere refuses its messages.
    pub(super) refused_until: Moment,
    pub(super) own: Own,
}

/// What was set for one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::memory) struct Own {
    pub(in crate::memory) limit: Option<Limit>,
    pub(in crate::memory) weight: Option<NonZeroU32>,
    pub(in crate::memory) paused: bool,
}

/// Where a lane stands, and by what in the set of those that stand there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stands {
    /// Nothing waits, and something runs or was never looked at.
    #[default]
    Idle,
    /// Its first message may go, as far as the key's limits are concerned: by virtual time.
    Open(u64),
    /// Its first message may go at a time.
    Closed(Moment),
    /// Its first message may go once another of the key is settled.
    Full,
    /// It is paused, and something waits.
    Paused,
    /// Nothing waits or runs, and it has had more than others: until their virtual time has passed its own.
    Owing(u64),
    /// Nothing waits or runs, and its rate is used up or refused until a time.
    Resting(Moment),
    /// There is nothing to know of it.
    Nowhere,
}

impl LaneState {
    pub(super) fn first(&self) -> Option<(Place, u32)> {
        self.waiting.first_key_value().map(|(place, waiting)| (*place, waiting.cost))
    }

    /// The limit of the key.
    pub(super) fn limit(&self, limits: &Limits) -> Limit {
        self.own.limit.unwrap_or(limits.per_key)
    }

    /// So many shares it has where others have one.
    pub(super) fn weight(&self) -> u64 {
        self.own.weight.map_or(1, |weight| weight.get().into())
    }

    /// When the key's rate, and limits elsewhere, let a message of this cost go.
    pub(super) fn opens(&self, cost: u32, limits: &Limits) -> Moment {
        let rate = self.limit(limits).max_rate();
        self.refused_until.max(rate.map_or(Moment::default(), |rate| opens(self.allowed, cost, rate)))
    }

    /// Where it belongs, at this time and this virtual time of the others.
    pub(super) fn belongs(&self, limits: &Limits, now: Moment, others: u64) -> Stands {
        if let Some((_, cost)) = self.first() {
            let opens = self.opens(cost, limits);
            return match fits(self.running, cost, self.limit(limits)) {
                _ if self.own.paused => Stands::Paused,
                _ if opens > now => Stands::Closed(opens),
                false => Stands::Full,
                true => Stands::Open(self.time),
            };
        }
        let rested = self.refused_until.max(self.limit(limits).max_rate().map_or(Moment::default(), |_| self.allowed));
        match () {
            () if self.running > 0 => Stands::Idle,
            () if self.time > others => Stands::Owing(self.time),
            () if rested > now => Stands::Resting(rested),
            () if self.own != Own::default() => Stands::Idle,
            () => Stands::Nowhere,
        }
    }
}

/// Whether a message of this cost may run beside what runs. What costs more than all runs alone.
pub(super) fn fits(running: u64, cost: u32, limit: Limit) -> bool {
    limit.max_concurrency().is_none_or(|max| running + u64::from(cost.min(max)) <= max.into())
}
