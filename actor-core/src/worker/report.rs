//! What is logged of a delivery's end. The names stand in `docs/observability.md`.

use std::time::Duration;

use tracing::Span;
use tracing::field::display;

use super::ability;
use super::message::Message;
use super::outcome::{Outcome, Policy, Verdict};
use super::repeats::{Repeated, Repeats};
use crate::call::RunError;
use crate::{MessageId, QueueName};

/// A delivery that has ended.
pub(super) struct Report<'a> {
    pub(super) queue: &'a QueueName,
    pub(super) message: &'a Message<'a>,
    pub(super) policy: &'a Policy,
    /// Whether the run's span is that of several messages, or there is none.
    pub(super) in_batch: bool,
}

// Logs in full, or at DEBUG what is summed up at the event's own level.
macro_rules! unless {
    ($is_summed:expr, tracing::$level:ident!($($event:tt)+)) => {
        if $is_summed { tracing::debug!($($event)+) } else { tracing::$level!($($event)+) }
    };
}

impl Report<'_> {
    /// Logs it in the run's span. Where that is filtered out, since it is at INFO, the event has its fields.
    pub(super) fn log(&self, outcome: &Outcome, verdict: Verdict, repeats: &Repeats, span: &Span) {
        let _entered = span.enter();
        let (queue, name) = (self.queue, &*self.message.envelope.actor);
        let is_bare = span.is_disabled();
        let actor = is_bare.then_some(name);
        let id = (is_bare || self.in_batch).then_some(self.message.envelope.id).map(display);
        let (attempt, of) = (self.message.attempt(), self.policy.max_retries.saturating_add(1));
        match verdict {
            Verdict::Done => {
                tracing::debug!(id, duration = ?self.message.began.elapsed(), "message done");
            }
            Verdict::Reschedule { after } if outcome.is_failure() => {
                let (error, is_summed) = (outcome.log_text(), !repeats.note(Repeated::Failed, queue, name));
                unless!(
                    is_summed,
                    tracing::warn!(%queue, actor, id, attempt, of, ?after, duration = ?self.message.began.elapsed(), error, "message failed, will be retried")
                );
            }
            Verdict::Reschedule { after } if outcome.is_snoozed() => {
                tracing::debug!(%queue, actor, id, attempt, ?after, "message snoozed");
            }
            // As soon as no other suspect runs it may run, here or elsewhere.
            Verdict::Reschedule { after } => {
                tracing::debug!(%queue, id, reason = %outcome.log_text(), ?after, "message left for another worker");
            }
            Verdict::Limit { after } => {
                tracing::debug!(%queue, reason = %outcome.log_text(), ?after, "lane closed by a limit elsewhere");
            }
            Verdict::Park { after } => {
                let ability = ability::lacked(outcome, &self.message.envelope);
                let is_new = self.message.envelope.parked.is_none();
                log_parked(outcome, after, queue, ability.as_deref().unwrap_or(name), is_new, repeats);
            }
            Verdict::DeadLetter { why } => {
                let (error, is_summed) = (outcome.log_text(), !repeats.note(Repeated::DeadLettered, queue, name));
                unless!(
                    is_summed,
                    tracing::error!(%queue, actor, id, attempt, of, why, duration = ?self.message.began.elapsed(), error, "message dead-lettered")
                );
            }
            Verdict::Cancel => {
                let (duration, reason) = (self.message.began.elapsed(), outcome.log_text());
                tracing::info!(%queue, actor, id, attempt, ?duration, reason, "message cancelled");
            }
            // Logged once for all of them, where the thread was refused.
            Verdict::Release if matches!(outcome, Outcome::Failed(RunError::NoThread)) => {
                tracing::debug!("message released");
            }
            Verdict::Release => tracing::info!("message released"),
            Verdict::Leave => {
                tracing::warn!(%queue, actor, id, attempt, "message left to the worker that holds it now");
            }
        }
    }
}

/// Logs the end of a message that cannot be read.
pub(super) fn log_undecodable(
    outcome: &Outcome,
    verdict: Verdict,
    queue: &QueueName,
    id: Option<MessageId>,
    ability: Option<&str>,
    repeats: &Repeats,
) {
    match verdict {
        // Whether it was parked before is not known.
        Verdict::Park { after } => log_parked(outcome, after, queue, ability.unwrap_or_default(), false, repeats),
        _ => {
            let is_summed = !repeats.note(Repeated::DeadLettered, queue, "unknown");
            let (id, why, error) = (id.map(display), "it cannot be decoded", outcome.log_text());
            unless!(is_summed, tracing::error!(%queue, id, why, error, "message dead-lettered"));
        }
    }
}

/// Logs that a message is parked. What comes back and is parked again is no news, unless this worker has not logged
/// any of its kind.
fn log_parked(outcome: &Outcome, after: Duration, queue: &QueueName, ability: &str, is_new: bool, repeats: &Repeats) {
    let reason = outcome.log_text();
    if (is_new || !repeats.is_noted(Repeated::Parked, queue, ability)) && repeats.note(Repeated::Parked, queue, ability)
    {
        tracing::warn!(%queue, ability, count = 1, reason, "messages parked: no actor here can run them");
    }
    tracing::debug!(%queue, reason, ?after, "message parked");
}
