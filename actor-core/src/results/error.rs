//! Why there is no result.

use std::time::Duration;

use crate::causes::debug_as_shown;
use crate::send::SendError;
use crate::{BrokerError, MessageId};

/// Why a message's result could not be had.
///
/// The text is for people and may change; callers ask the predicates.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct ResultError(Box<Kind>);

debug_as_shown!(ResultError);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error(transparent)]
    NotInstalled(SendError),
    #[error("this broker keeps no results: its `Broker::results` returns none")]
    Unsupported,
    #[error("message {id} has not ended after {after:?}: it may still")]
    TimedOut { id: MessageId, after: Duration },
    #[error("message {id} failed for good: {reason}")]
    Failed { id: MessageId, reason: String, attempts: Option<u32> },
    #[error("message {id} was cancelled")]
    Cancelled { id: MessageId },
    #[error(
        "message {id} is nowhere, and nothing is kept of how it ended: it never was, was deleted, or its result's time is over"
    )]
    Gone { id: MessageId },
    #[error("the result of message {id} cannot be read: {what}")]
    Undecodable { id: MessageId, what: String },
    #[error(transparent)]
    Broker(BrokerError),
}

impl ResultError {
    pub(crate) fn not_installed() -> Self {
        Self(Box::new(Kind::NotInstalled(SendError::not_installed())))
    }

    pub(crate) fn unsupported() -> Self {
        Self(Box::new(Kind::Unsupported))
    }

    pub(crate) fn timed_out(id: MessageId, after: Duration) -> Self {
        Self(Box::new(Kind::TimedOut { id, after }))
    }

    pub(crate) fn failed(id: MessageId, reason: String, attempts: Option<u32>) -> Self {
        Self(Box::new(Kind::Failed { id, reason, attempts }))
    }

    pub(crate) fn cancelled(id: MessageId) -> Self {
        Self(Box::new(Kind::Cancelled { id }))
    }

    pub(crate) fn gone(id: MessageId) -> Self {
        Self(Box::new(Kind::Gone { id }))
    }

    pub(crate) fn undecodable(id: MessageId, what: String) -> Self {
        Self(Box::new(Kind::Undecodable { id, what }))
    }

    pub(crate) fn broker(error: BrokerError) -> Self {
        Self(Box::new(Kind::Broker(error)))
    }

    /// Whether the message had not ended when the time was over. It goes on: ask again, or later.
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        matches!(&*self.0, Kind::TimedOut { .. })
    }

    /// Whether the message failed for good: it is, or was, a dead letter. [`reason`](Self::reason) says why.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(&*self.0, Kind::Failed { .. })
    }

    /// Why the message failed for good; `None` where it did not.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &*self.0 {
            Kind::Failed { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// How many attempts failed until the message did for good; `None` where it did not, or that is not known.
    #[must_use]
    pub fn attempts(&self) -> Option<u32> {
        match *self.0 {
            Kind::Failed { attempts, .. } => attempts,
            _ => None,
        }
    }

    /// Whether the message was cancelled, and ended with that.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(&*self.0, Kind::Cancelled { .. })
    }

    /// Whether the message is in no state, and nothing is kept of how it ended: it never was, was deleted, its result's time
    /// is over, or it [follows](crate::Message::send_after) from a run that goes on.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(&*self.0, Kind::Gone { .. })
    }

    /// Whether there is a result that is not of the type that the actor is declared to return.
    #[must_use]
    pub fn is_undecodable(&self) -> bool {
        matches!(&*self.0, Kind::Undecodable { .. })
    }

    /// Whether the same call may succeed later, unchanged: the message has not ended, or the broker is away.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &*self.0 {
            Kind::TimedOut { .. } => true,
            Kind::Broker(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Whether no broker was installed.
    #[must_use]
    pub fn is_not_installed(&self) -> bool {
        matches!(&*self.0, Kind::NotInstalled(_))
    }

    /// Whether the broker keeps no results.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(&*self.0, Kind::Unsupported)
    }
}
