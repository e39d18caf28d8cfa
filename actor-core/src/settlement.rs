//! What becomes of a delivery.

use std::time::Duration;

use bytes::Bytes;

use crate::{MessageId, Priority};

/// What becomes of a delivery.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Settlement {
    /// The work is done: the message ends.
    Done,
    /// The message is scheduled again, in this new form.
    Retry {
        /// The message's identity.
        id: MessageId,
        /// Its priority.
        priority: Priority,
        /// The message in its new form, encoded.
        body: Bytes,
        /// From now to when it is ready again.
        after: Duration,
    },
    /// The message is kept for a person, as a dead letter.
    Bury {
        /// The message's identity; `None` where it could not be read.
        id: Option<MessageId>,
        /// The message as it shall be kept: in its new form, or untouched where it could not be read.
        body: Bytes,
        /// Why, in words for a person.
        reason: String,
    },
    /// The message is given back: ready at once, for any worker, before what waits of its priority.
    Release {
        /// The message as it shall be given back.
        body: Bytes,
    },
}

/// What settling found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The settlement counts.
    Yes,
    /// The delivery was settled before, or is no longer held by this worker. Nothing changed.
    No,
    /// Of a batch settled in one step, some counted and some did not, and the storage only tells how
    /// many. Each of them is settled now, by this worker or by another.
    Unclear,
}
