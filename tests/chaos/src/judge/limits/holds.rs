//! When messages hold their slots: certainly, and possibly.

use super::super::message::{Delivered, Run};
use super::super::{Evidence, Message};
use crate::clock::SECOND;
use crate::history::How;

/// How long before a delivery is recorded its message may have been let go, without the time of faults.
pub(super) const LET_GO: u64 = SECOND;

/// From a time until another.
pub(super) type Span = (u64, u64);

/// A delivery of a message: from when on it may have held its slots, until when, and how it was settled then.
pub(super) struct Hold<'a> {
    pub(super) delivered: &'a Delivered,
    pub(super) since: u64,
    pub(super) until: u64,
    pub(super) how: Option<How>,
    /// When the message got its slots at the earliest, if not for this delivery.
    pub(super) let_go: u64,
    /// Whether it got them for this delivery.
    pub(super) is_start: bool,
    /// Whether that it got them may have been lost with a master.
    pub(super) may_be_lost: bool,
}

/// When a message may have held its slots. A delivery of which no worker knows, as of a read whose answer was lost, shows
/// by the token of the next.
pub(super) fn holds<'a>(evidence: &'a Evidence, id: actor_core::MessageId, message: &Message) -> Vec<Hold<'a>> {
    let mut deliveries: Vec<&Delivered> = evidence.delivered.get(&id).into_iter().flatten().collect();
    deliveries.sort_unstable_by_key(|delivered| (delivered.token, delivered.at));
    if deliveries.iter().any(|delivered| evidence.may_be_lost(delivered.at, delivered.at)) {
        // Tokens that were lost come again.
        deliveries.sort_by_key(|delivered| delivered.at);
    }
    let (mut token, mut over) = (0, message.invoked);
    let mut holds: Vec<Hold<'_>> = Vec::new();
    for (at, delivered) in deliveries.iter().enumerate() {
        let since = if delivered.token <= token + 1 { delivered.at } else { over.min(delivered.at) };
        let is_it = |process, of| (process, of) == (delivered.process, delivered.token);
        let runs = message.runs.iter().filter(|run| is_it(run.process, run.token) && run.start >= delivered.at);
        let end = runs.min_by_key(|run| run.start).and_then(|run| run.end);
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
        let earliest = evidence.before(since, LET_GO);
        let before = holds.last().filter(|last| last.how.is_none());
        holds.push(Hold {
            delivered,
            since,
            until,
            how,
            let_go: before.map_or(earliest, |before| before.let_go),
            is_start: before.is_none(),
            may_be_lost: before.is_none_or(|before| before.may_be_lost) && evidence.may_be_lost(earliest, delivered.at),
        });
        (token, over) = (delivered.token, until);
    }
    holds
}

/// A time in which a message certainly holds its slots.
pub(super) struct Certain {
    pub(super) since: u64,
    pub(super) until: u64,
    /// When it got them at the earliest.
    pub(super) let_go: u64,
}

/// When a message was certainly in flight: while it ran on a worker that held its lease, and from there to the next run where
/// only deaths were between. Not where a promoted server may not know that it was let go.
pub(super) fn certain(message: &Message, holds: &[Hold<'_>], evidence: &Evidence) -> Vec<Certain> {
    let mut runs: Vec<&Run> = message.runs.iter().collect();
    runs.sort_unstable_by_key(|run| (run.token, run.start));
    // The success of any run may be what ended the message, at any time after.
    let done = |run: &Run| match run.end {
        Some((at, How::Done | How::DoneBefore)) => Some(at),
        _ => None,
    };
    let over = |this: &Run| runs.iter().filter(|run| run.token != this.token).filter_map(|run| done(run)).min();
    let hold_of = |run: &Run| {
        let is_it = |hold: &&Hold<'_>| {
            (hold.delivered.process, hold.delivered.token) == (run.process, run.token) && hold.delivered.at <= run.start
        };
        holds.iter().rfind(is_it)
    };
    let mut spans = Vec::new();
    let mut last: Option<&Run> = None;
    for run in runs.iter().copied() {
        let hold = hold_of(run);
        if hold.is_some_and(|hold| hold.may_be_lost) {
            last = None;
            continue;
        }
        let until = evidence.over(run).min(evidence.lease_held_until(run)).min(over(run).unwrap_or(u64::MAX));
        if until > run.start {
            let only_died = |last: &&Run| {
                u64::from(run.crashes.saturating_sub(last.crashes)) == run.token - last.token
                    && run.token > last.token
                    && run.attempt == last.attempt
                    && last.start < run.start
            };
            let since = last.filter(only_died).map_or(run.start, |last| last.start);
            let let_go = hold.map_or(run.start, |hold| hold.let_go).min(since);
            spans.push(Certain { since, until, let_go });
        }
        last = Some(run);
    }
    spans.sort_unstable_by_key(|span| (span.since, span.until));
    let mut merged: Vec<Certain> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.since <= last.until => last.until = last.until.max(span.until),
            _ => merged.push(span),
        }
    }
    merged
}

/// The same time as spans that do not overlap.
pub(super) fn merged(mut spans: Vec<Span>) -> Vec<Span> {
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
