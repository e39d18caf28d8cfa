//! A queue's limits are never exceeded, and no slot is free while messages wait for it.

use std::collections::{BTreeMap, HashMap};

use super::message::{Delivered, Run};
use super::{Evidence, Finding, Message, Sent, describe, retries};
use crate::clock::SECOND;
use crate::history::{How, Lane};
use crate::tasks::gated::{CLOSED, SLOTS, SLOTS_OF_KEY};

/// How long a slot may be free without faults while a message waits that could have it.
const FREE: u64 = SECOND;

/// From a time until another.
type Span = (u64, u64);

fn gated(evidence: &Evidence) -> impl Iterator<Item = (actor_core::MessageId, &Message, &Lane)> {
    evidence.messages.iter().filter_map(|(id, message)| Some((*id, message, message.lane.as_ref()?)))
}

/// Checked at each time from which a message certainly holds its slots. A message that costs more than a limit takes all
/// of it.
pub(super) fn never_exceeded(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::LIMITED);
    let mut changes = Vec::new();
    for (id, message, lane) in gated(evidence) {
        for (since, until) in certain(message, evidence) {
            changes.push((until, false, id, lane));
            changes.push((since, true, id, lane));
        }
    }
    // What ends at a time is over when something begins at the same time.
    changes.sort_unstable_by_key(|(at, begins, ..)| (*at, *begins));
    let (mut all, mut keys) = (0, HashMap::<&str, u32>::new());
    for (at, begins, id, lane) in changes {
        let (cost, of_key) = (lane.cost.min(SLOTS), lane.cost.min(SLOTS_OF_KEY));
        let key = keys.entry(&lane.key).or_default();
        if !begins {
            (all, *key) = (all - cost, *key - of_key);
            continue;
        }
        (all, *key) = (all + cost, *key + of_key);
        finding.ask(all <= SLOTS && *key <= SLOTS_OF_KEY, || {
            format!("{all} slots, {key} of key {:?}, are taken at {at} with {}", lane.key, describe(evidence, id))
        });
    }
    finding
}

/// When a message was certainly in flight: while it ran on a worker that held its lease, and from there to the next run where
/// only deaths were between.
fn certain(message: &Message, evidence: &Evidence) -> Vec<Span> {
    let mut runs: Vec<&Run> = message.runs.iter().collect();
    runs.sort_unstable_by_key(|run| run.token);
    // The success of any run may be what ended the message, at any time after.
    let done = |run: &Run| match run.end {
        Some((at, How::Done | How::DoneBefore)) => Some(at),
        _ => None,
    };
    let over = |this: &Run| runs.iter().filter(|run| run.token != this.token).filter_map(|run| done(run)).min();
    let mut spans = Vec::new();
    let mut last: Option<&Run> = None;
    for run in runs.iter().copied() {
        let until = evidence.over(run).min(evidence.lease_held_until(run)).min(over(run).unwrap_or(u64::MAX));
        if until > run.start {
            let only_died = |last: &&Run| {
                u64::from(run.crashes.saturating_sub(last.crashes)) == run.token - last.token
                    && run.token > last.token
                    && run.attempt == last.attempt
                    && last.start < run.start
            };
            let since = last.filter(only_died).map_or(run.start, |last| last.start);
            spans.push((since, until));
        }
        last = Some(run);
    }
    merged(spans)
}

/// The same time as spans that do not overlap.
fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|(since, until)| since < until);
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for (since, until) in spans {
        match merged.last_mut() {
            Some(last) if since <= last.1 => last.1 = last.1.max(until),
            _ => merged.push((since, until)),
        }
    }
    merged
}

/// A delivery of a message: from when on it may have held its slots, until when, and whether it was settled then.
struct Hold<'a> {
    delivered: &'a Delivered,
    since: u64,
    until: u64,
    how: Option<How>,
}

/// When a message may have held its slots. A delivery of which no worker knows, as of a read whose answer was lost, shows
/// by the token of the next.
fn holds<'a>(evidence: &'a Evidence, id: actor_core::MessageId, message: &Message) -> Vec<Hold<'a>> {
    let mut deliveries: Vec<&Delivered> = evidence.delivered.get(&id).into_iter().flatten().collect();
    deliveries.sort_unstable_by_key(|delivered| (delivered.token, delivered.at));
    let (mut token, mut over) = (0, message.invoked);
    let mut holds = Vec::new();
    for (at, delivered) in deliveries.iter().enumerate() {
        let since = if delivered.token <= token + 1 { delivered.at } else { over.min(delivered.at) };
        let is_it = |process, of| (process, of) == (delivered.process, delivered.token);
        let end = message.runs.iter().find(|run| is_it(run.process, run.token)).and_then(|run| run.end);
        let next = deliveries.get(at + 1);
        // Where the next delivery shows that this one was not settled, it holds its slots until then.
        let is_settled = |how| match (how, next) {
            (How::Dropped, _) | (How::Done | How::DoneBefore | How::Cancelled, Some(_)) => false,
            (_, None) => true,
            (How::Failed | How::Stale, Some(next)) => next.attempt > delivered.attempt,
            (How::Refused, Some(next)) => next.token > delivered.token && next.crashes == delivered.crashes,
        };
        let mut settled = evidence.settled.get(&id).into_iter().flatten();
        let (until, how) = match (end, next) {
            (Some((ended, how)), _) if is_settled(how) => (ended, Some(how)),
            (_, Some(next)) => (next.at, None),
            // It was dead-lettered without a run.
            _ => (settled.find(|settled| is_it(settled.process, settled.token)).map_or(u64::MAX, |it| it.at), None),
        };
        holds.push(Hold { delivered, since, until, how });
        (token, over) = (delivered.token, until);
    }
    holds
}

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

    /// Whether the costliest of what may wait could go.
    fn has_free(&self, limit: u32) -> bool {
        let most = self.may_wait.last_key_value().map_or(1, |(cost, _)| *cost);
        self.taken + most.min(limit) <= limit
    }
}

/// Checked for each time in which a message waits in a lane, before the drain.
pub(super) fn never_idle(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::IDLE);
    let end = evidence.calm.1;
    let mut changes = Vec::new();
    for (id, message, lane) in gated(evidence) {
        let mut note = |what, (since, until): Span| {
            if since < until.min(end) {
                changes.push((since, true, what, lane));
                changes.push((until.min(end), false, what, lane));
            }
        };
        let holds = holds(evidence, id, message);
        let mut taken = Vec::new();
        let first = holds.first().map_or(u64::MAX, |hold| hold.since);
        let due = message.invoked + message.delay_ms * 1_000;
        if message.sent == Sent::Acknowledged {
            note(Change::Waits, (due.max(message.answered), first));
        }
        if message.sent == Sent::Acknowledged || !holds.is_empty() {
            note(Change::MayWait, (due, first));
        }
        for (at, hold) in holds.iter().enumerate() {
            taken.push((hold.since, hold.until));
            let next = holds.get(at + 1).map(|next| next.since);
            match (hold.how, next) {
                (Some(How::Refused), _) => {
                    let opens = hold.until.saturating_add(micros(CLOSED));
                    note(Change::Closed, (hold.since, opens));
                    note(Change::MayWait, (hold.until, next.unwrap_or(u64::MAX)));
                    note(Change::Waits, (opens, next.unwrap_or(u64::MAX)));
                }
                (Some(How::Failed | How::Stale), Some(next)) => {
                    let due = hold.until + retries::ceiling(&message.actor, hold.delivered.attempt);
                    note(Change::MayWait, (hold.until, next));
                    note(Change::Waits, (due, next));
                }
                _ => {}
            }
        }
        merged(taken).into_iter().for_each(|span| note(Change::Holds, span));
    }
    changes.sort_unstable_by_key(|(at, begins, ..)| (*at, *begins));
    let (mut all, mut lanes) = (Sum::default(), BTreeMap::<&str, Sum>::new());
    for (at, some) in changes.iter().enumerate() {
        let (now, begins, what, lane) = some;
        all.change(*what, *begins, lane.cost);
        lanes.entry(&lane.key).or_default().change(*what, *begins, lane.cost);
        if changes.get(at + 1).is_some_and(|(next, ..)| next == now) {
            continue;
        }
        for (key, lane) in &mut lanes {
            let is_free = lane.waiting > 0 && lane.closed == 0 && lane.has_free(SLOTS_OF_KEY) && all.has_free(SLOTS);
            match (is_free, lane.free_since) {
                (true, None) => lane.free_since = Some(*now),
                (false, Some(since)) => {
                    lane.free_since = None;
                    let free = (now - since).saturating_sub(evidence.disrupted_between(since, *now));
                    let (of_key, taken) = (lane.taken, all.taken);
                    finding.ask(free <= FREE, || {
                        let (free, free_for) = (free / 1_000, (now - since) / 1_000);
                        format!(
                            "key {key:?} waited for {free_for} ms from {since} to {now}, {free} of it without faults, \
                             with {of_key} slots of it and {taken} of all taken"
                        )
                    });
                }
                _ => {}
            }
        }
    }
    finding
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
