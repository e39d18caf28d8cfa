//! What passes between a broker and a worker: who claims, what is lent, and the right to settle it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::QueueName;
use crate::size::Size;

/// One life of a worker process: its name, and an id that no other life has.
///
/// A worker that starts again, or that lost its lease, is a new incarnation, so that nothing it
/// left behind is mistaken for what it holds now.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Incarnation(Arc<str>);

impl Incarnation {
    /// A new life under `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(format!("{name}:{}", Uuid::now_v7().simple()).into())
    }

    /// The life that a listing names.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The whole text, unique among all workers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A worker's incarnation at one of its queues: to whom a broker lends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Consumer {
    /// The worker.
    pub worker: Incarnation,
    /// The queue it claims from.
    pub queue: QueueName,
}

impl Consumer {
    /// `worker` at `queue`.
    #[must_use]
    pub fn new(worker: Incarnation, queue: QueueName) -> Self {
        Self { worker, queue }
    }
}

/// A message, lent to a worker.
#[non_exhaustive]
pub struct Delivery {
    /// The right to settle it.
    pub receipt: Receipt,
    /// The message, encoded.
    pub body: Bytes,
    /// How many deliveries of this stored copy have ended with their worker's death. A copy's
    /// earlier deaths, from before it was last stored, are counted in the message itself.
    pub crashes: u32,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receipt, body, crashes } = self;
        let body = Size(body.len());
        f.debug_struct("Delivery").field("receipt", receipt).field("body", &body).field("crashes", crashes).finish()
    }
}

impl Delivery {
    /// A delivery, as a broker makes it.
    #[must_use]
    pub fn new(receipt: Receipt, body: Bytes, crashes: u32) -> Self {
        Self { receipt, body, crashes }
    }
}

/// The right to settle one delivery, spent by settling.
///
/// What it holds is the broker's own address of the delivery, and means nothing to anyone else.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Receipt {
    rank: u8,
    number: u128,
}

impl Receipt {
    /// The receipt of what stands under `number`. Of two messages in a worker's hands, the one of the
    /// smaller `rank` starts first: a broker counts its priorities with it.
    #[must_use]
    pub const fn new(rank: u8, number: u128) -> Self {
        Self { rank, number }
    }

    /// The rank that it was made with.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        self.rank
    }

    /// The number that it was made with.
    #[must_use]
    pub const fn number(&self) -> u128 {
        self.number
    }
}

/// What a renewal found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The worker still holds what was lent to it, for one more lease.
    Held {
        /// Whether another worker of one of the queues seems to be dead: a hint that
        /// [`recover`](crate::Broker::recover) may find something.
        deaths: bool,
    },
    /// The worker was declared dead, and what it held is lent to others or will be.
    Lost,
}

/// How long a claim waits for a first message, and what ends the waiting early.
#[derive(Clone, Debug)]
pub struct Wait {
    limit: Duration,
    stop: CancellationToken,
}

impl Wait {
    /// Waits at most `limit`.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, stop: CancellationToken::new() }
    }

    /// Waits at most `limit`, and no longer than `stop` allows. Whoever ends this wait ends no other.
    pub(crate) fn until(limit: Duration, stop: &CancellationToken) -> Self {
        Self { limit, stop: stop.child_token() }
    }

    /// The longest that the claim waits.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Ends the waiting: a claim that waits returns soon, with what it has.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether the waiting was ended.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Completes once the waiting was ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_ended_leaves_the_worker_claiming_and_the_workers_stop_ends_all() {
        let halt = CancellationToken::new();
        let (one, other) = (Wait::until(Duration::MAX, &halt), Wait::until(Duration::MAX, &halt));
        one.stop();
        assert!(one.is_stopped() && !other.is_stopped() && !halt.is_cancelled());
        halt.cancel();
        assert!(other.is_stopped());
    }
}
