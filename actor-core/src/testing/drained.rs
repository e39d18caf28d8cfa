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
    /// Messages that became dead letters.
    pub dead_lettered: usize,
    /// Why, for each that did not end well, in order: the actor's name, and its error.
    pub errors: Vec<String>,
}

impl Drained {
    pub(super) fn add(&mut self, more: Self) {
        self.done += more.done;
        self.retried += more.retried;
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
                let attempted =
                    before.as_ref().zip(after.as_ref()).is_some_and(|(one, other)| one.attempt < other.attempt);
                let error = after.as_ref().and_then(|message| message.last_error.as_deref()).filter(|_| attempted);
                self.errors.push(format!("{actor}: {}", error.unwrap_or("left for a worker that can run it")));
            }
            Outcome::DeadLetter { reason, .. } => {
                self.dead_lettered += 1;
                self.errors.push(format!("{actor}: {reason}"));
            }
            Outcome::Release { .. } => {}
        }
    }
}
