//! Waiting for a message's result.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::record::{Record, State};
use super::{Ended, KeepsResults, ResultError, Results, Standing};
use crate::actor::{Actor, ActorDef};
use crate::delivery::Wait;
use crate::install::installed;
use crate::{Broker, BrokerError, MessageId, QueueName, Sent};

/// After how long a message is looked for whose end is not known, and at most how long after that again.
const LOOK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How often, and how far apart, it must be found nowhere: it may pass from one state to another just then.
const NOWHERE: (u32, Duration) = (3, Duration::from_millis(200));
/// How long to wait before a broker that is away is asked again.
const AWAY: Duration = Duration::from_millis(500);

/// A result that is waited for: the future of [`Sent::result`].
///
/// # Cancel safety
///
/// Dropping the future has no effect. The message goes on.
#[must_use = "nothing is waited for until the future is awaited"]
pub struct Awaiting<'a, T>(Pin<Box<dyn Future<Output = Result<T, ResultError>> + Send + 'a>>);

impl<'a, T: DeserializeOwned + 'a> Awaiting<'a, T> {
    /// Waits for the result of an actor's message. `None` stands for the installed broker.
    pub(crate) fn new(
        def: &'static ActorDef,
        id: MessageId,
        timeout: Duration,
        broker: Option<&'a dyn Broker>,
    ) -> Self {
        // The broker is looked up here, not at the first poll: the future may be polled on another thread.
        let ended = match broker {
            Some(broker) => Self::boxed(async move { ended(broker, def.queue_name(), id, timeout).await }),
            None => {
                let broker: Result<Arc<dyn Broker>, _> = installed().ok_or_else(ResultError::not_installed);
                Self::boxed(async move { ended(&*broker?, def.queue_name(), id, timeout).await })
            }
        };
        Self(Box::pin(async move { output(id, &ended.await?) }))
    }

    /// Not generic over the output, so that waiting is compiled once.
    fn boxed(
        ended: impl Future<Output = Result<Ended, ResultError>> + Send + 'a,
    ) -> Pin<Box<dyn Future<Output = Result<Ended, ResultError>> + Send + 'a>> {
        Box::pin(ended)
    }
}

impl<T> Future for Awaiting<'_, T> {
    type Output = Result<T, ResultError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Awaiting<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Awaiting")
    }
}

// The bounds stand at the methods, so that an error says which actor lacks what.
impl<A: Actor> Sent<A> {
    /// What the message's run returned, through the installed broker: waits for at most `timeout` until the message has
    /// ended. With a timeout of zero it only looks.
    ///
    /// A message that fails and is retried has not ended. Only actors with `results = ".."` have results, and keep them for
    /// that long after the end.
    ///
    /// Whoever waits in a run keeps the run's slot: if all slots wait for messages of the same worker, none is left to run
    /// them. `docs/results.md` shows what to do instead.
    ///
    /// ```
    /// use std::time::Duration;
    /// use actor_core::testing::TestBroker;
    /// use actor_core::actor;
    ///
    /// #[actor(queue = "math", results = "1h")]
    /// async fn add(one: u64, other: u64) -> Result<u64, String> {
    ///     one.checked_add(other).ok_or_else(|| "the sum is too large".to_owned())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = TestBroker::new();
    /// let _installed = broker.install();
    /// let sent = add.send(2, 3).await?;
    /// broker.worker().drain().await;
    /// assert_eq!(sent.result(Duration::from_secs(10)).await?, 5);
    /// // From an id, as a service keeps it:
    /// assert_eq!(add.result(sent.id(), Duration::ZERO).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See the predicates of [`ResultError`]. While the broker is away, it is asked again until the time is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect. The message goes on.
    pub fn result(&self, timeout: Duration) -> Awaiting<'static, A::Output>
    where
        A: KeepsResults,
        A::Output: DeserializeOwned + 'static,
    {
        Awaiting::new(A::DEF, self.id(), timeout, None)
    }

    /// The same through `broker`.
    ///
    /// # Errors
    ///
    /// As [`result`](Self::result).
    ///
    /// # Cancel safety
    ///
    /// As [`result`](Self::result).
    pub fn result_with<'a>(&self, broker: &'a dyn Broker, timeout: Duration) -> Awaiting<'a, A::Output>
    where
        A: KeepsResults,
        A::Output: DeserializeOwned + 'static,
    {
        Awaiting::new(A::DEF, self.id(), timeout, Some(broker))
    }
}

/// What a message came to that has ended.
fn output<T: DeserializeOwned>(id: MessageId, ended: &Ended) -> Result<T, ResultError> {
    let output = returned(id, ended)?;
    serde_json::from_str(output).map_err(|error| ResultError::undecodable(id, error.to_string()))
}

/// What was returned, as JSON.
fn returned(id: MessageId, ended: &Ended) -> Result<&str, ResultError> {
    let record = match ended {
        Ended::Recorded(record) => record,
        Ended::Cancelled => return Err(ResultError::cancelled(id)),
        Ended::Dead { reason } => return Err(ResultError::failed(id, reason.clone(), None)),
    };
    let record = Record::read(record).map_err(|what| ResultError::undecodable(id, what))?;
    match record.state {
        // A layer that answers in place of the actor returns nothing.
        State::Done => Ok(record.output.map_or("null", |output| output.get())),
        State::Failed => Err(ResultError::failed(id, record.reason.unwrap_or_default().into_owned(), record.attempts)),
        State::Cancelled => Err(ResultError::cancelled(id)),
    }
}

/// Waits until a message has ended.
async fn ended(broker: &dyn Broker, queue: QueueName, id: MessageId, timeout: Duration) -> Result<Ended, ResultError> {
    let results = broker.results().ok_or_else(ResultError::unsupported)?;
    let began = Instant::now();
    let mut look = LOOK.0;
    loop {
        let left = timeout.saturating_sub(began.elapsed());
        match results.wait_for_result(&queue, id, &Wait::new(left.min(look))).await {
            Ok(Some(ended)) => return Ok(ended),
            Ok(None) if left <= look => return Err(ResultError::timed_out(id, timeout)),
            Ok(None) => {}
            Err(error) if error.is_transient() && !left.is_zero() => {
                sleep(AWAY.min(left)).await;
                if began.elapsed() >= timeout {
                    return Err(ResultError::broker(error));
                }
                continue;
            }
            Err(error) => return Err(ResultError::broker(error)),
        }
        match is_nowhere(results, &queue, id).await {
            Ok(Nowhere::No) => {}
            Ok(Nowhere::Ended(ended)) => return Ok(ended),
            Ok(Nowhere::Gone) => return Err(ResultError::gone(id)),
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(ResultError::broker(error)),
        }
        look = (look * 4).min(LOOK.1);
    }
}

enum Nowhere {
    No,
    Ended(Ended),
    Gone,
}

/// Whether a message is in no state, for longer than it takes to pass from one to another.
async fn is_nowhere(results: &dyn Results, queue: &QueueName, id: MessageId) -> Result<Nowhere, BrokerError> {
    for _ in 0..NOWHERE.0 {
        if results.find_message(queue, id).await? != Standing::Nowhere {
            return Ok(Nowhere::No);
        }
        if let Some(ended) = results.read_result(queue, id).await? {
            return Ok(Nowhere::Ended(ended));
        }
        sleep(NOWHERE.1).await;
    }
    Ok(Nowhere::Gone)
}
