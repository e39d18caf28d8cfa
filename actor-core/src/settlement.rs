//! What becomes of a delivery.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::broker::Enqueue;
use crate::size::Size;
use crate::{MessageId, Priority, QueueName};

/// What becomes of a delivery, and what follows from it.
///
/// A broker applies both in one step, or neither.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settlement {
    /// What becomes of the message.
    pub outcome: Outcome,
    /// What else happens if the settlement is applied, in this order. A broker refuses a settlement that has
    /// a consequence unknown to it, and changes nothing.
    pub consequences: Vec<Consequence>,
    /// How long the message ran: what its key is charged where keys share a queue. Default: zero.
    pub ran: Duration,
}

impl From<Outcome> for Settlement {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, consequences: Vec::new(), ran: Duration::ZERO }
    }
}

/// What follows from a settlement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Consequence {
    /// A message is sent. What goes to another queue is noted in the same step, and stored there soon after, exactly
    /// once: see [`outbox`](crate::outbox). Messages to one queue are stored in their order.
    Send {
        /// The queue that it goes to.
        queue: QueueName,
        /// The message, as [`Broker::enqueue`](crate::Broker::enqueue) takes it.
        message: Box<Enqueue>,
    },
    /// The schedule whose tick this message was stored for may store its next one: see
    /// [`Firing::unless_unsettled`](crate::schedule::Firing::unless_unsettled).
    EndTick(MessageId),
    /// How the message ended is kept for those who wait for it: see [`Results`](crate::results::Results). An earlier record
    /// of it is replaced.
    KeepResult {
        /// The message.
        id: MessageId,
        /// What is kept.
        record: Bytes,
        /// From now to when it is forgotten.
        keep: Duration,
    },
    /// What was kept of this message beside it is forgotten: see [`States`](crate::state::States).
    ForgetState(MessageId),
}

/// What becomes of a message.
#[derive(Clone)]
#[non_exhaustive]
pub enum Outcome {
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
        /// What a worker must have to run it, as `actor:welcome`: 1 to 256 bytes, without blanks.
        ability: String,
    },
    /// A limit elsewhere refused the work. The message goes back to the front of its lane, and nothing of the lane is
    /// delivered before `after` has passed. One that is in no lane is scheduled for then.
    Limited {
        /// The message's identity.
        id: MessageId,
        /// Its priority.
        priority: Priority,
        /// The message in its new form, encoded.
        body: Bytes,
        /// From now to when the lane is delivered again.
        after: Duration,
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
    /// The message ends, since it was [cancelled](crate::Control::cancel).
    Cancelled {
        /// The message's identity.
        id: MessageId,
    },
    /// The message is released: ready at once, for any worker, before what waits of its priority.
    Release {
        /// The message as it must be released.
        body: Bytes,
    },
}

impl Outcome {
    /// The message's new form, where it is stored again.
    #[must_use]
    pub fn body(&self) -> Option<&Bytes> {
        match self {
            Self::Done | Self::Cancelled { .. } => None,
            Self::Reschedule { body, .. } | Self::Park { body, .. } | Self::Limited { body, .. } => Some(body),
            Self::DeadLetter { body, .. } | Self::Release { body } => Some(body),
        }
    }

    /// Whether the message ends by it: as done, dead-lettered or cancelled. Only from that something may follow.
    #[must_use]
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Done | Self::DeadLetter { .. } | Self::Cancelled { .. })
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Cancelled { id } => f.debug_struct("Cancelled").field("id", id).finish(),
            Self::Reschedule { id, priority, body, after } | Self::Limited { id, priority, body, after } => {
                let is_limited = matches!(self, Self::Limited { .. });
                let mut shown = f.debug_struct(if is_limited { "Limited" } else { "Reschedule" });
                shown.field("id", id).field("priority", priority).field("body", &Size(body.len()));
                shown.field("after", after).finish()
            }
            Self::Park { id, priority, body, after, ability } => {
                let mut shown = f.debug_struct("Park");
                shown.field("id", id).field("priority", priority).field("body", &Size(body.len()));
                shown.field("after", after).field("ability", ability).finish()
            }
            Self::DeadLetter { id, body, .. } => {
                // The reason may quote the message.
                f.debug_struct("DeadLetter").field("id", id).field("body", &Size(body.len())).finish_non_exhaustive()
            }
            Self::Release { body } => f.debug_struct("Release").field("body", &Size(body.len())).finish(),
        }
    }
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was applied. Of several [done](Outcome::Done) messages that a broker ends together, it may say so of
    /// one that another worker had ended before.
    Applied,
    /// The message was [cancelled](crate::Control::cancel): it ended, in place of being stored again as the settlement
    /// says.
    Cancelled,
    /// It changed nothing: the delivery was settled before, or this worker no longer holds it.
    Stale,
}
