//! Sending one: from a call to a message that the broker has stored.

pub(crate) mod blocking;
pub(crate) mod repeat;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::actor::Actor;
use crate::args::ArgumentError;
use crate::broker::{Broker, Enqueued};
use crate::causes::debug_as_shown;
use crate::control::{Asking, Cancelled};
use crate::install::{installed, installed_elsewhere};
use crate::message::Outgoing;
use crate::{BrokerError, KeyError, MessageId};

/// A message that was sent: what awaiting a `send` returns. It displays as the message's id.
pub struct Sent<A> {
    id: MessageId,
    is_new: bool,
    replaced: Option<MessageId>,
    actor: PhantomData<fn() -> A>,
}

impl<A> Sent<A> {
    pub(crate) fn new(id: MessageId, enqueued: Enqueued) -> Self {
        let (id, is_new, replaced) = match enqueued {
            Enqueued::Stored => (id, true, None),
            Enqueued::Replaced(replaced) => (id, true, Some(replaced)),
            // An earlier request of this call stored it, and its answer was lost.
            Enqueued::Existing(existing) => (existing, existing == id, None),
        };
        Self { id, is_new, replaced, actor: PhantomData }
    }

    /// The id of the stored message: of the one that stands for it where this call stored none.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Whether this call stored the message; otherwise an earlier one stands for it.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The message of the same unique key whose place it took, and which never runs. `None` where there was none.
    #[must_use]
    pub fn replaced(&self) -> Option<MessageId> {
        self.replaced
    }
}

impl<A: Actor> Sent<A> {
    /// Cancels the message, through the installed broker, wherever it is: see [`Cancelled`] for what that means.
    ///
    /// ```
    /// use std::time::Duration;
    /// use actor_core::control::Cancelled;
    /// use actor_core::{MemoryBroker, actor};
    ///
    /// #[actor(queue = "mail")]
    /// async fn remind(to: String) {
    ///     println!("do not forget, {to}");
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// actor_core::install(MemoryBroker::new())?;
    /// let sent = remind.message("Ada".to_owned()).delay(Duration::from_secs(3600)).send().await?;
    /// assert_eq!(sent.cancel().await?, Cancelled::Removed);
    /// // From an id, as a service keeps it:
    /// assert_eq!(remind.cancel(sent.id()).await?, Cancelled::NotFound);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`ControlError`](crate::control::ControlError). It is safe to ask again.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it completes may or may not have cancelled the message.
    pub fn cancel(&self) -> Asking<'static, Cancelled> {
        Asking::cancel(A::DEF, self.id, None)
    }

    /// The same through `broker`.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    ///
    /// # Cancel safety
    ///
    /// As [`cancel`](Self::cancel).
    pub fn cancel_with<'a>(&self, broker: &'a dyn Broker) -> Asking<'a, Cancelled> {
        Asking::cancel(A::DEF, self.id, Some(broker))
    }
}

impl<A> Clone for Sent<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Sent<A> {}

impl<A> fmt::Display for Sent<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl<A> fmt::Debug for Sent<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent").field("id", &self.id).field("is_new", &self.is_new).finish()
    }
}

/// A message on its way: the future of every `send`.
///
/// # Cancel safety
///
/// A future dropped before it completes may or may not have sent the message.
#[must_use = "nothing is sent until the future is awaited"]
pub struct Sending<'a, A>(Pin<Box<dyn Future<Output = Result<Sent<A>, SendError>> + Send + 'a>>);

impl<A: 'static> Sending<'static, A> {
    pub(crate) fn installed(call: Outgoing) -> Self {
        // The broker is looked up here, not at the first poll: the future may be polled on another thread.
        let broker = installed();
        Self(Box::pin(async move {
            let broker: Arc<dyn Broker> = broker.ok_or_else(SendError::not_installed)?;
            send_one(&*broker, call).await
        }))
    }
}

impl<'a, A: 'static> Sending<'a, A> {
    pub(crate) fn through(broker: &'a dyn Broker, call: Outgoing) -> Self {
        Self(Box::pin(send_one(broker, call)))
    }
}

impl<A> Future for Sending<'_, A> {
    type Output = Result<Sent<A>, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<A> fmt::Debug for Sending<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}

async fn send_one<A>(broker: &dyn Broker, call: Outgoing) -> Result<Sent<A>, SendError> {
    let (id, queue) = (call.id, call.def.queue_name());
    let message = call.encode(broker)?;
    match repeat::enqueue(broker, &queue, vec![message]).await.pop() {
        Some(Ok(enqueued)) => Ok(Sent::new(id, enqueued)),
        Some(Err(error)) => Err(SendError::broker(id, error)),
        None => Err(SendError::broker(id, unanswered())),
    }
}

/// A broker that answers for fewer messages than it was given is wrong, but no message is lost for it.
pub(crate) fn unanswered() -> BrokerError {
    BrokerError::unknown("the broker gave no answer")
}

/// Why a message was not sent, or may not have been, or is less durable than it should be.
///
/// The text is for people and may change; callers ask the predicates. Before a message is sent again:
///
/// - [`is_stored`](Self::is_stored): it was stored and will run. To send it again would run the work twice.
/// - [`is_unknown`](Self::is_unknown): it may have been stored. To send it again may run the work twice.
/// - neither: it was not stored.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct SendError(Box<Kind>);

debug_as_shown!(SendError);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error(
        "no broker is installed: call `actor_core::install(broker)` when the program starts, or send with \
         `send_with(&broker, ..)`"
    )]
    NotInstalled,
    #[error(
        "no broker is installed on this thread: a `TestBroker` is installed on another, and only for what that thread \
         sends; run the test on one thread (`#[tokio::test]` without `flavor`), or send with `send_with(&broker, ..)`"
    )]
    InstalledElsewhere,
    #[error(transparent)]
    Argument(ArgumentError),
    #[error(transparent)]
    Key(KeyError),
    #[error(
        "the message has {bytes} bytes, and the broker takes at most {limit}: send a reference to the data instead, or \
         raise the broker's `max_message_bytes`"
    )]
    TooLarge { bytes: usize, limit: usize },
    #[error("the message was refused before it was sent")]
    Refused(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the run has ended: what follows from it is asked for while it runs")]
    RunOver,
    #[error(
        "at most {messages} messages with {bytes} bytes in all may follow from one run: send the others from those"
    )]
    TooManyFollow { messages: usize, bytes: usize },
    #[error("the message {}", became(source))]
    Broker { id: MessageId, source: BrokerError },
}

fn became(error: &BrokerError) -> &'static str {
    if error.is_stored() {
        "was stored, and is not as durable as it should be"
    } else if error.is_unknown() {
        "may or may not have been stored"
    } else {
        "was not stored"
    }
}

impl SendError {
    pub(crate) fn not_installed() -> Self {
        Self(Box::new(if installed_elsewhere() { Kind::InstalledElsewhere } else { Kind::NotInstalled }))
    }

    pub(crate) fn argument(error: ArgumentError) -> Self {
        Self(Box::new(Kind::Argument(error)))
    }

    pub(crate) fn key(error: KeyError) -> Self {
        Self(Box::new(Kind::Key(error)))
    }

    pub(crate) fn too_large(bytes: usize, limit: usize) -> Self {
        Self(Box::new(Kind::TooLarge { bytes, limit }))
    }

    pub(crate) fn refused(by: Box<dyn StdError + Send + Sync>) -> Self {
        Self(Box::new(Kind::Refused(by)))
    }

    pub(crate) fn run_over() -> Self {
        Self(Box::new(Kind::RunOver))
    }

    pub(crate) fn too_many_follow(messages: usize, bytes: usize) -> Self {
        Self(Box::new(Kind::TooManyFollow { messages, bytes }))
    }

    pub(crate) fn broker(id: MessageId, source: BrokerError) -> Self {
        Self(Box::new(Kind::Broker { id, source }))
    }

    /// Whether the message may have been stored all the same: the connection broke after the request
    /// was sent. Sending it again may then run the work twice.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.of_broker().is_some_and(BrokerError::is_unknown)
    }

    /// Whether the message was stored, and only its [durability](crate::Durability) was not reached in time. It runs
    /// like any other. Sending it again would run the work twice.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.of_broker().is_some_and(BrokerError::is_stored)
    }

    /// The id of the message, if the broker was asked to store it.
    #[must_use]
    pub fn message_id(&self) -> Option<MessageId> {
        match *self.0 {
            Kind::Broker { id, .. } => Some(id),
            _ => None,
        }
    }

    /// Whether the same call may succeed later, unchanged: the broker is away, full or read-only.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.of_broker().is_some_and(BrokerError::is_transient)
    }

    /// Whether no broker was installed.
    #[must_use]
    pub fn is_not_installed(&self) -> bool {
        matches!(&*self.0, Kind::NotInstalled | Kind::InstalledElsewhere)
    }

    /// Whether a hook of [`on_send`](crate::on_send) refused the message. Its error is the source.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(&*self.0, Kind::Refused(_))
    }

    /// Whether the message itself cannot be sent: an argument that JSON cannot hold, a key that is too long, too large,
    /// or more than may [follow](crate::Message::send_after) from one run.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(&*self.0, Kind::Argument(_) | Kind::Key(_) | Kind::TooLarge { .. } | Kind::TooManyFollow { .. })
    }

    fn of_broker(&self) -> Option<&BrokerError> {
        match &*self.0 {
            Kind::Broker { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InstallError;

    #[test]
    fn what_main_prints_of_an_error_says_what_to_do() {
        let cause = std::io::Error::other("no space left");
        let broker = || BrokerError::busy("redis cannot save to its disk: its log says why");
        let error = SendError::broker(MessageId::new(), broker().caused_by(cause));
        let shown = "the message was not stored: redis cannot save to its disk: its log says why: no space left";
        assert_eq!(format!("{error:?}"), shown);
        assert_eq!(format!("{:?}", SendError::not_installed()), SendError::not_installed().to_string());
        assert_eq!(format!("{:?}", InstallError::Twice), InstallError::Twice.to_string());
    }
}
