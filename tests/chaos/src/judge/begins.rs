//! A run begins only while its worker holds the message; a run that never begins is no failure.

use super::message::{Delivered, Run, Settled};
use super::{Evidence, Finding, Message, Sent, describe};
use crate::clock::SECOND;

/// How long after the settlement a run that was about to begin may record its start.
const ABOUT: u64 = SECOND / 10;
/// How long a message may wait without faults: as long as one whose worker died.
const WAITS: u64 = 10 * SECOND;

fn delivered(evidence: &Evidence, id: actor_core::MessageId) -> &[Delivered] {
    evidence.delivered.get(&id).map_or(&[], Vec::as_slice)
}

/// Each failure belongs to a run that began, and so did not lack a thread.
pub(super) fn failures_began(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::BLAMED);
    for (id, settled) in &evidence.settled {
        for settled in settled {
            let is_it =
                |delivered: &&Delivered| (delivered.process, delivered.token) == (settled.process, settled.token);
            // A delivery's attempt is counted if the settlement counts one more.
            let counted =
                delivered(evidence, *id).iter().find(is_it).is_some_and(|delivered| settled.spent >= delivered.attempt);
            let runs = evidence.messages.get(id).map_or(&[][..], |message| &message.runs);
            let began = runs.iter().any(|run| is_of(run, settled) && run.start <= settled.at);
            finding.ask(began || !counted, || {
                format!("{:?}: {}", settled.error.as_deref().unwrap_or_default(), describe(evidence, *id))
            });
        }
    }
    finding
}

/// A message that waits for a slot or a thread must not run once it is settled.
pub(super) fn none_begins_settled(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::AFTER);
    for (id, message) in &evidence.messages {
        let settled = evidence.settled.get(id).map_or(&[][..], Vec::as_slice);
        for run in &message.runs {
            // If the group was deleted, the same worker may get the message again under the same token.
            let is_it = |delivered: &&Delivered| {
                (delivered.process, delivered.token) == (run.process, run.token) && delivered.at <= run.start
            };
            let since =
                delivered(evidence, *id).iter().filter(is_it).map(|delivered| delivered.at).max().unwrap_or_default();
            let before = settled
                .iter()
                .find(|settled| is_of(run, settled) && since <= settled.at && settled.at + ABOUT < run.start);
            finding.ask(before.is_none(), || {
                let late = before.map_or(0, |settled| run.start - settled.at) / 1_000;
                format!("token {} began {late} ms after it was settled: {}", run.token, describe(evidence, *id))
            });
        }
    }
    finding
}

fn is_of(run: &Run, settled: &Settled) -> bool {
    (run.process, run.token) == (settled.process, settled.token)
}

/// Checked for first runs, unless a worker that held the message died, or it waits for limits.
pub(super) fn none_stands(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::STOOD);
    for (id, message) in &evidence.messages {
        let Some(first) = message.runs.first().filter(|run| run.crashes == 0) else { continue };
        let died = delivered(evidence, *id)
            .iter()
            .any(|delivered| delivered.token < first.token && ended(evidence, delivered));
        // What is unique may follow another one, or be put off.
        let is_held_back = message.lane.is_some() || !message.key.is_empty();
        if is_held_back || message.actor.ends_with("newest") || message.invoked == u64::MAX || died {
            continue;
        }
        // What follows from a run has a rule of its own.
        if message.sent == Sent::Follows {
            continue;
        }
        let waited = waited(evidence, message, first);
        finding.ask(waited <= WAITS, || format!("{} ms: {}", waited / 1_000, describe(evidence, *id)));
    }
    finding
}

/// Whether a worker that held it died or was declared dead.
fn ended(evidence: &Evidence, delivered: &Delivered) -> bool {
    let mut sessions = evidence.sessions.get(&delivered.process).into_iter().flatten();
    evidence.died(delivered.process).is_some() || sessions.any(|session| session.lost.is_some())
}

fn waited(evidence: &Evidence, message: &Message, first: &Run) -> u64 {
    let due = message.answered.max(message.invoked + message.delay_ms * 1_000);
    first.start.saturating_sub(due).saturating_sub(evidence.disrupted_between(due, first.start))
}
