//! What a run knows of itself, and how it learns that it should end.

mod batch;
mod cancelled;
mod follow;
mod kept;
mod output;
mod progress;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use tokio::sync::Notify;

pub(crate) use self::batch::Batch;
pub use self::batch::BatchContext;
use self::cancelled::CancelledMessages;
pub(crate) use self::follow::After;
#[cfg(feature = "worker")]
pub(crate) use self::follow::Follow;
use self::follow::Gathered;
#[cfg(feature = "worker")]
pub(crate) use self::progress::KEPT;
pub(crate) use self::progress::Reports;
use crate::delivery::{Receipt, WorkerId};
use crate::headers::Headers;
use crate::{Broker, MessageId, QueueName, TraceParent};

/// What a run knows of itself: a parameter `cx: &Context` of an actor.
///
/// ```
/// use actor_core::{actor, Context};
///
/// #[actor(queue = "reports")]
/// async fn build_report(cx: &Context, pages: u32) {
///     for page in 0..pages {
///         if cx.cancellation().is_some() {
///             return; // The worker is stopping, or has lost its lease.
///         }
///         let _ = page;
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    run: RunInfo,
    states: Arc<States>,
    /// Ends this run with its worker's others.
    worker: Arc<Stop>,
    own: Signal,
    /// Where it is a run of several messages.
    batch: Option<Box<Batch>>,
    /// What follows if it counts.
    follow: Gathered,
}

#[derive(Debug)]
pub(crate) struct RunInfo {
    pub(crate) id: MessageId,
    pub(crate) actor: &'static str,
    pub(crate) queue: QueueName,
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) token: u64,
    pub(crate) trace: Option<TraceParent>,
    pub(crate) headers: Headers,
    /// The schedule that stored the message, and its tick.
    pub(crate) tick: Option<(Box<str>, SystemTime)>,
    /// Whether the message is tried again if this attempt fails.
    pub(crate) retries_left: bool,
    pub(crate) sent_at: SystemTime,
    /// When its time limit ends.
    pub(crate) deadline: Option<Instant>,
    /// By which its worker holds the message; `None` in a test's context.
    pub(crate) receipt: Option<Receipt>,
}

impl Context {
    pub(crate) fn new(run: RunInfo, states: Arc<States>, worker: Arc<Stop>) -> Self {
        Self(Arc::new(Inner { run, states, worker, own: Signal::default(), batch: None, follow: Gathered::default() }))
    }

    /// The messages of a batch, where the run is one: a [layer](crate::layer) surrounds it once. What this context
    /// says itself is then of the batch's first message, and its headers are those that all messages have.
    #[must_use]
    pub fn batch(&self) -> Option<BatchContext> {
        BatchContext::of(self)
    }

    /// The arguments of a batch, once.
    pub(crate) fn take_arguments(&self) -> Vec<crate::call::Item> {
        self.0.batch.as_ref().map(|batch| batch.take_arguments()).unwrap_or_default()
    }

    /// The message's identity, the same in every attempt.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.0.run.id
    }

    /// The actor's name.
    #[must_use]
    pub fn actor(&self) -> &'static str {
        self.0.run.actor
    }

    /// The queue that the message came from.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.0.run.queue
    }

    /// Which attempt this is: 1 for the first, one more for each attempt that failed.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.run.attempt
    }

    /// Whether the message becomes a dead letter if this attempt fails: its retries are spent.
    #[must_use]
    pub fn is_last_attempt(&self) -> bool {
        !self.0.run.retries_left
    }

    /// When the message was sent, by the broker's clock.
    #[must_use]
    pub fn sent_at(&self) -> SystemTime {
        self.0.run.sent_at
    }

    /// When this run reaches its time limit; `None` where it has none.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.run.deadline
    }

    /// A header of the message, as [`Message::header`](crate::Message::header) or a hook of
    /// [`on_send`](crate::on_send) set it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.run.headers.get(name)
    }

    /// All headers of the message, by name.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.run.headers.iter()
    }

    /// The tick that a schedule stored this message for, however late it runs; `None` for a message that was sent.
    #[must_use]
    pub fn scheduled_for(&self) -> Option<SystemTime> {
        self.0.run.tick.as_ref().map(|(_, at)| *at)
    }

    /// The name of the schedule that stored this message.
    #[must_use]
    pub fn schedule(&self) -> Option<&str> {
        self.0.run.tick.as_ref().map(|(name, _)| &**name)
    }

    /// How many deliveries of this message ended with their worker's death.
    #[must_use]
    pub fn crashes(&self) -> u32 {
        self.0.run.crashes
    }

    /// The fencing token: it grows with every delivery of this message, so that a store which
    /// refuses a smaller token than the last it saw refuses a worker that lost its lease.
    ///
    /// Tokens of different messages are not to be compared.
    /// The idea: M. Kleppmann, "How to do distributed locking" (2016).
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.0.run.token
    }

    /// The sender's trace context, where it had one.
    #[must_use]
    pub fn trace(&self) -> Option<TraceParent> {
        self.0.run.trace
    }

    /// The worker's state of type `T`, as given with `.state(..)`; `None` where none was given.
    ///
    /// A `#[state]` parameter is the better way: the worker then refuses to start without it.
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.states.get()
    }

    pub(crate) fn states(&self) -> &States {
        &self.0.states
    }

    /// Why this run should end; `None` while it should not.
    #[must_use]
    pub fn cancellation(&self) -> Option<Cancellation> {
        self.0.own.reason().or_else(|| self.requested()).or_else(|| self.0.worker.reason())
    }

    /// Completes once this run should end, and says why.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn cancelled(&self) -> Cancellation {
        tokio::select! {
            biased;
            reason = self.0.own.raised() => reason,
            () = self.0.worker.cancelled.until(self.queue(), self.id()) => Cancellation::Requested,
            reason = self.0.worker.asked.raised() => self.0.worker.reason().unwrap_or(reason),
        }
    }

    fn requested(&self) -> Option<Cancellation> {
        self.0.worker.cancelled.contains(self.queue(), self.id()).then_some(Cancellation::Requested)
    }

    /// Cancels this run, which is over its time limit.
    pub(crate) fn exceed_time_limit(&self) {
        self.0.own.raise(Cancellation::TimeLimit);
        for item in self.0.batch.iter().flat_map(|batch| batch.items()) {
            item.exceed_time_limit();
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.0.run).finish()
    }
}

/// Why a run should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancellation {
    /// It is over its time limit. An async actor is dropped at once; a sync one learns it here.
    TimeLimit,
    /// Its message was [cancelled](crate::Sent::cancel). The run goes on until it ends by itself: with a success the
    /// message is done, and however else it ends, it is neither retried nor dead-lettered.
    Requested,
    /// The worker is stopping. It waits for its shutdown timeout, then drops async runs and gives
    /// their messages back, with nothing counted.
    Shutdown,
    /// The worker's lease is lost: the message is, or will be, delivered to another worker. An async
    /// actor is dropped at once; whatever a sync one does from here on may be done twice.
    LeaseLost,
}

/// What the runs of one worker's session share: where they belong, and what ends them in two steps, the signal that
/// actors can read and the order to drop what still runs.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// `None` for a context that a test made without a worker.
    home: Option<Home>,
    asked: Signal,
    ordered: Signal,
    /// The messages whose runs should end, each alone.
    pub(crate) cancelled: CancelledMessages,
    /// What they have said of their progress.
    pub(crate) reports: Reports,
}

/// The broker that a worker's messages came from, and the worker's session.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) worker: WorkerId,
}

impl Stop {
    pub(crate) fn of(broker: Arc<dyn Broker>, worker: WorkerId) -> Self {
        Self { home: Some(Home { broker, worker }), ..Self::default() }
    }

    /// The worker's broker.
    pub(crate) fn broker(&self) -> Option<&dyn Broker> {
        self.home.as_ref().map(|home| &*home.broker)
    }

    pub(crate) fn signal(&self, reason: Cancellation) {
        self.asked.raise(reason);
    }

    /// Has every run that can be dropped dropped.
    pub(crate) fn abort(&self, reason: Cancellation) {
        self.ordered.raise(reason);
        self.asked.raise(reason);
    }

    /// Why runs should end; `None` while they should not.
    pub(crate) fn reason(&self) -> Option<Cancellation> {
        self.ordered.reason().or_else(|| self.asked.reason())
    }

    /// Completes once runs are to be dropped, and says why.
    pub(crate) async fn aborted(&self) -> Cancellation {
        self.ordered.raised().await
    }
}

/// A reason to end, once there is one. The first stays.
#[derive(Debug, Default)]
struct Signal {
    reason: OnceLock<Cancellation>,
    // A run registers here only once its actor asks, since most runs are over before they are cancelled.
    changed: Notify,
}

impl Signal {
    fn raise(&self, reason: Cancellation) {
        let _ = self.reason.set(reason);
        self.changed.notify_waiters();
    }

    fn reason(&self) -> Option<Cancellation> {
        self.reason.get().copied()
    }

    async fn raised(&self) -> Cancellation {
        // Made before the reason is read, so that no change is missed.
        let changed = self.changed.notified();
        if let Some(reason) = self.reason() {
            return reason;
        }
        changed.await;
        self.reason().expect("the reason is set before anyone is woken")
    }
}

/// What the worker was given with `.state(..)`, by type.
#[derive(Default)]
pub(crate) struct States {
    /// With the name of its type.
    by_type: HashMap<TypeId, (&'static str, Box<dyn Any + Send + Sync>)>,
    given_twice: Vec<&'static str>,
}

impl States {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, state: T) {
        let name = std::any::type_name::<T>();
        if self.by_type.insert(TypeId::of::<T>(), (name, Box::new(state))).is_some() {
            self.given_twice.push(name);
        }
    }

    pub(crate) fn given_twice(&self) -> impl Iterator<Item = &'static str> {
        self.given_twice.iter().copied()
    }

    pub(crate) fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.by_type.get(&TypeId::of::<T>())?.1.downcast_ref()
    }

    /// Names a state that is missing, and says what to do. An `Arc<Pool>` was probably meant as a `Pool`.
    pub(crate) fn missing(&self, wanted: &str) -> String {
        let wraps = |outer: &str, inner: &str| outer.ends_with(&format!("<{inner}>"));
        let mut names = self.by_type.values().map(|(name, _)| *name);
        match names.find(|given| wraps(given, wanted) || wraps(wanted, given)) {
            Some(given) => format!(
                "the state `{wanted}`, but `{given}` was given: give a `{wanted}` with `.state(..)`, or write \
                 `#[state] name: &{given}`"
            ),
            None => format!("the state `{wanted}`: give it with `.state(..)`"),
        }
    }

    pub(crate) fn has(&self, id: TypeId) -> bool {
        self.by_type.contains_key(&id)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states", self.by_type.len())
    }
}
