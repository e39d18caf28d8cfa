//! Outboxes: where what follows from runs waits to be stored in other queues.
//!
//! A broker whose queues may be on different servers cannot store a message in another queue in the step that settles a run.
//! It notes it in that step, in an outbox, and [`relay`](Outboxes::relay) brings it to where it belongs. Workers call that
//! themselves.

use async_trait::async_trait;

use crate::{BrokerError, QueueName};

/// A broker's outboxes.
///
/// # Cancel safety
///
/// Every method: dropped, it may have done a part, and the next call goes on from there.
#[async_trait]
pub trait Outboxes: Send + Sync {
    /// The outboxes of a queue in which messages wait.
    ///
    /// # Errors
    ///
    /// The storage could not be reached, or refused.
    async fn list_outboxes(&self, queue: &QueueName) -> Result<Vec<Outbox>, BrokerError>;

    /// Stores in `to` what waits for it in `from`'s outbox, in its order, until none is left. However many do that at once,
    /// and wherever they die, each message is stored once. Returns how many were stored.
    ///
    /// # Errors
    ///
    /// One of the queues could not be reached, or refused. What is left waits in the outbox, and may be relayed again.
    async fn relay(&self, from: &QueueName, to: &QueueName) -> Result<u64, BrokerError>;
}

/// An outbox of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outbox {
    /// The queue that its messages go to.
    pub to: QueueName,
    /// How many wait.
    pub messages: u64,
}

impl Outbox {
    /// An outbox in which so many messages wait.
    #[must_use]
    pub fn new(to: QueueName, messages: u64) -> Self {
        Self { to, messages }
    }
}
