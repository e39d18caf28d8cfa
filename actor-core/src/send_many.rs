//! Sending many: in chunks, and where it fails, what became of each item.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::actor::Actor;
use crate::args::ArgWriter;
use crate::broker::{Broker, Enqueue};
use crate::causes::chain;
use crate::install::installed;
use crate::message::Outgoing;
use crate::send::{Sent, unanswered};
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
        // Every chunk before was stored whole, so that this one begins where `sent` ends.
        let mut position = sent.len();
        let (mut unknown, mut not_sent, mut first_error) = (Vec::new(), Vec::new(), None);
        let mut answers = answers.into_iter();
        for id in ids {
            match answers.next().unwrap_or_else(|| Err(unanswered())) {
                Ok(enqueued) => sent.push(Sent::new(id, enqueued)),
                Err(error) => {
                    if error.is_unknown() {
                        unknown.push((position, id));
                    } else {
                        not_sent.push(position);
                    }
                    first_error.get_or_insert(error);
                }
            }
            position += 1;
        }
        if refused.is_some() {
            not_sent.push(position);
            position += 1;
        }
        if let Some(error) = first_error.map(SendError::broker).or(refused) {
            return Err(SendManyError {
                sent: at_their_positions(&sent, &unknown, &not_sent),
                unknown,
                not_sent,
                taken: position,
                error,
            });
        }
    }
    Ok(sent)
}

/// The messages that were stored, at the positions that the others leave. Asked for only after an
/// error, so that a position costs nothing where all goes well.
fn at_their_positions<A>(
    sent: &[Sent<A>],
    unknown: &[(usize, MessageId)],
    not_sent: &[usize],
) -> Vec<(usize, MessageId)> {
    let stored = |position: &usize| {
        not_sent.binary_search(position).is_err() && unknown.binary_search_by_key(position, |(at, _)| *at).is_err()
    };
    (0..).filter(stored).zip(sent.iter().map(Sent::id)).collect()
}

/// Why `send_many` ended early, and what became of each item.
///
/// An item is named by its position, from 0, in the order in which `send_many` took the items. What was
/// stored is not always what comes first: a broker may refuse a message and store those after it.
/// An item below [`taken`](Self::taken) stands in exactly one of [`sent`](Self::sent),
/// [`unknown`](Self::unknown) and [`not_sent`](Self::not_sent), each in ascending order; an item from there
/// on was not asked for, and not sent.
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
#[non_exhaustive]
pub struct SendManyError {
    /// The messages that were stored, each with its item's position.
    pub sent: Vec<(usize, MessageId)>,
    /// The messages that may or may not have been stored, each with its item's position.
    pub unknown: Vec<(usize, MessageId)>,
    /// The positions of the items that were taken and not stored. Where the error is
    /// [`is_invalid`](SendError::is_invalid) or [`is_refused`](SendError::is_refused), the last of them is the item
    /// that cannot be sent.
    pub not_sent: Vec<usize>,
    /// How many items were taken.
    pub taken: usize,
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
        Self { sent: Vec::new(), unknown: Vec::new(), not_sent: Vec::new(), taken: 0, error }
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
    use crate::BrokerError;

    #[test]
    fn what_main_prints_of_it_says_how_far_it_came_and_why_no_further() {
        let error = SendManyError::before_any(SendError::broker(BrokerError::busy("redis is full")));
        assert_eq!(format!("{error:?}"), format!("{error}: the message was not stored: redis is full"));
    }
}
