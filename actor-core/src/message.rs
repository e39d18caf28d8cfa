//! A message before it is sent: its identity, its priority, and the builder of a call.

mod outgoing;
mod when;

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::when::When;
use crate::actor::{Actor, ActorDef};
use crate::args::ArgWriter;
use crate::broker::Broker;
use crate::context::After;
use crate::headers::Headers;
use crate::send::{SendError, Sending, Sent, blocking};
use crate::unique::Digest;
use crate::{Context, Durability, Idempotency, TraceParent};

/// A message's identity: a UUID of version 7, so that ids sort by the time they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(Uuid);

impl MessageId {
    /// A new identity.
    #[must_use]
    #[allow(clippy::new_without_default)] // A default should be equal to itself.
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The same identity as a UUID.
    #[must_use]
    pub fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for MessageId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl std::str::FromStr for MessageId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of a queue's ready messages goes first. The order is strict: a lower priority waits as long as
/// a higher one is there, unless the broker weights priorities. `High` is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After all others.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before all others.
    High,
}

/// A call of `A`, not yet sent: what `actor.message(..)` returns.
///
/// A setting of the message wins over the same option of the actor.
///
/// ```
/// use std::time::Duration;
/// use actor_core::{actor, MemoryBroker, Priority};
///
/// #[actor(queue = "mail")]
/// async fn welcome(to: String) {
///     println!("welcome, {to}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), actor_core::SendError> {
/// let broker = MemoryBroker::new();
/// let id = welcome
///     .message("ada@example.com".to_owned())
///     .delay(Duration::from_secs(60))
///     .priority(Priority::Low)
///     .send_with(&broker)
///     .await?;
/// println!("sent {id}");
/// # Ok(())
/// # }
/// ```
#[must_use = "a message does nothing until it is sent"]
pub struct Message<A> {
    call: Outgoing,
    actor: PhantomData<fn() -> A>,
}

/// A call of any actor. Not generic, so that its code is compiled once.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: MessageId,
    pub(crate) def: &'static ActorDef,
    args: ArgWriter,
    when: When,
    expires_in: Option<Duration>,
    priority: Option<Priority>,
    max_retries: Option<u32>,
    min_backoff: Option<Duration>,
    max_backoff: Option<Duration>,
    time_limit: Option<Option<Duration>>,
    trace: Option<TraceParent>,
    pub(crate) headers: Headers,
    durability: Option<Durability>,
    key: Option<String>,
    cost: Option<u32>,
    /// What it is unique by, if not by all of its arguments.
    unique: Option<Digest>,
    idempotency: Option<Box<Idempotency>>,
}

impl<A: Actor> Message<A> {
    #[doc(hidden)]
    pub fn new(args: ArgWriter) -> Self {
        Self { call: Outgoing::new(A::DEF, args), actor: PhantomData }
    }

    /// The identity that the message will have.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.call.id
    }

    /// Starts no earlier than `delay` from when it is sent. Default: at once.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.call.when = When::After(delay);
        self
    }

    /// Starts no earlier than `time`, by the broker's clock. A time that has passed means at once.
    ///
    /// A sender that has not been connected yet knows only its own host's clock, and goes by that.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.call.when = When::At(time);
        self
    }

    /// Becomes a dead letter instead of starting later than `age` from when it is sent, waiting and
    /// retries included. Default: the actor's `max_age`. By the clock that [`at`](Self::at) goes by.
    pub fn expires_in(mut self, age: Duration) -> Self {
        self.call.expires_in = Some(age);
        self
    }

    /// Goes before or after others of its queue. Default: the actor's `priority`.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.call.priority = Some(priority);
        self
    }

    /// Is tried again at most this often. Default: the actor's `max_retries`.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.call.max_retries = Some(retries);
        self
    }

    /// Waits at most this long before the first retry. Default: the actor's `min_backoff`.
    pub fn min_backoff(mut self, ceiling: Duration) -> Self {
        self.call.min_backoff = Some(ceiling);
        self
    }

    /// Waits at most this long before any retry. Default: the actor's `max_backoff`.
    pub fn max_backoff(mut self, ceiling: Duration) -> Self {
        self.call.max_backoff = Some(ceiling);
        self
    }

    /// May run this long, or any time with `None`. Default: the actor's `time_limit`.
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.call.time_limit = Some(limit.into());
        self
    }

    /// Carries this trace context. Default: the one of what is running where it is sent.
    pub fn trace(mut self, trace: TraceParent) -> Self {
        self.call.trace = Some(trace);
        self
    }

    /// Carries a text that the run reads with [`Context::header`](crate::Context::header), through every
    /// retry. One of this name that was set before is replaced.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.call.headers.set(name, value);
        self
    }

    /// Groups the message with others of its queue: in a queue with [limits](crate::Queue), messages of one key share
    /// a lane. Default: the actor's `key`, else the empty key.
    ///
    /// A key of more than 1,024 bytes is refused when the message is sent.
    pub fn key(mut self, key: impl fmt::Display) -> Self {
        self.call.key = Some(key.to_string());
        self
    }

    /// Counts as so many messages in its queue's limits. Default: the actor's `cost`, else 1, which is also the least.
    /// One that costs more than a limit counts as all of it.
    pub fn cost(mut self, cost: u32) -> Self {
        self.call.cost = Some(cost);
        self
    }

    /// Is unique by this text: messages of its actor with an equal text exclude one another, as the actor's `unique`
    /// says, or [by default](crate::Uniqueness). Default: the arguments, where the actor is `unique`.
    pub fn unique_key(mut self, text: impl fmt::Display) -> Self {
        self.call.unique = Some(Digest::of_text(&text.to_string()));
        self
    }

    /// Makes sending safe to repeat: for a day, only the first message of its actor with this text is stored, and
    /// `send` answers with its id, also once it is done. So if the connection breaks, `send` repeats it by itself.
    pub fn idempotency_key(mut self, text: impl fmt::Display) -> Self {
        self.call.idempotent(&text.to_string());
        self
    }

    /// The same for another time than a day.
    pub fn idempotency_key_for(mut self, window: Duration, text: impl fmt::Display) -> Self {
        self.call.idempotent(&text.to_string()).window = window;
        self
    }

    /// Has [`send`](Self::send) wait until the message is as durable as this. Default: the broker's.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.call.durability = Some(durability);
        self
    }

    /// Sends the message through the installed broker, and returns once it is stored.
    ///
    /// # Errors
    ///
    /// See [`SendError`]: its predicates say whether the message may have been stored.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it completes may or may not have sent the message.
    pub fn send(self) -> Sending<'static, A> {
        Sending::installed(self.call)
    }

    /// The same for sync code, such as a sync actor: waits on this thread until the message is stored.
    ///
    /// Async code uses [`send`](Self::send): this would block its runtime's thread.
    ///
    /// ```
    /// use actor_core::{MemoryBroker, actor};
    ///
    /// #[actor(queue = "mail")]
    /// fn welcome(to: String) {
    ///     println!("welcome, {to}");
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// actor_core::install(MemoryBroker::new())?;
    /// let sent = welcome.message("Ada".to_owned()).send_blocking()?;
    /// println!("sent {sent}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_blocking(self) -> Result<Sent<A>, SendError> {
        let id = self.id();
        blocking::wait(self.send()).map_err(|error| SendError::broker(id, error)).flatten()
    }

    /// Sends the message if this run counts, and only then: it is stored in the step that settles the run as done. A run
    /// that fails, is interrupted, or whose worker has lost it sends nothing; that run's successor does.
    ///
    /// A message to another queue is noted in that step, and stored there a moment later, exactly once, also if the
    /// worker dies in between. Messages from one run to one queue are stored in their order. A delay counts from the end
    /// of the run. `docs/send-after.md` says more.
    ///
    /// ```
    /// use actor_core::{Context, SendError, actor};
    ///
    /// #[actor(queue = "mail")]
    /// async fn welcome(user: u64) {
    ///     println!("welcome, {user}");
    /// }
    ///
    /// #[actor(queue = "users")]
    /// async fn create_user(cx: &Context, user: u64) -> Result<(), SendError> {
    ///     // .. the work ..
    ///     welcome.message(user).send_after(cx)?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The message cannot be sent, the run has ended, or more than 1,000 messages or 8 MiB follow from it. Nothing is sent.
    pub fn send_after(self, cx: &Context) -> Result<MessageId, SendError> {
        cx.follow(After::Done, self.call)
    }

    /// Sends the message if this run is the message's last and fails: it is stored in the step that dead-letters it.
    ///
    /// # Errors
    ///
    /// As [`send_after`](Self::send_after).
    pub fn send_after_failure(self, cx: &Context) -> Result<MessageId, SendError> {
        cx.follow(After::Failure, self.call)
    }

    /// Sends the message through `broker`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub fn send_with(self, broker: &dyn Broker) -> Sending<'_, A> {
        Sending::through(broker, self.call)
    }
}

impl<A> Message<A> {
    pub(crate) fn into_call(self) -> Outgoing {
        self.call
    }
}

impl<A> fmt::Debug for Message<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}
