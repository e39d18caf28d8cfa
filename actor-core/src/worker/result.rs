//! What is kept of how a run's message ended.

use std::time::{Duration, SystemTime};

use super::message::Message;
use super::outcome::Outcome;
use crate::results::Ending;
use crate::settlement::{self, Consequence};

/// The record of a message that ends so.
pub(super) fn kept(
    message: &Message<'_>,
    end: &settlement::Outcome,
    ended: &Outcome,
    output: Option<&str>,
    keep: Duration,
    now: SystemTime,
) -> Consequence {
    let (ending, is_attempt) = match end {
        settlement::Outcome::DeadLetter { reason, .. } => (Ending::Failed(reason), ended.is_failure()),
        settlement::Outcome::Cancelled { .. } => (Ending::Cancelled, false),
        _ => (Ending::Done(output), true),
    };
    let attempts = message.envelope.attempt.saturating_add(u32::from(is_attempt));
    Consequence::KeepResult { id: message.envelope.id, record: ending.record(attempts, now), keep }
}
