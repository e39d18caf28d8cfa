//! Which limits hold at a time: what is declared, or what was set in its place. A change holds from some time between the
//! question and the answer on. One that may have been lost with a master may hold, or not, until the next.

use std::collections::HashMap;

use super::super::Evidence;
use super::super::evidence::Tuned;
use crate::clock::SECOND;
use crate::tasks::gated::{RATE, SLOTS, SLOTS_OF_KEY};
use crate::tuner::Tune;

/// What a value is set to.
struct Change<T> {
    value: T,
    asked: u64,
    answered: u64,
    /// Whether it holds for certain once it was answered.
    stays: bool,
}

/// A value that is set again and again.
struct Setting<T> {
    declared: T,
    changes: Vec<Change<T>>,
}

impl<T: Copy> Setting<T> {
    fn of(declared: T) -> Self {
        Self { declared, changes: Vec::new() }
    }

    fn set(&mut self, value: T, tuned: &Tuned, evidence: &Evidence) {
        let Tuned { asked, answered, .. } = *tuned;
        self.changes.push(Change { value, asked, answered, stays: !evidence.may_be_lost(asked, answered) });
    }

    /// All that it may have been between two times.
    fn possible(&self, from: u64, to: u64) -> impl Iterator<Item = T> {
        let asked = self.changes.partition_point(|change| change.asked <= to);
        let changes = &self.changes[..asked];
        let certain = changes.iter().rposition(|change| change.answered <= from && change.stays);
        let before = if certain.is_none() { Some(self.declared) } else { None };
        changes[certain.unwrap_or_default()..].iter().map(|change| change.value).chain(before)
    }
}

/// The limits of the queue, by time.
pub(super) struct Bounds {
    /// Its slots, and how many start a second.
    queue: Setting<(u32, u32)>,
    each: Setting<u32>,
    own: HashMap<String, Setting<Option<u32>>>,
    paused: HashMap<String, Setting<bool>>,
    /// When each change was asked for, and when it was answered.
    pub(super) changed: Vec<u64>,
}

impl Bounds {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut bounds = Self {
            queue: Setting::of((SLOTS, RATE)),
            each: Setting::of(SLOTS_OF_KEY),
            own: HashMap::new(),
            paused: HashMap::new(),
            changed: Vec::new(),
        };
        for tuned in &evidence.tuned {
            bounds.changed.extend([tuned.asked, tuned.answered]);
            match &tuned.change {
                Tune::Queue(set) => bounds.queue.set(set.unwrap_or(bounds.queue.declared), tuned, evidence),
                Tune::EachKey(set) => bounds.each.set(set.unwrap_or(bounds.each.declared), tuned, evidence),
                Tune::Key(key, set) => {
                    bounds.own.entry(key.clone()).or_insert_with(|| Setting::of(None)).set(*set, tuned, evidence);
                }
                Tune::Pause(key, is) => {
                    bounds.paused.entry(key.clone()).or_insert_with(|| Setting::of(false)).set(*is, tuned, evidence);
                }
                Tune::Weight(..) => {}
            }
        }
        bounds
    }

    /// The most slots that there may have been at one of these times.
    pub(super) fn most(&self, from: u64, to: u64) -> u32 {
        self.queue.possible(from, to).map(|(slots, _)| slots).max().unwrap_or_default()
    }

    /// The same for a key: none while it is paused.
    pub(super) fn most_of(&self, key: &str, from: u64, to: u64) -> u32 {
        if self.paused.get(key).is_some_and(|paused| paused.possible(from, to).all(|paused| paused)) {
            return 0;
        }
        self.of_key(key, from, to).max().unwrap_or_default()
    }

    /// The fewest slots that there may be at a time.
    pub(super) fn least(&self, at: u64) -> u32 {
        self.queue.possible(at, at).map(|(slots, _)| slots).min().unwrap_or_default()
    }

    /// The same for a key: none while it may be paused.
    pub(super) fn least_of(&self, key: &str, at: u64) -> u32 {
        if self.paused.get(key).is_some_and(|paused| paused.possible(at, at).any(|paused| paused)) {
            return 0;
        }
        self.of_key(key, at, at).min().unwrap_or_default()
    }

    fn of_key(&self, key: &str, from: u64, to: u64) -> impl Iterator<Item = u32> {
        let own: Vec<_> = self.own.get(key).map_or_else(|| vec![None], |own| own.possible(from, to).collect());
        own.into_iter().flat_map(move |own| match own {
            Some(slots) => vec![slots],
            None => self.each.possible(from, to).collect(),
        })
    }

    /// The time from one start to the next throughout, in us; none where it may have changed.
    pub(super) fn interval(&self, from: u64, to: u64) -> Option<u64> {
        let mut rates = self.queue.possible(from, to).map(|(_, rate)| rate);
        let rate = rates.next()?;
        rates.all(|other| other == rate).then(|| SECOND / u64::from(rate))
    }

    /// The longest that it may be at a time.
    pub(super) fn longest_interval(&self, at: u64) -> u64 {
        self.queue.possible(at, at).map(|(_, rate)| SECOND / u64::from(rate)).max().unwrap_or_default()
    }
}
