//! A run begins while its worker holds the message, and what does not begin is no failure.

use super::evidence::{Delivered, Run, Settled};
use super::{Evidence, Finding, Message, describe};
use crate::clock::SECOND;

/// How long after its message was settled a run may still write that it begins: it was about to.
const ABOUT: u64 = SECOND / 10;
/// How long a message may wait where nothing is wrong: as long as one whose worker died.
const WAITS: u64 = 10 * SECOND;

fn delivered(evidence: &Evidence, id: actor_core::MessageId) -> &[Delivered] {
    evidence.delivered.get(&id).map_or(&[], Vec::as_slice)
}

/// Each failure has a run that began, and so did not lack what it takes to begin.
pub(super) fn failures_began(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::BLAMED);
    for (id, settled) in &evidence.settled {
        for settled in settled {
            let is_it =
                |delivered: &&Delivered| (delivered.process, delivered.token) == (settled.process, settled.token);
            // The attempt that a delivery begins is counted where as many are spent.
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

/// What was put aside until it can run must not run after somebody decided that it does not.
pub(super) fn none_begins_settled(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::AFTER);
    for (id, message) in &evidence.messages {
        let settled = evidence.settled.get(id).map_or(&[][..], Vec::as_slice);
        for run in &message.runs {
            // Where the group was deleted, it may be delivered to the same worker under the same token.
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

/// Asked of first runs, where nobody who was to run them died.
pub(super) fn none_stands(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::STOOD);
    for (id, message) in &evidence.messages {
        let Some(first) = message.runs.first().filter(|run| run.crashes == 0) else { continue };
        let died = delivered(evidence, *id)
            .iter()
            .any(|delivered| delivered.token < first.token && ended(evidence, delivered));
        if message.actor.ends_with("newest") || message.invoked == u64::MAX || died {
            continue;
        }
        let waited = waited(evidence, message, first);
        finding.ask(waited <= WAITS, || format!("{} ms: {}", waited / 1_000, describe(evidence, *id)));
    }
    finding
}

/// Whether a worker that held it died, or was declared dead.
fn ended(evidence: &Evidence, delivered: &Delivered) -> bool {
    let mut sessions = evidence.sessions.get(&delivered.process).into_iter().flatten();
    evidence.died(delivered.process).is_some() || sessions.any(|session| session.lost.is_some())
}

fn waited(evidence: &Evidence, message: &Message, first: &Run) -> u64 {
    let due = message.answered.max(message.invoked + message.delay_ms * 1_000);
    first.start.saturating_sub(due).saturating_sub(evidence.disrupted_between(due, first.start))
}
