//! What a broker reports when it could not do what was asked.

use std::error::Error as StdError;

use crate::causes::debug_as_shown;
use crate::{MessageId, QueueName};

/// How many queues an error names.
const NAMED: usize = 10;

/// A storage's failure, in terms of what the caller can do next.
///
/// The text is for people and may change; callers ask the predicates.
#[derive(thiserror::Error)]
#[error("{what}")]
pub struct BrokerError {
    kind: Kind,
    what: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

debug_as_shown!(BrokerError);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unavailable,
    Unknown,
    Stored,
    Busy,
    Refused,
    NoSuchQueue,
    Held(MessageId),
}

impl BrokerError {
    /// The storage could not be reached: nothing was asked of it, so nothing happened.
    pub fn unavailable(what: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, what)
    }

    /// The storage was asked and no answer arrived: it may or may not have happened.
    pub fn unknown(what: impl Into<String>) -> Self {
        Self::new(Kind::Unknown, what)
    }

    /// The storage has the message, and in time it did not become as durable as it should be.
    pub fn stored(what: impl Into<String>) -> Self {
        Self::new(Kind::Stored, what)
    }

    /// The storage refused for now (full, read-only, loading): nothing happened.
    pub fn busy(what: impl Into<String>) -> Self {
        Self::new(Kind::Busy, what)
    }

    /// The storage refused, and will refuse the same again until a person changes something.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(Kind::Refused, what)
    }

    /// No queue of this name was ever used, so that it is probably a mistake. These are known.
    #[must_use]
    pub fn no_such_queue(queue: &QueueName, known: &[QueueName]) -> Self {
        let mut names: Vec<_> = known.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
        match known.len() {
            0 => names.push("none".to_owned()),
            all if all > NAMED => names.push(format!("and {} more", all - NAMED)),
            _ => {}
        }
        let known = names.join(", ");
        let what =
            format!("no queue `{queue}` is known: nothing was sent to it and no worker served it; known: {known}");
        Self::new(Kind::NoSuchQueue, what)
    }

    /// The message cannot be replayed, since another one holds its [unique key](crate::Unique).
    #[must_use]
    pub fn held(by: MessageId) -> Self {
        Self::new(Kind::Held(by), format!("its unique key is held by message {by}: replay it once that has ended"))
    }

    /// The queue of this name has no lanes, so that nothing of it can be limited.
    #[must_use]
    pub fn without_lanes(queue: &QueueName) -> Self {
        Self::refused(format!(
            "queue `{queue}` has no lanes: declare it with limits first, as by `Queue::new(\"{queue}\").fair()`, and \
             start a worker of it"
        ))
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Whether what was asked may have happened all the same: the connection broke, or the time ran
    /// out, after the request was sent.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.kind == Kind::Unknown
    }

    /// Whether the message is stored all the same, and only its [durability](crate::Durability) was not reached in
    /// time. Sending it again would run the work twice.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.kind == Kind::Stored
    }

    /// Whether the storage could not be reached, or gave no answer.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Unknown)
    }

    /// Whether the same call may succeed later, with nothing changed by a person: the storage is
    /// away, full, loading or read-only.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Unknown | Kind::Busy)
    }

    /// Whether no queue of this name was ever used.
    #[must_use]
    pub fn is_no_such_queue(&self) -> bool {
        self.kind == Kind::NoSuchQueue
    }

    /// The message that holds the unique key of the one that was to be replayed.
    #[must_use]
    pub fn held_by(&self) -> Option<MessageId> {
        match self.kind {
            Kind::Held(by) => Some(by),
            _ => None,
        }
    }

    fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }
}
