//! A run begins while its worker holds the message, and what does not begin is no failure.

use super::facts::{Lent, Run, Settled};
use super::{Facts, Finding, Message, tell};
use crate::clock::SECOND;

/// How long after its message was settled a run may still write that it begins: it was about to.
const ABOUT: u64 = SECOND / 10;
/// How long a message may wait where nothing is wrong: as long as one whose worker died.
const WAITS: u64 = 10 * SECOND;

fn lent(facts: &Facts, id: actor_core::MessageId) -> &[Lent] {
    facts.lent.get(&id).map_or(&[], Vec::as_slice)
}

/// Each failure has a run that began, and so did not lack what it takes to begin.
pub(super) fn failures_began(facts: &Facts) -> Finding {
    let mut finding = Finding::new(super::BLAMED);
    for (id, settled) in &facts.settled {
        for settled in settled {
            let is_it = |lent: &&Lent| (lent.process, lent.token) == (settled.process, settled.token);
            // The attempt that a delivery begins is counted where as many are spent.
            let counted = lent(facts, *id).iter().find(is_it).is_some_and(|lent| settled.spent >= lent.attempt);
            let runs = facts.messages.get(id).map_or(&[][..], |message| &message.runs);
            let began = runs.iter().any(|run| is_of(run, settled) && run.start <= settled.at);
            finding.ask(began || !counted, || {
                format!("{:?}: {}", settled.error.as_deref().unwrap_or_default(), tell(facts, *id))
            });
        }
    }
    finding
}

/// What was put aside until it can run must not run after somebody decided that it does not.
pub(super) fn none_begins_settled(facts: &Facts) -> Finding {
    let mut finding = Finding::new(super::AFTER);
    for (id, message) in &facts.messages {
        let settled = facts.settled.get(id).map_or(&[][..], Vec::as_slice);
        for run in &message.runs {
            // Where the group was deleted, it may be delivered to the same worker under the same token.
            let is_it = |lent: &&Lent| (lent.process, lent.token) == (run.process, run.token) && lent.at <= run.start;
            let since = lent(facts, *id).iter().filter(is_it).map(|lent| lent.at).max().unwrap_or_default();
            let before = settled
                .iter()
                .find(|settled| is_of(run, settled) && since <= settled.at && settled.at + ABOUT < run.start);
            finding.ask(before.is_none(), || {
                let late = before.map_or(0, |settled| run.start - settled.at) / 1_000;
                format!("token {} began {late} ms after it was settled: {}", run.token, tell(facts, *id))
            });
        }
    }
    finding
}

fn is_of(run: &Run, settled: &Settled) -> bool {
    (run.process, run.token) == (settled.process, settled.token)
}

/// Asked of first runs, where nobody who was to run them died.
pub(super) fn none_stands(facts: &Facts) -> Finding {
    let mut finding = Finding::new(super::STOOD);
    for (id, message) in &facts.messages {
        let Some(first) = message.runs.first().filter(|run| run.crashes == 0) else { continue };
        let died = lent(facts, *id).iter().any(|lent| lent.token < first.token && ended(facts, lent));
        if message.actor.ends_with("novel") || message.invoked == u64::MAX || died {
            continue;
        }
        let waited = waited(facts, message, first);
        finding.ask(waited <= WAITS, || format!("{} ms: {}", waited / 1_000, tell(facts, *id)));
    }
    finding
}

/// Whether a worker that held it died, or was declared dead.
fn ended(facts: &Facts, lent: &Lent) -> bool {
    let mut lives = facts.lives.get(&lent.process).into_iter().flatten();
    facts.died(lent.process).is_some() || lives.any(|life| life.lost.is_some())
}

fn waited(facts: &Facts, message: &Message, first: &Run) -> u64 {
    let due = message.answered.max(message.invoked + message.delay_ms * 1_000);
    first.start.saturating_sub(due).saturating_sub(facts.troubled_between(due, first.start))
}
