//! What a run has asked to follow from it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Context;
use crate::broker::Enqueue;
use crate::install::installed;
use crate::message::Outgoing;
use crate::send::SendError;
use crate::settlement::{Consequence, Outcome};
use crate::{MessageId, QueueName};

/// How many messages may follow from one run, and how many bytes they may have. A storage writes all of them in one step.
const MOST_MESSAGES: usize = 1_000;
const MOST_BYTES: usize = 8 << 20;

/// Gathers what follows, while the run goes on. Nothing is allocated for a run from which nothing follows.
#[derive(Debug, Default)]
pub(super) struct Gathered(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Nothing,
    Some(Box<Follow>),
    /// The run has ended: what comes now comes too late.
    Over,
}

/// What follows from a run that counts.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    /// Where it is done.
    after: Vec<Consequence>,
    /// Where it is dead-lettered.
    after_failure: Vec<Consequence>,
    messages: usize,
    bytes: usize,
    /// What the run returned, as JSON, where its actor keeps results.
    output: Option<String>,
    /// Whether it has kept something beside the message.
    has_state: bool,
}

/// Which end of a message something follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Done,
    Failure,
}

impl Gathered {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what follows; `None` once the run has ended.
    fn with<T>(&self, change: impl FnOnce(&mut Follow) -> T) -> Option<T> {
        let mut state = self.lock();
        if let State::Nothing = *state {
            *state = State::Some(Box::default());
        }
        match &mut *state {
            State::Some(follow) => Some(change(follow)),
            State::Nothing | State::Over => None,
        }
    }
}

impl Gathered {
    /// Notes that something is kept beside the message. Returns whether the run goes on.
    pub(super) fn note_state(&self) -> bool {
        self.with(|follow| follow.has_state = true).is_some()
    }

    /// Keeps what the run returned.
    pub(super) fn returned(&self, output: String) {
        self.with(|follow| follow.output = Some(output));
    }
}

impl Follow {
    fn send(&mut self, after: After, queue: QueueName, message: Enqueue) -> Result<(), SendError> {
        let bytes = self.bytes.saturating_add(message.body.len());
        if self.messages == MOST_MESSAGES || bytes > MOST_BYTES {
            return Err(SendError::too_many_follow(MOST_MESSAGES, MOST_BYTES));
        }
        (self.messages, self.bytes) = (self.messages + 1, bytes);
        let all = match after {
            After::Done => &mut self.after,
            After::Failure => &mut self.after_failure,
        };
        all.push(Consequence::Send { queue, message: Box::new(message) });
        Ok(())
    }

    /// What the run returned, as JSON.
    pub(crate) fn output(&self) -> Option<&str> {
        self.output.as_deref()
    }

    /// What follows where the message comes to this.
    pub(crate) fn of(self, id: MessageId, outcome: &Outcome) -> Vec<Consequence> {
        let (mut follows, ends) = match outcome {
            Outcome::Done => (self.after, true),
            Outcome::Cancelled { .. } => (Vec::new(), true),
            // It may be replayed, and then goes on with what was kept.
            Outcome::DeadLetter { .. } => (self.after_failure, false),
            _ => (Vec::new(), false),
        };
        follows.extend((ends && self.has_state).then_some(Consequence::ForgetState(id)));
        follows
    }
}

impl Context {
    /// Has a message follow from this run. Fails where it cannot be sent, or the run has ended.
    pub(crate) fn follow(&self, after: After, call: Outgoing) -> Result<MessageId, SendError> {
        let (id, queue) = (call.id, call.def.queue_name());
        let message = match &self.0.worker.home {
            Some(home) => call.encode(&*home.broker)?,
            None => call.encode(&*installed().ok_or_else(SendError::not_installed)?)?,
        };
        self.0
            .follow
            .with(|follow| follow.send(after, queue, message))
            .unwrap_or_else(|| Err(SendError::run_over()))?;
        Ok(id)
    }

    /// Takes what follows from the run, which has ended.
    pub(crate) fn take_follow(&self) -> Option<Box<Follow>> {
        match std::mem::replace(&mut *self.0.follow.lock(), State::Over) {
            State::Some(follow) => {
                if follow.has_state {
                    self.forget_progress();
                }
                Some(follow)
            }
            State::Nothing | State::Over => None,
        }
    }
}
