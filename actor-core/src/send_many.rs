//! Sending many: in chunks, and where it fails, what became of each item.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::actor::Actor;
use crate::args::ArgWriter;
use crate::broker::{Broker, Enqueue};
use crate::causes::debug_as_shown;
use crate::install::installed;
use crate::message::Outgoing;
use crate::send::{Sent, repeat, unanswered};
use crate::{MessageId, SendError};

/// How much `send_many` hands to the broker at a time. The memory it needs is bounded by this.
const CHUNK_MESSAGES: usize = 1_000;
const CHUNK_BYTES: usize = 1 << 20;

/// Many messages on their way: the future of every `send_many`.
///
/// # Cancel safety
///
/// A future dropped before it completes may have sent some of the messages.
#[must_use = "nothing is sent until the future is awaited"]
pub struct SendingMany<'a, A>(Pin<Box<dyn Future<Output = Answer<A>> + Send + 'a>>);

type Answer<A> = Result<Vec<Sent<A>>, SendManyError>;

impl<'a, A: Actor> SendingMany<'a, A> {
    #[doc(hidden)]
    pub fn installed(calls: impl Iterator<Item = ArgWriter> + Send + 'a) -> Self {
        let broker = installed();
        let calls = Box::new(calls.map(|args| Outgoing::new(A::DEF, args)));
        Self(Box::pin(async move {
            let broker: Arc<dyn Broker> =
                broker.ok_or_else(|| SendManyError::before_any(SendError::not_installed()))?;
            send_many(&*broker, calls).await
        }))
    }

    #[doc(hidden)]
    pub fn through(broker: &'a dyn Broker, calls: impl Iterator<Item = ArgWriter> + Send + 'a) -> Self {
        let calls = Box::new(calls.map(|args| Outgoing::new(A::DEF, args)));
        Self(Box::pin(send_many(broker, calls)))
    }
}

impl<A> Future for SendingMany<'_, A> {
    type Output = Answer<A>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<A> fmt::Debug for SendingMany<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendingMany")
    }
}

type Calls<'a> = Box<dyn Iterator<Item = Outgoing> + Send + 'a>;

async fn send_many<A>(broker: &dyn Broker, calls: Calls<'_>) -> Answer<A> {
    let mut calls = calls.peekable();
    let mut sent = Vec::with_capacity(calls.size_hint().0.min(CHUNK_MESSAGES * 100));
    while let Some(first) = calls.peek() {
        let queue = first.def.queue_name();
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
        let answers = if chunk.is_empty() { Vec::new() } else { repeat::enqueue(broker, &queue, chunk).await };
        // Every chunk before was stored whole, so that this one begins where `sent` ends.
        let begin = sent.len();
        let mut taken = begin + ids.len();
        let (mut stored, mut unconfirmed, mut unknown, mut not_sent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut first_error = None;
        let mut answers = answers.into_iter();
        for (position, id) in (begin..).zip(ids) {
            match answers.next().unwrap_or_else(|| Err(unanswered())) {
                Ok(enqueued) => {
                    stored.push(position);
                    sent.push(Sent::new(id, enqueued));
                }
                Err(error) => {
                    if error.is_stored() {
                        unconfirmed.push((position, id));
                    } else if error.is_unknown() {
                        unknown.push((position, id));
                    } else {
                        not_sent.push(position);
                    }
                    first_error.get_or_insert_with(|| SendError::broker(id, error));
                }
            }
        }
        if refused.is_some() {
            not_sent.push(taken);
            taken += 1;
        }
        if let Some(error) = first_error.or(refused) {
            let sent = (0..begin).chain(stored).zip(sent.iter().map(Sent::id)).collect();
            return Err(SendManyError { sent, unconfirmed, unknown, not_sent, taken, error });
        }
    }
    Ok(sent)
}

/// Why `send_many` ended early, and what became of each item.
///
/// An item is named by its position, from 0, in the order in which `send_many` took the items. What was
/// stored is not always what comes first: a broker may refuse a message and store those after it.
/// An item below [`taken`](Self::taken) stands in exactly one of [`sent`](Self::sent),
/// [`unconfirmed`](Self::unconfirmed), [`unknown`](Self::unknown) and [`not_sent`](Self::not_sent), each in ascending
/// order; an item from there on was not asked for, and not sent.
///
/// So this is what to send again, once the error is one that passes
/// ([`is_transient`](SendError::is_transient)):
///
/// ```
/// use actor_core::{Broker, SendError, actor};
///
/// #[actor(queue = "payouts")]
/// async fn pay(account: u64) {
///     println!("paid to {account}");
/// }
///
/// async fn pay_all(broker: &dyn Broker, mut accounts: Vec<u64>) -> Result<(), SendError> {
///     while let Err(failed) = pay.send_many_with(broker, accounts.iter().copied()).await {
///         // Whether these will be paid is not known: to send them again may pay them twice.
///         for (position, id) in &failed.unknown {
///             eprintln!("look for message {id}, which pays to account {}", accounts[*position]);
///         }
///         if !failed.error.is_transient() {
///             return Err(failed.error);
///         }
///         let left = failed.not_sent.iter().copied().chain(failed.taken..accounts.len());
///         accounts = left.map(|position| accounts[position]).collect();
///         // Wait a moment here.
///     }
///     Ok(())
/// }
/// ```
///
/// Where the items cannot be made again, pass the iterator by reference (`items.by_ref()`): after an error it goes on
/// with the item at position `taken`. Of those below it, at most 1,000 were not sent for certain.
#[derive(thiserror::Error)]
#[error(
    "sending stopped after {} messages were stored; of {} more it is not known",
    sent.len() + unconfirmed.len(), unknown.len()
)]
#[non_exhaustive]
pub struct SendManyError {
    /// The messages that were stored, each with its item's position.
    pub sent: Vec<(usize, MessageId)>,
    /// The messages that were stored, and did not become as [durable](crate::Durability) as they should be in time,
    /// each with its item's position.
    pub unconfirmed: Vec<(usize, MessageId)>,
    /// The messages that may or may not have been stored, each with its item's position.
    pub unknown: Vec<(usize, MessageId)>,
    /// The positions of the items that were taken and not stored. Where the error is
    /// [`is_invalid`](SendError::is_invalid) or [`is_refused`](SendError::is_refused), the last of them is the item
    /// that cannot be sent.
    pub not_sent: Vec<usize>,
    /// How many items were taken.
    pub taken: usize,
    /// The first error.
    #[source]
    pub error: SendError,
}

debug_as_shown!(SendManyError);

impl SendManyError {
    fn before_any(error: SendError) -> Self {
        let (sent, unconfirmed, unknown, not_sent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { sent, unconfirmed, unknown, not_sent, taken: 0, error }
    }
}
