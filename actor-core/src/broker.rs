//! The seam between the library and a storage: messages go in, are in flight, and come back settled.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use crate::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use crate::limiter::Limiters;
use crate::outbox::Outboxes;
use crate::results::Results;
use crate::schedule::Schedules;
use crate::settlement::{Settled, Settlement};
use crate::size::debug_by_size;
use crate::state::States;
use crate::{BrokerError, Control, Durability, Idempotency, Lane, MessageId, Priority, QueueName, Unique};

/// A storage of messages that delivers them to workers.
///
/// Everything is batched, so that a storage can be fast, and nothing here knows an actor, an
/// outcome or a retry policy: a broker sees bytes, an id, a priority and a time.
///
/// Whoever writes a broker runs `actor_core::testing::conformance` on it. What it must guarantee:
///
/// - A message that was taken ([`enqueue`](Self::enqueue) answered `Ok`) is in exactly one state,
///   ready, in flight, scheduled or dead, until a settlement ends it.
/// - A message is delivered to one worker at a time. It is delivered again only once that worker's lease has
///   ended, or the worker released it.
/// - One clock decides what is due and which lease has ended: the storage's. Callers only pass
///   durations, and read that clock by [`now`](Self::now).
///
/// # Cancel safety
///
/// `enqueue`, `register`, `renew`, `stopping`, `settle` and `deregister` may or may not have happened when their
/// future is dropped. The futures of [`claim`](Self::claim), [`recover`](Self::recover) and
/// [`unpark`](Self::unpark) must be driven to their end, since they may hold deliveries; [`Wait::stop`] ends a
/// claim early. A worker drops them only at its end, where they have not come back a second after it stopped: what
/// they may still deliver is then held by a worker without a lease, and recovered by others.
#[async_trait]
pub trait Broker: fmt::Debug + Send + Sync + 'static {
    /// Stores messages, each ready now or scheduled. The answers stand in the messages' order.
    ///
    /// A message is never stored twice by one call: what may have been stored is not sent again.
    ///
    /// A message with a [unique key](Enqueue::unique) holds it from the step that stores it. Of messages of one key that
    /// are sent at once, one is stored. It holds the key wherever it is (ready, in flight, scheduled, parked, waiting in
    /// a lane, with another worker) to its end, which gives it up in the same step: when it is settled as done,
    /// dead-lettered, deleted, or [begins](Self::begin). No time limit and no other message's settlement frees it.
    ///
    /// # Errors
    ///
    /// For each message: [`BrokerError::is_unknown`] says whether it may have been stored all the same, and
    /// [`BrokerError::is_stored`] that it was, with less than its [durability](Enqueue::durability) in time. Every
    /// other error means that it was not. A durability that the broker does not know or cannot have is refused, with
    /// nothing stored.
    async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>>;

    /// Begins a worker's lease on these queues. A worker id is registered once.
    ///
    /// # Errors
    ///
    /// The storage could not be reached or refused. The same call may be tried again.
    async fn register(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError>;

    /// Prolongs a worker's lease on these queues to `lease` from now, also where it has run out
    /// without anybody having noticed: only a worker that was declared dead has lost it.
    ///
    /// Called from a thread and a runtime of its own.
    ///
    /// # Errors
    ///
    /// The storage could not be reached. Nothing is known of the lease then.
    async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError>;

    /// Notes that a worker has begun to stop. It still holds its lease and what is in flight with it. If it
    /// dies now, its death is the platform's, not a message's: whoever recovers what it held counts an
    /// [interruption](Delivery::interruptions) in place of a crash. The same goes for what is still in flight
    /// with a worker that was [deregistered](Self::deregister).
    ///
    /// # Errors
    ///
    /// The storage could not be reached. The same call may be tried again.
    async fn stopping(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError>;

    /// Delivers up to `max` messages of a queue that are ready or due, the higher priority first, and
    /// within one priority in the order they became ready. What was released, or came to a claim beyond its `max` and
    /// was put back, goes before the others of its priority, in no order among itself. With none there it waits as
    /// `wait` says.
    ///
    /// What is in a [lane](Enqueue::lane) is delivered only within the [limits](Consumer::limits) of its queue and key.
    /// Its slots are its own from then until it is settled, whoever holds it, but for what is
    /// [released](crate::settlement::Outcome::Release): that keeps them.
    ///
    /// It may return fewer than there are, where their bodies come to 256 KiB or more, and none at any time. A
    /// paused queue delivers nothing.
    ///
    /// # Errors
    ///
    /// The storage could not be reached. What an answer that never arrived had delivered is returned by
    /// a later claim of the same consumer.
    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError>;

    /// Delivers to `consumer` up to `max` messages of the queue that a dead worker held, the oldest
    /// first. Their [`crashes`](Delivery::crashes) have grown by one. What is known to have been held by
    /// another dead worker before is delivered after the others, and alone: its next crash may dead-letter it, and it must
    /// not be blamed for what runs beside it.
    ///
    /// A worker is dead when its lease ended more than `grace` ago, or when messages are delivered to it and it
    /// has none. The grace is for the time in which the storage was away, and nobody could renew.
    /// It is declared dead in the same step: its next `renew` answers [not held](Renewal::held). To a consumer
    /// whose own lease has ended nothing is in flight, so that no worker is delivered the same delivery twice.
    ///
    /// # Errors
    ///
    /// The storage could not be reached. What an answer that never arrived had delivered is returned by
    /// a later claim of the same consumer.
    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError>;

    /// Delivers up to `max` messages of the queue that were [parked](crate::settlement::Outcome::Park) until somebody comes
    /// who has one of `abilities`, those parked under the first of them first, and of one the oldest first.
    /// In place of some it may deliver others that are ready and go before them. A paused queue delivers nothing.
    ///
    /// # Errors
    ///
    /// The storage could not be reached. What an answer that never arrived had delivered is returned by
    /// a later claim of the same consumer.
    async fn unpark(&self, consumer: &Consumer, abilities: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError>;

    /// Notes that the runs of these deliveries begin: each gives up its [unique key](Enqueue::unique). The answers stand
    /// in the receipts' order: [stale](Settled::Stale) where the delivery is not this consumer's any more. It is
    /// asked for messages that hold their key [until they have started](crate::Until::Started), in each attempt.
    ///
    /// # Errors
    ///
    /// For each receipt: it may or may not have happened, and may be tried again, unchanged.
    async fn begin(&self, consumer: &Consumer, receipts: &[Receipt]) -> Vec<Result<Settled, BrokerError>>;

    /// Ends deliveries, each with everything that follows from it, in one step each. The answers
    /// stand in the settlements' order.
    ///
    /// [`Outcome::Done`](crate::settlement::Outcome::Done) applies while the message is delivered to anyone: the
    /// work is done, whoever did it. Every other outcome applies only while it is delivered to this consumer.
    /// Settling twice changes nothing.
    ///
    /// # Errors
    ///
    /// For each settlement: it may or may not have happened, and may be tried again, unchanged.
    async fn settle(
        &self,
        consumer: &Consumer,
        settlements: &[(Receipt, Settlement)],
    ) -> Vec<Result<Settled, BrokerError>>;

    /// Ends a worker's lease in good order. What it still holds is recovered at once by others.
    ///
    /// # Errors
    ///
    /// The storage could not be reached. The lease then ends by itself.
    async fn deregister(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError>;

    /// What cancels, deletes and reschedules messages; `None` for a broker that cannot. Default: `None`.
    fn control(&self) -> Option<&dyn Control> {
        None
    }

    /// The storage's clock, as well as it is known here without asking.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    /// The same storage as one that keeps [schedules](crate::schedule); `None` where it keeps none. A worker whose
    /// actors declare some then refuses to start.
    fn schedules(&self) -> Option<&dyn Schedules> {
        None
    }

    /// The same storage as one whose messages to other queues wait in outboxes first; `None` where what follows from a
    /// settlement is stored in the same step, in whatever queue. A broker that wraps another has to hand this on, or what
    /// is noted there is relayed by nobody. Default: `None`.
    fn outboxes(&self) -> Option<&dyn Outboxes> {
        None
    }

    /// What keeps [limiters](crate::limiter) in the same storage, the same for all clones of this broker; `None` where
    /// nothing does. A permit outlives the call that acquired it, so it is shared. Default: `None`.
    fn limiters(&self) -> Option<Arc<dyn Limiters>> {
        None
    }

    /// The same storage as one that keeps more of messages beside them; `None` where it keeps nothing. Default: `None`.
    fn states(&self) -> Option<&dyn States> {
        None
    }

    /// The same storage as one that keeps how messages ended; `None` where it keeps nothing, and refuses settlements that say
    /// so. Default: `None`.
    fn results(&self) -> Option<&dyn Results> {
        None
    }

    /// The largest message that is taken, in bytes of its whole JSON. Default: 1 MiB.
    fn max_message_bytes(&self) -> usize {
        1 << 20
    }
}

/// What became of a message to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Enqueued {
    /// It was stored.
    Stored,
    /// It was not stored, since the message of this id stands for it. Where that is its own id, an earlier request
    /// with its [idempotency key](Enqueue::idempotency) stored it.
    Existing(MessageId),
    /// It was stored in place of the message of this id, which waited and never runs.
    Replaced(MessageId),
}

/// One message to store, as a broker sees it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Enqueue {
    /// The message's identity.
    pub id: MessageId,
    /// Which of the queue's messages goes first.
    pub priority: Priority,
    /// The message, encoded as `docs/wire-format.md` says.
    pub body: Bytes,
    /// From now to when the message becomes ready; zero for at once.
    pub delay: Duration,
    /// What to wait for before the answer is `Ok`; `None` for what the broker does by default.
    pub durability: Option<Durability>,
    /// Where it waits for the limits of its queue, and again after each retry; `None` where the queue has none.
    pub lane: Option<Lane>,
    /// The key that it holds, so that no other message does; `None` for what has no such key.
    pub unique: Option<Box<Unique>>,
    /// The key that makes sending it safe to repeat; `None` for what has no such key.
    pub idempotency: Option<Box<Idempotency>>,
}

debug_by_size!(Enqueue { body, id, priority, delay, durability, lane, unique, idempotency });

impl Enqueue {
    /// A message that is ready at once.
    #[must_use]
    pub fn new(id: MessageId, priority: Priority, body: Bytes) -> Self {
        let (durability, lane, unique, idempotency) = (None, None, None, None);
        Self { id, priority, body, delay: Duration::ZERO, durability, lane, unique, idempotency }
    }

    /// Whether it is ready at once, in no lane, and without a key.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.delay.is_zero() && self.lane.is_none() && self.unique.is_none() && self.idempotency.is_none()
    }

    /// The same message, ready after `delay`.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same message, answered `Ok` only once it is as durable as this.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability: Some(durability), ..self }
    }

    /// The same message, in this lane of its queue.
    #[must_use]
    pub fn lane(self, lane: Lane) -> Self {
        Self { lane: Some(lane), ..self }
    }

    /// The same message, holding this key.
    #[must_use]
    pub fn unique(self, unique: Unique) -> Self {
        Self { unique: Some(Box::new(unique)), ..self }
    }

    /// The same message, stored at most once with this key.
    #[must_use]
    pub fn idempotent(self, idempotency: Idempotency) -> Self {
        Self { idempotency: Some(Box::new(idempotency)), ..self }
    }
}
