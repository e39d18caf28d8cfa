//! No slot is free while messages wait that could have it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Evidence, Finding, IDLE, Sent, retries};
use super::bounds::Bounds;
use super::gated;
use super::holds::{Span, holds, merged};
use crate::clock::SECOND;
use crate::history::{How, Lane};
use crate::tasks::gated::{BURST, CLOSED};

/// How long a slot may be free without faults while a message waits that could have it.
const FREE: u64 = SECOND;

/// What begins or ends at a time.
#[derive(Clone, Copy)]
enum Change {
    /// A message may hold its slots.
    Holds,
    /// It may be in its lane: what is behind it may have to wait for it.
    MayWait,
    /// It is in its lane.
    Waits,
    /// The lane may be closed by a limit elsewhere.
    Closed,
}

/// What is known of a lane, or of all of them.
#[derive(Default)]
struct Sum {
    taken: u32,
    closed: u32,
    waiting: u32,
    /// How many may wait, by what they cost.
    may_wait: BTreeMap<u32, u32>,
    /// Since when a slot has been free, and how many messages have waited for it.
    free_since: Option<u64>,
}

impl Sum {
    fn change(&mut self, what: Change, begins: bool, cost: u32) {
        let (count, by) = match what {
            Change::Holds => (&mut self.taken, cost),
            Change::MayWait => (self.may_wait.entry(cost).or_default(), 1),
            Change::Waits => (&mut self.waiting, 1),
            Change::Closed => (&mut self.closed, 1),
        };
        *count = if begins { *count + by } else { *count - by };
        self.may_wait.retain(|_, count| *count > 0);
    }

    /// What the costliest costs of what may wait.
    fn most(&self) -> u32 {
        self.may_wait.last_key_value().map_or(1, |(cost, _)| *cost)
    }

    /// Whether that could go.
    fn has_free(&self, limit: u32) -> bool {
        limit > 0 && self.taken + self.most().min(limit) <= limit
    }
}

/// Until when the rate is used up, by what workers recorded of it: not sooner than Redis counts.
#[derive(Default)]
struct Used {
    until: u64,
    interval: Option<u64>,
}

impl Used {
    /// When so many more may start, if that is known.
    fn allows(&mut self, cost: u32, bounds: &Bounds, now: u64) -> Option<u64> {
        let interval = bounds.interval(now, now)?;
        if self.interval.replace(interval) != Some(interval) {
            // What is used up of another rate is no more than all that starts at once.
            self.until = self.until.min(now + u64::from(BURST) * interval);
        }
        Some(self.until.saturating_sub(u64::from(BURST - cost.min(BURST)) * interval))
    }

    fn start(&mut self, at: u64, cost: u32, bounds: &Bounds) {
        self.until = self.until.max(at) + u64::from(cost) * bounds.longest_interval(at);
    }
}

/// A time, whether something begins or ends then, and what, in which lane. Nothing where a limit may change.
type Moment<'a> = (u64, bool, Option<(Change, &'a Lane)>);

/// What changes, by time, and what starts.
#[derive(Default)]
struct Changes<'a> {
    changes: Vec<Moment<'a>>,
    starts: Vec<(u64, u32)>,
    end: u64,
}

impl<'a> Changes<'a> {
    fn of(evidence: &'a Evidence, bounds: &Bounds) -> Self {
        let mut all = Self { end: evidence.calm.1, ..Self::default() };
        for (id, message, lane) in gated(evidence) {
            let holds = holds(evidence, id, message);
            let mut taken = Vec::new();
            let first = holds.first().map_or(u64::MAX, |hold| hold.since);
            let due = message.invoked + message.delay_ms * 1_000;
            if holds.is_empty() && evidence.went_with_its_master(message) {
                continue;
            }
            if message.sent == Sent::Acknowledged {
                all.note(lane, Change::Waits, (due.max(message.answered), first));
            }
            if message.sent == Sent::Acknowledged || !holds.is_empty() {
                all.note(lane, Change::MayWait, (due, first));
            }
            all.starts.extend(holds.iter().filter(|hold| hold.is_start).map(|hold| (hold.since, lane.cost)));
            for (at, hold) in holds.iter().enumerate() {
                taken.push((hold.since, hold.until));
                let next = holds.get(at + 1).map(|next| next.since);
                let is_lost = next.is_none() && evidence.may_be_lost(message.invoked, hold.until);
                match (hold.how, next) {
                    (Some(How::Refused), _) if !is_lost => {
                        let opens = hold.until.saturating_add(micros(CLOSED));
                        all.note(lane, Change::Closed, (hold.since, opens));
                        all.note(lane, Change::MayWait, (hold.until, next.unwrap_or(u64::MAX)));
                        all.note(lane, Change::Waits, (opens, next.unwrap_or(u64::MAX)));
                    }
                    (Some(How::Failed | How::Stale), Some(next)) => {
                        let due = hold.until + retries::ceiling(&message.actor, hold.delivered.attempt);
                        all.note(lane, Change::MayWait, (hold.until, next));
                        all.note(lane, Change::Waits, (due, next));
                    }
                    _ => {}
                }
            }
            merged(taken).into_iter().for_each(|span| all.note(lane, Change::Holds, span));
        }
        all.changes.extend(bounds.changed.iter().filter(|at| **at < all.end).map(|at| (*at, true, None)));
        all.changes.sort_unstable_by_key(|(at, begins, _)| (*at, *begins));
        all.starts.sort_unstable();
        all
    }

    fn note(&mut self, lane: &'a Lane, what: Change, (since, until): Span) {
        if since < until.min(self.end) {
            self.changes.push((since, true, Some((what, lane))));
            self.changes.push((until.min(self.end), false, Some((what, lane))));
        }
    }
}

/// Checked for each time in which a message waits in a lane, before the drain.
pub(in super::super) fn never_idle(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(IDLE);
    let bounds = Bounds::of(evidence);
    let Changes { changes, starts, .. } = Changes::of(evidence, &bounds);
    let mut starts = starts.into_iter().peekable();
    let (mut all, mut lanes) = (Sum::default(), BTreeMap::<&str, Sum>::new());
    let mut used = Used::default();
    for (at, (now, begins, what)) in changes.iter().enumerate() {
        let now = *now;
        if let Some((what, lane)) = *what {
            all.change(what, *begins, lane.cost);
            lanes.entry(&lane.key).or_default().change(what, *begins, lane.cost);
        }
        if changes.get(at + 1).is_some_and(|(next, ..)| *next == now) {
            continue;
        }
        while let Some((at, cost)) = starts.next_if(|(at, _)| *at <= now) {
            used.start(at, cost, &bounds);
        }
        let has_free = all.has_free(bounds.least(now));
        for (key, lane) in &mut lanes {
            let may_go = has_free && lane.waiting > 0 && lane.closed == 0 && lane.has_free(bounds.least_of(key, now));
            let allowed = used.allows(lane.most(), &bounds, now);
            let free = allowed.filter(|_| may_go).map(|allowed| allowed.max(now));
            // It may be free only later, once the rate allows it.
            match lane.free_since {
                Some(since) if since <= now => {
                    if free == Some(now) {
                        continue;
                    }
                    let free_for = (now - since).saturating_sub(evidence.disrupted_between(since, now));
                    let (of_key, taken) = (lane.taken, all.taken);
                    finding.ask(free_for <= FREE, || {
                        let (free, in_all) = (free_for / 1_000, (now - since) / 1_000);
                        format!(
                            "key {key:?} waited for {in_all} ms from {since} to {now}, {free} of it without faults, \
                             with {of_key} slots of it and {taken} of all taken"
                        )
                    });
                }
                _ => {}
            }
            lane.free_since = free;
        }
    }
    finding
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
