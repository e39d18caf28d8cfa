//! The second seam: what people and screens read and repair. It costs the path of a message nothing.

mod stored;

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

#[cfg(feature = "worker")]
pub(crate) use self::stored::newer;
pub use self::stored::{DecodeError, Parked, StoredMessage};
use crate::{BrokerError, QueueName};

/// Reading and repairing a storage's queues.
///
/// Every listing is paged, and every call costs the storage a bounded amount of work at a time.
///
/// # Errors
///
/// Each method fails when the storage could not be reached; reading may be tried again at any time. Counting, listing,
/// replaying and purging a queue that was never used fails by [`BrokerError::no_such_queue`], since its name is
/// probably a mistake: a queue is known from its first message or worker on.
#[async_trait]
pub trait Inspect: Send + Sync + 'static {
    /// The queues that the storage knows, by name.
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError>;

    /// How many messages of a queue are in each state.
    async fn counts(&self, queue: &QueueName) -> Result<Counts, BrokerError>;

    /// One page of the messages in `state`: waiting ones by lane, each lane in the order of its delivery, ready ones in the order of their delivery, those in flight by
    /// age, scheduled ones by due time, dead letters by the time they were dead-lettered, the oldest first.
    async fn list(&self, queue: &QueueName, state: State, page: Page) -> Result<Listing, BrokerError>;

    /// One message of a listing, read again. `None` where it has moved on.
    async fn read(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<Option<Listed>, BrokerError>;

    /// Makes dead letters ready again, with their attempts, crashes and last error cleared. One that had a [unique
    /// key](crate::Unique) takes it again. Where another message holds the key, it stays a dead letter: of
    /// all, the others are replayed, and of one, the error says [by whom](BrokerError::held_by) the key is held.
    /// Returns how many.
    async fn replay(&self, queue: &QueueName, which: Which) -> Result<u64, BrokerError>;

    /// Deletes one message that is waiting, ready, scheduled or dead. One in flight is left to its worker.
    /// Returns whether it was there.
    async fn delete(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<bool, BrokerError>;

    /// Deletes every message of a queue that is in `state` (waiting, ready, scheduled or dead) now. Those in flight
    /// are left to their workers. Returns how many.
    async fn purge(&self, queue: &QueueName, state: State) -> Result<u64, BrokerError>;

    /// Stops delivering a queue's messages. What is in flight runs on. Workers obey within their heartbeat
    /// (a third of their lease).
    async fn pause(&self, queue: &QueueName) -> Result<(), BrokerError>;

    /// Delivers a paused queue's messages again.
    async fn resume(&self, queue: &QueueName) -> Result<(), BrokerError>;
}

/// A message's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Waiting in its lane for a limit of its queue.
    Waiting,
    /// Waiting for a worker.
    Ready,
    /// In flight with a worker.
    InFlight,
    /// Waiting for its time.
    Scheduled,
    /// Kept for a person.
    Dead,
}

/// How many messages of a queue are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Waiting in their lanes for a limit of the queue.
    pub waiting: u64,
    /// Waiting for a worker.
    pub ready: u64,
    /// In flight with a worker.
    pub in_flight: u64,
    /// Waiting for their time.
    pub scheduled: u64,
    /// Kept for a person.
    pub dead: u64,
    /// What follows from runs of this queue, and is not stored in its own queue yet: see [`outbox`](crate::outbox).
    pub outgoing: u64,
    /// Whether the queue is paused.
    pub paused: bool,
    /// How many dead letters the broker has removed because they were too many or too old, since a person
    /// last saw to all that were left: by replaying, deleting or purging the last of them.
    pub pruned: u64,
    /// When it removed the first of these.
    pub pruned_since: Option<SystemTime>,
}

impl Counts {
    /// The counts of a queue that is not paused, of which no dead letter was removed.
    #[must_use]
    pub fn new(ready: u64, in_flight: u64, scheduled: u64, dead: u64) -> Self {
        Self { ready, in_flight, scheduled, dead, ..Self::default() }
    }

    /// All messages of the queue, dead letters left out.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.waiting + self.ready + self.in_flight + self.scheduled
    }
}

/// Which part of a listing to return.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// Where the page before ended; `None` for the first.
    pub after: Option<Cursor>,
    /// At most how many messages, from 1 to 1,000.
    pub limit: usize,
}

impl Page {
    /// The first page.
    #[must_use]
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }

    /// The page that begins at [`Listing::next`] of the one before.
    #[must_use]
    pub fn after(cursor: Cursor, limit: usize) -> Self {
        Self { after: Some(cursor), limit }
    }
}

/// Where a page ended: opaque, and good for the listing that it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The cursor that a broker writes so, or a page's link.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text that it was made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of messages.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listing {
    /// The messages.
    pub messages: Vec<Listed>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

impl Listing {
    /// A page, as a broker makes it.
    #[must_use]
    pub fn new(messages: Vec<Listed>, next: Option<Cursor>) -> Self {
        Self { messages, next }
    }
}

/// A message as a listing shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// What to name it by in a further call.
    pub handle: Handle,
    /// The message as it is stored. [`message`](Self::message) decodes it.
    pub body: Bytes,
    /// Since when it is ready or in flight, when it is due, or when it was dead-lettered.
    pub time: Option<SystemTime>,
    /// The worker it is delivered to.
    pub worker: Option<String>,
    /// Why it was dead-lettered.
    pub reason: Option<String>,
}

impl Listed {
    /// A message, as a broker lists it.
    #[must_use]
    pub fn new(handle: Handle, body: Bytes) -> Self {
        Self { handle, body, time: None, worker: None, reason: None }
    }

    /// The message, decoded: its actor, id, arguments, attempts, times and last error.
    ///
    /// # Errors
    ///
    /// What is stored is not a message, or is of a newer version of the format.
    pub fn message(&self) -> Result<StoredMessage, DecodeError> {
        StoredMessage::decode(&self.body)
    }
}

/// A storage's own name of one message in one state: opaque.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handle(String);

impl Handle {
    /// The handle that a broker writes so, or a page's link.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text that it was made of.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which dead letters to replay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Which {
    /// One.
    One(Handle),
    /// All that are there now.
    All,
}
