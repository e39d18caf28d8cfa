//! Asking a broker to control messages: from an actor or what a `send` returned, through the installed broker.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Cancelled, Control, Deleted, Rescheduled};
use crate::actor::ActorDef;
use crate::causes::debug_as_shown;
use crate::install::installed;
use crate::results::{self, Status};
use crate::send::SendError;
use crate::{Broker, BrokerError, MessageId, When};

/// Why a message was not cancelled, deleted or rescheduled, or may not have been, or its status is not known.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct ControlError(Box<Kind>);

debug_as_shown!(ControlError);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error(transparent)]
    NotInstalled(SendError),
    #[error("this broker cannot cancel, delete or reschedule messages: its `Broker::control` returns none")]
    Unsupported,
    #[error("this broker does not say where messages stand: its `Broker::results` returns none")]
    NoResults,
    #[error(transparent)]
    Broker(BrokerError),
}

impl ControlError {
    /// Whether it may have been done all the same: the connection broke after the request was sent. It is safe to ask
    /// again.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(&*self.0, Kind::Broker(error) if error.is_unknown())
    }

    /// Whether the same call may succeed later, unchanged: the broker is away, full or read-only.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(&*self.0, Kind::Broker(error) if error.is_transient())
    }

    /// Whether no broker was installed.
    #[must_use]
    pub fn is_not_installed(&self) -> bool {
        matches!(&*self.0, Kind::NotInstalled(_))
    }

    /// Whether the broker cannot control messages, or does not say where they stand.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(&*self.0, Kind::Unsupported | Kind::NoResults)
    }
}

/// What is asked of a broker for one message: the future of [`Sent::cancel`](crate::Sent::cancel) and its like.
///
/// # Cancel safety
///
/// A future dropped before it completes may or may not have done what was asked.
#[must_use = "nothing is asked until the future is awaited"]
pub struct Asking<'a, T>(Pin<Box<dyn Future<Output = Result<T, ControlError>> + Send + 'a>>);

impl<'a> Asking<'a, Cancelled> {
    /// Cancels a message of an actor: see [`Control::cancel`]. `None` stands for the installed broker.
    #[doc(hidden)]
    pub fn cancel(def: &'static ActorDef, id: MessageId, broker: Option<&'a dyn Broker>) -> Self {
        let (via, queue) = (Via::new(broker), def.queue_name());
        Self(Box::pin(async move {
            let via = via?;
            let cancelled = via.control()?.cancel(&queue, id).await.map_err(failed)?;
            // No run says so to whoever waits for its result. Failing that, they learn that the message is gone.
            if let (Cancelled::Removed, Some(keep), Some(results)) =
                (cancelled, def.options.results, via.broker().results())
            {
                let record = results::cancelled(via.broker().now());
                if let Err(error) = results.keep_result(&queue, id, record, keep).await {
                    tracing::debug!(%queue, %id, %error, "cancelled, and nothing kept of that");
                }
            }
            Ok(cancelled)
        }))
    }
}

impl<'a> Asking<'a, Status> {
    /// Where a message of an actor stands. `None` stands for the installed broker.
    #[doc(hidden)]
    pub fn status(def: &'static ActorDef, id: MessageId, broker: Option<&'a dyn Broker>) -> Self {
        let (via, queue) = (Via::new(broker), def.queue_name());
        Self(Box::pin(async move {
            let via = via?;
            let results = via.broker().results().ok_or_else(|| ControlError(Box::new(Kind::NoResults)))?;
            results::status(via.broker(), results, &queue, id).await.map_err(failed)
        }))
    }
}

impl Asking<'static, Deleted> {
    /// Deletes a message of an actor: see [`Control::delete_by_id`].
    #[doc(hidden)]
    pub fn delete(def: &'static ActorDef, id: MessageId) -> Self {
        let (via, queue) = (Via::new(None), def.queue_name());
        Self(Box::pin(async move { via?.control()?.delete_by_id(&queue, id).await.map_err(failed) }))
    }
}

impl Asking<'static, Rescheduled> {
    /// Reschedules a message of an actor: see [`Control::reschedule`].
    #[doc(hidden)]
    pub fn reschedule(def: &'static ActorDef, id: MessageId, when: When) -> Self {
        let (via, queue) = (Via::new(None), def.queue_name());
        Self(Box::pin(async move {
            let via = via?;
            let delay = when.delay(via.broker().now());
            via.control()?.reschedule(&queue, id, delay).await.map_err(failed)
        }))
    }
}

impl<T> Future for Asking<'_, T> {
    type Output = Result<T, ControlError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Asking<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

/// Whom to ask.
enum Via<'a> {
    Given(&'a dyn Broker),
    Installed(Arc<dyn Broker>),
}

impl<'a> Via<'a> {
    /// The installed broker is looked up here, not at the first poll: the future may be polled on another thread.
    fn new(broker: Option<&'a dyn Broker>) -> Result<Self, ControlError> {
        match broker {
            Some(broker) => Ok(Self::Given(broker)),
            None => installed().map(Self::Installed).ok_or_else(|| {
                // It says the same, whatever was to be done.
                ControlError(Box::new(Kind::NotInstalled(SendError::not_installed())))
            }),
        }
    }

    fn broker(&self) -> &dyn Broker {
        match self {
            Self::Given(broker) => *broker,
            Self::Installed(broker) => &**broker,
        }
    }

    fn control(&self) -> Result<&dyn Control, ControlError> {
        self.broker().control().ok_or_else(|| ControlError(Box::new(Kind::Unsupported)))
    }
}

fn failed(error: BrokerError) -> ControlError {
    ControlError(Box::new(Kind::Broker(error)))
}
