//! What becomes of a delivery.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::size::Size;
use crate::{MessageId, Priority};

/// What becomes of a delivery.
#[derive(Clone)]
#[non_exhaustive]
pub enum Settlement {
    /// The work is done: the message ends.
    Done,
    /// The message is scheduled again, in this new form.
    Reschedule {
        /// The message's identity.
        id: MessageId,
        /// Its priority.
        priority: Priority,
        /// The message in its new form, encoded.
        body: Bytes,
        /// From now to when it is ready again.
        after: Duration,
    },
    /// The message waits for a worker that has an ability which this one lacks. It is scheduled, in this
    /// new form, until somebody asks for it with [`unpark`](crate::Broker::unpark).
    Park {
        /// The message's identity.
        id: MessageId,
        /// Its priority.
        priority: Priority,
        /// The message in its new form, encoded.
        body: Bytes,
        /// From now to when it is ready for any worker again, if nobody asks for it before.
        after: Duration,
        /// What a worker must have to run it, as `actor:welcome`: 1 to 256 bytes, none of them a blank.
        ability: String,
    },
    /// The message is kept for a person, as a dead letter.
    DeadLetter {
        /// The message's identity; `None` where it could not be read.
        id: Option<MessageId>,
        /// The message as it must be kept: in its new form, or untouched where it could not be read.
        body: Bytes,
        /// Why, in words for a person.
        reason: String,
    },
    /// The message is released: ready at once, for any worker, before what waits of its priority.
    Release {
        /// The message as it must be released.
        body: Bytes,
    },
}

impl fmt::Debug for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Reschedule { id, priority, body, after } => {
                let mut shown = f.debug_struct("Reschedule");
                shown.field("id", id).field("priority", priority).field("body", &Size(body.len()));
                shown.field("after", after).finish()
            }
            Self::Park { id, priority, body, after, ability } => {
                let mut shown = f.debug_struct("Park");
                shown.field("id", id).field("priority", priority).field("body", &Size(body.len()));
                shown.field("after", after).field("ability", ability).finish()
            }
            Self::DeadLetter { id, body, .. } => {
                // Why it is dead-lettered may quote it.
                f.debug_struct("DeadLetter").field("id", id).field("body", &Size(body.len())).finish_non_exhaustive()
            }
            Self::Release { body } => f.debug_struct("Release").field("body", &Size(body.len())).finish(),
        }
    }
}

/// What settling found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The settlement counts.
    Applied,
    /// The delivery was settled before, or is no longer held by this worker. Nothing changed.
    Stale,
    /// Of a batch settled in one step, some counted and some did not, and the storage only tells how
    /// many. Each of them is settled now, by this worker or by another.
    Unclear,
}
