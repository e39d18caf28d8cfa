//! What an actor's `on_dead_letter` is told.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::message::Outgoing;
use crate::{Actor, Message, MessageId};

/// A message that became a dead letter: the argument of the actor that `on_dead_letter` names.
///
/// ```
/// use actor_core::{DeadLettered, actor};
///
/// #[actor(queue = "support")]
/// async fn report(failed: DeadLettered) {
///     println!("{} {} failed after {} attempts: {}", failed.actor, failed.id, failed.attempts, failed.reason);
/// }
///
/// #[actor(queue = "orders", max_retries = 3, on_dead_letter = report)]
/// async fn charge(order: u64) -> Result<(), String> {
///     Err(format!("no card for {order}"))
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = actor_core::testing::TestBroker::new();
/// # let _installed = broker.install();
/// # charge.message(17).max_retries(0).send().await?;
/// # broker.worker().drain().await;
/// # assert_eq!(broker.sent().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLettered {
    /// Its identity, by which it is found, replayed and deleted.
    pub id: MessageId,
    /// The actor's name.
    pub actor: String,
    /// The queue whose dead letter it is.
    pub queue: String,
    /// Its arguments, a JSON array; empty, where they are too large to be part of another message.
    pub args: String,
    /// Why it became a dead letter.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// How often a worker died with it.
    pub crashes: u32,
    /// When it was sent, in ms since 1970.
    pub sent_at_ms: u64,
}

impl DeadLettered {
    /// When it was sent.
    #[must_use]
    pub fn sent_at(&self) -> SystemTime {
        crate::wire::to_time(self.sent_at_ms)
    }
}

impl fmt::Debug for DeadLettered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and reason are the program's own: no log shows them by accident.
        f.debug_struct("DeadLettered")
            .field("id", &self.id)
            .field("actor", &self.actor)
            .field("queue", &self.queue)
            .field("attempts", &self.attempts)
            .field("crashes", &self.crashes)
            .finish_non_exhaustive()
    }
}

/// What follows when an actor's message becomes a dead letter, as the macro writes it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct OnDeadLetter(fn(DeadLettered) -> FollowUp);

impl OnDeadLetter {
    /// The message that this makes is sent.
    #[must_use]
    pub const fn new(message: fn(DeadLettered) -> FollowUp) -> Self {
        Self(message)
    }

    pub(crate) fn message(self, failed: DeadLettered) -> Outgoing {
        (self.0)(failed).0
    }
}

/// A message of any actor.
#[doc(hidden)]
#[derive(Debug)]
pub struct FollowUp(Outgoing);

impl FollowUp {
    /// The message, as one of any actor.
    #[must_use]
    pub fn new<A: Actor>(message: Message<A>) -> Self {
        Self(message.into_call())
    }
}
