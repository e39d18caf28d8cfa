//! What a test's worker did.

use crate::settlement::{Outcome, Settlement};
use crate::wire::Envelope;

/// What a [`TestWorker`](super::TestWorker) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Messages that ended well.
    pub done: usize,
    /// Runs that failed, or that nobody here could run, and that were scheduled again.
    pub retried: usize,
    /// Runs that a limit elsewhere refused ([`Failure::rate_limited`](crate::Failure::rate_limited)).
    pub limited: usize,
    /// Messages that became dead letters.
    pub dead_lettered: usize,
    /// Why, for each that did not end well, in order: the actor's name, and its error.
    pub errors: Vec<String>,
}

impl Drained {
    pub(super) fn add(&mut self, more: Self) {
        self.done += more.done;
        self.retried += more.retried;
        self.limited += more.limited;
        self.dead_lettered += more.dead_lettered;
        self.errors.extend(more.errors);
    }

    /// Takes in what becomes of a message.
    pub(super) fn note(&mut self, message: &[u8], end: &Settlement) {
        let before = Envelope::decode(message).ok();
        let actor = before.as_ref().map_or("(unreadable)", |message| &message.actor);
        match &end.outcome {
            Outcome::Done => self.done += 1,
            Outcome::Reschedule { body, .. } | Outcome::Park { body, .. } => {
                self.retried += 1;
                let after = Envelope::decode(body).ok();
                let why = match after.as_ref().map(|message| (&message.parked, &message.last_error)) {
                    Some((Some(parked), _)) => format!("left for a worker that can run it: {}", parked.why),
                    Some((None, Some(error))) => error.to_string(),
                    _ => "left for a worker that can run it".to_owned(),
                };
                self.errors.push(format!("{actor}: {why}"));
            }
            Outcome::DeadLetter { reason, .. } => {
                self.dead_lettered += 1;
                self.errors.push(format!("{actor}: {reason}"));
            }
            Outcome::Limited { .. } => self.limited += 1,
            Outcome::Release { .. } => {}
        }
    }
}
