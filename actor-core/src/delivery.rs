//! What passes between a broker and a worker: who claims, what is in flight, and the right to settle it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::size::debug_by_size;
use crate::{Limits, MessageId, QueueName};

/// One session of a worker process: its name, and an id that no other session has.
///
/// A worker that starts again, or that lost its lease, is a new worker id, so that nothing it
/// left behind is mistaken for what it holds now.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    /// A new session under `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(format!("{name}:{}", Uuid::now_v7().simple()).into())
    }

    /// The session that a listing names.
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

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A worker's worker id at one of its queues: to whom a broker delivers.
///
/// Two are equal if the worker and the queue are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Consumer {
    /// The worker.
    pub worker: WorkerId,
    /// The queue it claims from.
    pub queue: QueueName,
    /// What the worker's program declares of the queue. The storage keeps what was declared last.
    pub limits: Limits,
}

impl Consumer {
    /// `worker` at `queue`.
    #[must_use]
    pub fn new(worker: WorkerId, queue: QueueName) -> Self {
        Self { worker, queue, limits: Limits::default() }
    }

    /// The same, where the queue is declared with these limits.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}

impl PartialEq for Consumer {
    fn eq(&self, other: &Self) -> bool {
        self.worker == other.worker && self.queue == other.queue
    }
}

impl Eq for Consumer {}

impl Hash for Consumer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.worker, &self.queue).hash(state);
    }
}

/// A message, delivered to a worker.
#[non_exhaustive]
pub struct Delivery {
    /// The right to settle it.
    pub receipt: Receipt,
    /// The message, encoded.
    pub body: Bytes,
    /// Of the messages that a worker holds, one of a smaller rank starts first. Default: 0.
    pub rank: u8,
    /// How many deliveries of this stored copy have ended with their worker's death. A copy's
    /// earlier deaths, from before it was last stored, are counted in the message itself.
    pub crashes: u32,
    /// How many deliveries of this stored copy ended with a worker that had begun to stop: nothing is
    /// counted against the message for these, and the fencing token grows with them all the same.
    pub interruptions: u32,
    /// Whether the message was cancelled before this delivery: it must not run. Default: it was not.
    pub cancelled: bool,
}

debug_by_size!(Delivery { body, receipt, rank, crashes, interruptions, cancelled });

impl Delivery {
    /// A first delivery of a copy.
    #[must_use]
    pub fn new(receipt: Receipt, body: Bytes) -> Self {
        Self { receipt, body, rank: 0, crashes: 0, interruptions: 0, cancelled: false }
    }

    /// The same delivery with this rank.
    #[must_use]
    pub fn ranked(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    /// The same, where so many deliveries of the copy ended with their worker's death, and so many with a
    /// worker that had begun to stop.
    #[must_use]
    pub fn recovered(self, crashes: u32, interruptions: u32) -> Self {
        Self { crashes, interruptions, ..self }
    }

    /// The same, of a message that was [cancelled](crate::Control::cancel) or not.
    #[must_use]
    pub fn cancelled(self, cancelled: bool) -> Self {
        Self { cancelled, ..self }
    }
}

/// The right to settle one delivery, once.
///
/// It holds the broker's own name of the delivery, which means nothing to anyone else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Receipt(Bytes);

impl Receipt {
    /// The receipt of the delivery that the broker names so.
    #[must_use]
    pub fn new(name: impl Into<Bytes>) -> Self {
        Self(name.into())
    }

    /// The name that it was made with.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receipt({})", self.0.escape_ascii())
    }
}

/// What a renewal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Renewal {
    /// Whether the lease is held, for one more lease. If not, the worker was declared dead, and what it
    /// held is in flight elsewhere or will be.
    pub held: bool,
    /// Whether another worker of one of the queues seems to be dead: a hint that
    /// [`recover`](crate::Broker::recover) may find something.
    pub deaths: bool,
    /// The queues in which messages are parked: a hint that [`unpark`](crate::Broker::unpark) may find
    /// something there.
    pub parked: Vec<QueueName>,
    /// The queues whose storage had lost the lease, and made it again, or its last renewal: it was emptied, started again
    /// without its data, or went on with older data, as a replica that was promoted. What this worker holds of them may be
    /// stored nowhere, and the leases of others may be older than they were.
    pub forgotten: Vec<QueueName>,
    /// The queues whose lease could not be prolonged now, because the storage that has them is away while that of
    /// others is not. Nothing else here speaks of them.
    pub unanswered: Vec<QueueName>,
    /// How long the other queues' storage took to answer, where some did not: they were waited for, and that is no
    /// absence of the others'.
    pub took: Option<Duration>,
    /// Messages that were [cancelled](crate::Control::cancel) while they were in flight: those that may be in flight
    /// with this worker, others perhaps too. A message may be named by several renewals.
    pub cancelled: Vec<(QueueName, Vec<MessageId>)>,
}

impl Renewal {
    /// The lease is held, and there is nothing else to say.
    #[must_use]
    pub fn held() -> Self {
        Self { held: true, ..Self::default() }
    }

    /// The worker was declared dead.
    #[must_use]
    pub fn lost() -> Self {
        Self::default()
    }
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
