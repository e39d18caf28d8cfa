//! A worker's settings, each with its default and the reason for it.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use super::error::{Problem, WorkerError};
use super::signal::{Signals, stop_requested, stop_requested_again};
use crate::actor::{Implementation, ImplementationDef};
use crate::context::States;
use crate::layer::{Layer, Layers};
use crate::{Broker, QueueName};

/// Slots for each queue. Most actors wait for others' answers, so there are many more than cores.
const CONCURRENCY: usize = 64;

/// A dead worker's messages run elsewhere within a lease, a heartbeat (a third of it) and a moment:
/// with this, within 10 s. Much shorter would take a busy machine's pauses for deaths.
const LEASE: Duration = Duration::from_secs(6);

/// Kubernetes and Heroku kill a process 30 s after they asked it to stop. What is dropped before can still be
/// released, and the lease be ended, in the rest.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);

/// One death is often a deploy or the machine's, two may be chance.
const MAX_CRASHES: u32 = 3;

/// A deploy takes minutes, and one that was forgotten is found the next working day.
pub(crate) const PARK_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// A worker, about to run. See [`Worker::builder`](super::Worker::builder).
#[derive(Debug)]
#[must_use = "a worker does nothing until it runs"]
pub struct WorkerBuilder {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) states: States,
    pub(super) layers: Layers,
    pub(super) registered: Vec<&'static ImplementationDef>,
    pub(super) queues: Option<BTreeSet<QueueName>>,
    pub(super) also_served: BTreeSet<QueueName>,
    pub(super) concurrency: usize,
    pub(super) queue_concurrency: HashMap<QueueName, usize>,
    pub(super) total_concurrency: Option<usize>,
    pub(super) name: String,
    pub(super) lease: Duration,
    pub(super) shutdown_timeout: Duration,
    pub(super) max_crashes: u32,
    pub(super) park_timeout: Duration,
    signals: Option<Signals>,
    /// Names that are none: the worker refuses to start with them.
    pub(super) problems: Vec<Problem>,
}

impl WorkerBuilder {
    pub(super) fn new(broker: impl Broker) -> Self {
        Self {
            broker: Arc::new(broker),
            states: States::default(),
            layers: Layers::default(),
            registered: Vec::new(),
            queues: None,
            also_served: BTreeSet::new(),
            concurrency: CONCURRENCY,
            queue_concurrency: HashMap::new(),
            total_concurrency: None,
            name: format!("worker-{}", std::process::id()),
            lease: LEASE,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            max_crashes: MAX_CRASHES,
            park_timeout: PARK_TIMEOUT,
            signals: None,
            problems: Vec::new(),
        }
    }

    /// Gives the actors a shared state: what a `#[state]` parameter of this type receives. There is
    /// one of each type: wrap two of the same type in types of their own.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// Surrounds every run with middleware: see [`layer`](crate::layer). The first that is added is the
    /// outermost. Default: none.
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds an implementation by name, for platforms whose linker drops the registry. One that is
    /// linked already is not added twice.
    pub fn register<I: Implementation>(mut self) -> Self {
        self.registered.push(I::IMPLEMENTATION);
        self
    }

    /// Serves only these queues, and what [`also_serve`](Self::also_serve) names. Default: every queue of
    /// the actors that are implemented here.
    ///
    /// The worker refuses to start with what is no name, and with a queue of which no actor is implemented here.
    ///
    /// ```
    /// use actor_core::{MemoryBroker, Worker};
    ///
    /// let worker = Worker::builder(MemoryBroker::new()).queues(["mail", "reports"]);
    /// # drop(worker);
    /// ```
    pub fn queues<N: TryInto<QueueName, Error: Display>>(mut self, queues: impl IntoIterator<Item = N>) -> Self {
        self.queues = Some(queues.into_iter().filter_map(|queue| self.queue_name(queue)).collect());
        self
    }

    /// Also serves this queue, for which no actor here need be declared: where an actor was moved to another
    /// queue, messages that were sent before wait in its former one.
    ///
    /// The worker runs whatever waits there by its actor's name, and retries it there. Remove this once nobody
    /// sends to that queue any more, and all its [counts](crate::Inspect::counts) but the dead letters are 0; a dead
    /// letter that is replayed waits there again. No declaration vouches for the name: a mistyped one is that of
    /// a queue which is always empty.
    ///
    /// ```
    /// use actor_core::{MemoryBroker, Worker, actor};
    ///
    /// // Was: #[actor(queue = "default")]
    /// #[actor(queue = "mail")]
    /// async fn welcome(address: String) {
    ///     println!("welcome, {address}");
    /// }
    ///
    /// let worker = Worker::builder(MemoryBroker::new()).also_serve("default");
    /// # drop(worker);
    /// ```
    pub fn also_serve(mut self, queue: impl TryInto<QueueName, Error: Display>) -> Self {
        let queue = self.queue_name(queue);
        self.also_served.extend(queue);
        self
    }

    /// Runs at most this many messages of each queue at once. Default: 64. The worker refuses to start with 0.
    pub fn concurrency(mut self, slots: usize) -> Self {
        self.concurrency = slots;
        self
    }

    /// Runs at most this many messages of one queue at once, where that queue is served. Default: as
    /// [`concurrency`](Self::concurrency).
    pub fn queue_concurrency(mut self, queue: impl TryInto<QueueName, Error: Display>, slots: usize) -> Self {
        let queue = self.queue_name(queue);
        self.queue_concurrency.extend(queue.map(|queue| (queue, slots)));
        self
    }

    /// Runs at most this many messages at once over all queues of this worker, each within its own
    /// [`concurrency`](Self::concurrency). Default: no such bound.
    ///
    /// Where all slots are taken, the queues that have something are served in turns.
    pub fn total_concurrency(mut self, slots: usize) -> Self {
        self.total_concurrency = Some(slots);
        self
    }

    /// The name that screens show. Several workers may have the same. Default: `worker-` and the
    /// process id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// How long the broker believes this worker alive without a heartbeat. Default: 6 s, with a
    /// heartbeat every 2 s, so that a dead worker's messages run elsewhere within 10 s.
    ///
    /// From 100 ms to a day. It does not limit how long an actor may run.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a stopping worker waits for runs, before it drops them and releases their messages.
    /// Default: 25 s.
    ///
    /// The platform must kill the process a few seconds later than this, or what was to be released counts
    /// as a crash. The default suits platforms that kill after 30 s, as Kubernetes
    /// (`terminationGracePeriodSeconds`) and Heroku do. Docker kills after 10 s: set 7 s, or raise its
    /// `stop_grace_period`.
    ///
    /// A thread cannot be dropped: a sync actor's message is released while the actor still runs. It runs on until
    /// the process ends, and keeps neither the worker nor the runtime from ending.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// A message whose worker died this often becomes a dead letter. Default: 3.
    pub fn max_crashes(mut self, crashes: u32) -> Self {
        self.max_crashes = crashes.max(1);
        self
    }

    /// How long a message that this worker cannot run waits for one that can, from when a worker first had it. Then it
    /// becomes a dead letter. Default: a day. [`Duration::MAX`] is for ever.
    ///
    /// It cannot run here because no actor of its name is implemented here with all its states, or because its sender
    /// declares the actor with other arguments. A worker that can run it does so soon after it starts. The time does
    /// not bound a message of a newer version of the wire format, which is not changed in any way.
    pub fn park_timeout(mut self, timeout: Duration) -> Self {
        self.park_timeout = timeout;
        self
    }

    /// Has [`run`](Self::run) heed signals that came since [`Signals::listen`]. Default: those that come once
    /// it runs.
    ///
    /// A container's first process needs this: a signal that comes while it connects is lost otherwise.
    pub fn signals(mut self, signals: Signals) -> Self {
        self.signals = Some(signals);
        self
    }

    /// Works until SIGTERM or SIGINT (Ctrl-C elsewhere), then stops in good order. A second signal, a second
    /// or more after the first, ends the wait for runs, as the shutdown timeout does.
    ///
    /// # Errors
    ///
    /// As [`run_until`](Self::run_until).
    ///
    /// # Cancel safety
    ///
    /// As [`run_until`](Self::run_until).
    pub async fn run(mut self) -> Result<(), WorkerError> {
        let signals = self.signals.take().map_or_else(Signals::listen, Ok);
        Engine::new(self)?.run(stop_requested(signals), stop_requested_again()).await
    }

    /// Works until `shutdown` completes, then stops in good order: claims no more, releases what
    /// has not started, waits for runs, and returns when the last delivery is settled.
    ///
    /// # Errors
    ///
    /// Something is missing or wrong in the program ([`WorkerError::is_misconfigured`]): the worker checks it
    /// before it claims anything. Or the broker refused the worker. A broker that is away is no error: the worker
    /// keeps trying.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a worker's death: what it held is run by others once its lease ended.
    /// Let `shutdown` complete instead.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
        Engine::new(self)?.run(shutdown, std::future::pending()).await
    }

    fn queue_name<N: TryInto<QueueName, Error: Display>>(&mut self, name: N) -> Option<QueueName> {
        name.try_into().map_err(|error| self.problems.push(Problem::QueueName(error.to_string()))).ok()
    }
}
