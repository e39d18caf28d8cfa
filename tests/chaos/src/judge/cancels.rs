//! What was cancelled ends, and does not run again.

use actor_core::MessageId;

use super::{Evidence, Finding, describe};
use crate::clock::SECOND;
use crate::history::{CancelAnswer, How};
use crate::storage::Storage;

/// How long a worker may take to learn that a message was cancelled, and a busy machine besides.
const TOLD: u64 = 3 * SECOND;

/// A cancellation, as the producer that asked for it saw it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cancel {
    pub(super) answered: Option<(u64, CancelAnswer)>,
}

/// Whether a message may have ended because it was cancelled.
pub(super) fn may_have_ended(evidence: &Evidence, id: MessageId) -> bool {
    let answer = evidence.cancels.get(&id).map(|cancel| cancel.answered);
    answer.is_some_and(|answer| !matches!(answer, Some((_, CancelAnswer::NotFound))))
}

/// No run of a message that was removed begins after the answer, unless its worker had lost the message.
pub(super) fn removed_never_runs(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::REMOVED);
    for (id, cancel) in &evidence.cancels {
        let (Some((answered, CancelAnswer::Removed)), Some(message)) = (cancel.answered, evidence.messages.get(id))
        else {
            continue;
        };
        let again = message.runs.iter().find(|run| run.start > answered && evidence.lease_held(run, run.start));
        finding.ask(again.is_none(), || format!("removed at {answered}: {}", describe(evidence, *id)));
    }
    finding
}

/// A message that was told to end while it was in flight is not dead-lettered, and starts at most while its worker has
/// not learned of it.
pub(super) fn told_ends(evidence: &Evidence, storage: &Storage) -> Finding {
    let mut finding = Finding::new(super::ENDED);
    for (id, cancel) in &evidence.cancels {
        let (Some((answered, CancelAnswer::Requested)), Some(message)) = (cancel.answered, evidence.messages.get(id))
        else {
            continue;
        };
        let before = message.runs.iter().filter(|run| run.start <= answered).map(|run| run.crashes).max();
        let late = message.runs.iter().find(|run| {
            let waited = run.start.saturating_sub(answered);
            // Whoever recovers it knows.
            let recovered = before.is_some_and(|before| run.crashes > before);
            let bound = if recovered { SECOND / 2 } else { TOLD + evidence.disrupted_between(answered, run.start) };
            waited > bound
        });
        let is_dead = storage.dead.contains_key(id);
        finding.ask(late.is_none() && !is_dead, || {
            format!("told to end at {answered}, dead {is_dead}: {}", describe(evidence, *id))
        });
    }
    finding
}

/// A run that waits for its cancellation hears of it.
pub(super) fn told_soon(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::TOLD);
    for (id, cancel) in &evidence.cancels {
        let (Some((answered, CancelAnswer::Requested)), Some(message)) = (cancel.answered, evidence.messages.get(id))
        else {
            continue;
        };
        if !message.actor.ends_with("obedient") {
            continue;
        }
        for run in message.runs.iter().filter(|run| run.start <= answered) {
            let Some((end, How::Done | How::Cancelled)) = run.end else { continue };
            let took = end.saturating_sub(answered).saturating_sub(evidence.disrupted_between(answered, end));
            finding.ask(took <= TOLD, || format!("told after {} ms: {}", took / 1_000, describe(evidence, *id)));
        }
    }
    finding
}
