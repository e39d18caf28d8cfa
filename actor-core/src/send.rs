//! Sending: from a call to a message that the broker has stored.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::actor::Actor;
use crate::args::{ArgWriter, ArgumentError};
use crate::broker::{Broker, Enqueue};
use crate::causes::chain;
use crate::install::installed;
use crate::message::Outgoing;
use crate::{BrokerError, MessageId};

/// How much `send_many` hands to the broker at a time. The memory it needs is bounded by this.
const CHUNK_MESSAGES: usize = 1_000;
const CHUNK_BYTES: usize = 1 << 20;

/// A message on its way: the future of every `send`.
///
/// # Cancel safety
///
/// A future dropped before it completes may or may not have sent the message.
#[must_use = "nothing is sent until the future is awaited"]
pub struct Sending<'a>(Pin<Box<dyn Future<Output = Result<MessageId, SendError>> + Send + 'a>>);

impl Sending<'static> {
    pub(crate) fn installed(call: Outgoing) -> Self {
        // Which broker is installed is asked here, not at the first poll: the future may be
        // polled on another thread.
        let broker = installed();
        Self(Box::pin(async move {
            let broker: Arc<dyn Broker> = broker.ok_or_else(SendError::not_installed)?;
            send_one(&*broker, call).await
        }))
    }
}

impl<'a> Sending<'a> {
    pub(crate) fn through(broker: &'a dyn Broker, call: Outgoing) -> Self {
        Self(Box::pin(send_one(broker, call)))
    }
}

impl Future for Sending<'_> {
    type Output = Result<MessageId, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Sending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}

async fn send_one(broker: &dyn Broker, call: Outgoing) -> Result<MessageId, SendError> {
    let (id, queue) = (call.id(), call.def().queue_name());
    let message = call.encode(broker)?;
    match broker.enqueue(&queue, vec![message]).await.pop() {
        Some(Ok(())) => Ok(id),
        Some(Err(error)) => Err(SendError::broker(error)),
        None => Err(SendError::broker(unanswered())),
    }
}

/// A broker that answers for fewer messages than it was given is wrong, but no message is lost for it.
fn unanswered() -> BrokerError {
    BrokerError::unknown("the broker gave no answer")
}

/// Many messages on their way: the future of every `send_many`.
///
/// # Cancel safety
///
/// A future dropped before it completes may have sent some of the messages.
#[must_use = "nothing is sent until the future is awaited"]
pub struct SendingMany<'a>(Pin<Box<dyn Future<Output = Result<Vec<MessageId>, SendManyError>> + Send + 'a>>);

impl<'a> SendingMany<'a> {
    #[doc(hidden)]
    pub fn installed<A: Actor>(calls: impl Iterator<Item = ArgWriter> + Send + 'a) -> Self {
        let broker = installed();
        let calls = Box::new(calls.map(|args| Outgoing::new(A::DEF, args)));
        Self(Box::pin(async move {
            let broker: Arc<dyn Broker> =
                broker.ok_or_else(|| SendManyError::before_any(SendError::not_installed()))?;
            send_many(&*broker, calls).await
        }))
    }

    #[doc(hidden)]
    pub fn through<A: Actor>(broker: &'a dyn Broker, calls: impl Iterator<Item = ArgWriter> + Send + 'a) -> Self {
        let calls = Box::new(calls.map(|args| Outgoing::new(A::DEF, args)));
        Self(Box::pin(send_many(broker, calls)))
    }
}

impl Future for SendingMany<'_> {
    type Output = Result<Vec<MessageId>, SendManyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for SendingMany<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendingMany")
    }
}

type Calls<'a> = Box<dyn Iterator<Item = Outgoing> + Send + 'a>;

async fn send_many(broker: &dyn Broker, calls: Calls<'_>) -> Result<Vec<MessageId>, SendManyError> {
    let mut calls = calls.peekable();
    let mut sent = Vec::with_capacity(calls.size_hint().0.min(CHUNK_MESSAGES * 100));
    while let Some(first) = calls.peek() {
        let queue = first.def().queue_name();
        let (mut chunk, mut bytes, mut refused) = (Vec::<Enqueue>::new(), 0, None);
        while chunk.len() < CHUNK_MESSAGES && bytes < CHUNK_BYTES {
            let Some(call) = calls.next() else { break };
            match call.encode(broker) {
                Ok(message) => {
                    bytes += message.body.len();
                    chunk.push(message);
                }
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let ids: Vec<MessageId> = chunk.iter().map(|message| message.id).collect();
        let answers = if chunk.is_empty() { Vec::new() } else { broker.enqueue(&queue, chunk).await };
        let (mut unknown, mut first_error) = (Vec::new(), None);
        let mut answers = answers.into_iter();
        for id in ids {
            match answers.next().unwrap_or_else(|| Err(unanswered())) {
                Ok(()) => sent.push(id),
                Err(error) => {
                    if error.is_unknown() {
                        unknown.push(id);
                    }
                    first_error.get_or_insert(error);
                }
            }
        }
        if let Some(error) = first_error.map(SendError::broker).or(refused) {
            return Err(SendManyError { sent, unknown, error });
        }
    }
    Ok(sent)
}

/// Why a message was not sent, or may not have been.
///
/// The text is for people and may change; callers ask the predicates.
pub struct SendError(Box<Kind>);

// Shown as people read it, also where `main` returns it.
impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self))
    }
}

enum Kind {
    NotInstalled,
    Argument(ArgumentError),
    TooLarge { bytes: usize, limit: usize },
    Broker(BrokerError),
}

impl SendError {
    fn not_installed() -> Self {
        Self(Box::new(Kind::NotInstalled))
    }

    pub(crate) fn argument(error: ArgumentError) -> Self {
        Self(Box::new(Kind::Argument(error)))
    }

    pub(crate) fn too_large(bytes: usize, limit: usize) -> Self {
        Self(Box::new(Kind::TooLarge { bytes, limit }))
    }

    fn broker(error: BrokerError) -> Self {
        Self(Box::new(Kind::Broker(error)))
    }

    /// Whether the message may have been stored all the same: the connection broke after the request
    /// was sent. Sending it again may then run the work twice. In every other case it was not stored.
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
        matches!(&*self.0, Kind::NotInstalled)
    }

    /// Whether the message itself cannot be sent: an argument that JSON cannot hold, or too large.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(&*self.0, Kind::Argument(_) | Kind::TooLarge { .. })
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::NotInstalled => f.write_str(
                "no broker is installed: call `actor_core::install(broker)` when the program starts, \
                 or send with `send_with(&broker, ..)`",
            ),
            Kind::Argument(error) => error.fmt(f),
            Kind::TooLarge { bytes, limit } => write!(
                f,
                "the message has {bytes} bytes, and the broker takes at most {limit}: send a reference to \
                 the data instead, or raise the broker's `max_message_bytes`"
            ),
            Kind::Broker(error) if error.is_unknown() => f.write_str("the message may or may not have been stored"),
            Kind::Broker(_) => f.write_str("the message was not stored"),
        }
    }
}

impl StdError for SendError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            Kind::Broker(error) => Some(error),
            _ => None,
        }
    }
}

/// Why `send_many` ended early, and what became of the messages that it had begun to send.
///
/// Messages that are in neither list were not sent.
#[non_exhaustive]
pub struct SendManyError {
    /// The messages that were stored.
    pub sent: Vec<MessageId>,
    /// The messages that may or may not have been stored.
    pub unknown: Vec<MessageId>,
    /// The first error.
    pub error: SendError,
}

// Shown as people read it, also where `main` returns it.
impl fmt::Debug for SendManyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self))
    }
}

impl SendManyError {
    fn before_any(error: SendError) -> Self {
        Self { sent: Vec::new(), unknown: Vec::new(), error }
    }
}

impl fmt::Display for SendManyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, unknown) = (self.sent.len(), self.unknown.len());
        write!(f, "sending stopped after {sent} messages were stored; of {unknown} more it is not known")
    }
}

impl StdError for SendManyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
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
        let error = SendError::broker(broker().caused_by(cause));
        let told = "the message was not stored: redis cannot save to its disk: its log says why: no space left";
        assert_eq!(format!("{error:?}"), told);
        let many = SendManyError::before_any(error);
        assert_eq!(format!("{many:?}"), format!("{many}: {told}"));
        assert_eq!(format!("{:?}", SendError::not_installed()), SendError::not_installed().to_string());
        assert_eq!(format!("{:?}", InstallError::Twice), InstallError::Twice.to_string());
    }
}
