//! A worker's settings, each with its default and the reason for it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ability;
use super::error::{Problem, WorkerError};
use super::executor::Executor;
use super::guard::Guarded;
use super::outage::{Backoff, Outage};
use super::panic::{self, shielded};
use super::plan::{Plan, Selection};
use super::queue_session::ServedQueue;
use super::repeats::Repeats;
use super::session::{End, Engine, Session};
use super::signal::{Signals, stop_requested, stop_requested_again};
use super::slots::Slots;
use super::suspects::Suspects;
use super::threads::Threads;
use crate::actor::{Implementation, ImplementationDef};
use crate::context::States;
use crate::{Broker, QueueName};

/// Slots for each queue. Most actors wait for others' answers, so there are many more than cores.
const CONCURRENCY: usize = 64;

/// A dead worker's messages run elsewhere within a lease, a heartbeat (a third of it) and a moment:
/// with this, within 10 s. Much shorter would take a busy machine's pauses for deaths.
const LEASE: Duration = Duration::from_secs(6);

/// Below this, a scheduler's ordinary pause ends a lease.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// Above this, what a dead worker held waits longer than anybody would want to.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// Kubernetes and Heroku kill a process 30 s after they asked it to stop. What is dropped before can still be
/// released, and the lease be ended, in the rest.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);

/// One death is often a deploy or the machine's, two may be chance.
const MAX_CRASHES: u32 = 3;

/// A worker, about to run. See [`Worker::builder`](super::Worker::builder).
#[must_use = "a worker does nothing until it runs"]
pub struct Builder {
    broker: Arc<dyn Broker>,
    states: States,
    registered: Vec<&'static ImplementationDef>,
    queues: Option<BTreeSet<QueueName>>,
    also_served: BTreeSet<QueueName>,
    concurrency: usize,
    queue_concurrency: HashMap<QueueName, usize>,
    total_concurrency: Option<usize>,
    name: String,
    lease: Duration,
    shutdown_timeout: Duration,
    max_crashes: u32,
    signals: Option<Signals>,
}

impl Builder {
    pub(super) fn new(broker: impl Broker) -> Self {
        Self {
            broker: Arc::new(broker),
            states: States::default(),
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
            signals: None,
        }
    }

    /// Gives the actors a shared state: what a `#[state]` parameter of this type receives. There is
    /// one of each type: wrap two of the same type in types of their own.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
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
    /// ```
    /// use actor_core::{Actor, MemoryBroker, QueueName, Worker, actor};
    ///
    /// #[actor(queue = "mail")]
    /// async fn welcome(address: String) {
    ///     println!("welcome, {address}");
    /// }
    ///
    /// # fn main() -> Result<(), actor_core::NameError> {
    /// let queues = [welcome::DEF.queue_name(), QueueName::new("reports")?];
    /// let worker = Worker::builder(MemoryBroker::new()).queues(queues);
    /// # drop(worker);
    /// # Ok(())
    /// # }
    /// ```
    pub fn queues(mut self, queues: impl IntoIterator<Item = QueueName>) -> Self {
        self.queues = Some(queues.into_iter().collect());
        self
    }

    /// Serves this queue too, though no actor here need be declared with it: where an actor was moved to
    /// another queue, what was sent before waits in its former one.
    ///
    /// Whatever waits there is run by its actor's name, and tried again there. Leave this away once nobody
    /// sends to that queue any more, and all its [counts](crate::Inspect::counts) but the dead letters are 0; one
    /// that is replayed waits there again. No declaration vouches for a name given here: one with a
    /// mistake is that of a queue which is always empty.
    ///
    /// ```
    /// use actor_core::{MemoryBroker, QueueName, Worker, actor};
    ///
    /// // Was: #[actor(queue = "default")]
    /// #[actor(queue = "mail")]
    /// async fn welcome(address: String) {
    ///     println!("welcome, {address}");
    /// }
    ///
    /// # fn main() -> Result<(), actor_core::NameError> {
    /// let worker = Worker::builder(MemoryBroker::new()).also_serve(QueueName::new("default")?);
    /// # drop(worker);
    /// # Ok(())
    /// # }
    /// ```
    pub fn also_serve(mut self, queue: QueueName) -> Self {
        self.also_served.insert(queue);
        self
    }

    /// Runs at most this many messages of each queue at once. Default: 64.
    pub fn concurrency(mut self, slots: NonZeroUsize) -> Self {
        self.concurrency = slots.get();
        self
    }

    /// Runs at most this many messages of one queue at once, where that queue is served. Default: as
    /// [`concurrency`](Self::concurrency).
    pub fn queue_concurrency(mut self, queue: QueueName, slots: NonZeroUsize) -> Self {
        self.queue_concurrency.insert(queue, slots.get());
        self
    }

    /// Runs at most this many messages at once over all queues of this worker, each within its own
    /// [`concurrency`](Self::concurrency). Default: no such bound.
    ///
    /// Where all slots are taken, the queues that have something are served in turns.
    pub fn total_concurrency(mut self, slots: NonZeroUsize) -> Self {
        self.total_concurrency = Some(slots.get());
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

    /// How long a stopping worker waits for what runs, before it drops it and releases it.
    /// Default: 25 s.
    ///
    /// The process needs a few seconds more than this before it is killed, or what was to be released counts
    /// as a crash. The default is for platforms that kill after 30 s, as Kubernetes
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

    /// Has [`run`](Self::run) heed signals that came since [`Signals::listen`]. Default: those that come once
    /// it runs.
    ///
    /// A container's first process is best told so: what comes while it connects is lost otherwise.
    pub fn signals(mut self, signals: Signals) -> Self {
        self.signals = Some(signals);
        self
    }

    /// Works until SIGTERM or SIGINT (Ctrl-C elsewhere), then stops in good order. A second signal, a second
    /// or more after the first, ends its waiting for what runs, as the shutdown timeout does.
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
        self.work(stop_requested(signals), stop_requested_again()).await
    }

    /// Works until `shutdown` completes, then stops in good order: claims no more, releases what
    /// has not started, waits for what runs, and returns when the last delivery is settled.
    ///
    /// # Errors
    ///
    /// Something is missing or wrong in the program ([`WorkerError::is_misconfigured`]), which is told
    /// before anything is claimed; or the broker refused the worker. A broker that is away is no
    /// error: the worker keeps trying.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is a worker's death: what it held is run by others once its lease ended.
    /// Let `shutdown` complete instead.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
        self.work(shutdown, std::future::pending()).await
    }

    async fn work(
        self,
        shutdown: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) -> Result<(), WorkerError> {
        let engine = self.engine()?;
        let mut shutdown = std::pin::pin!(shutdown);
        let mut session = Session::begin(&engine).map_err(WorkerError::heartbeat)?;
        loop {
            match session.work(&engine, &mut shutdown).await {
                End::Asked => {
                    tracing::info!("worker stopping");
                    session.stop(&engine, hurry).await;
                    tracing::info!("worker stopped");
                    return Ok(());
                }
                End::Lost => {
                    session.abandon(&engine).await;
                    match again(&engine, &mut shutdown).await {
                        Some(next) => session = next,
                        None => {
                            tracing::info!("worker stopping");
                            engine.stop(hurry).await;
                            tracing::info!("worker stopped");
                            return Ok(());
                        }
                    }
                }
                End::Refused(error) => return Err(WorkerError::refused(error)),
            }
        }
    }

    fn engine(self) -> Result<Engine, WorkerError> {
        let mut problems = Vec::new();
        if self.lease < SHORTEST_LEASE {
            problems.push(Problem::Setting("the lease is shorter than 100 ms"));
        }
        if self.lease > LONGEST_LEASE {
            problems.push(Problem::Setting("the lease is longer than a day"));
        }
        let named = self.queue_concurrency.keys().cloned().collect();
        let (only, former) = (self.queues.as_ref(), &self.also_served);
        let selection = Selection { only, former, named: &named, states: &self.states };
        let plan = Plan::make(&self.registered, &selection, problems)?;
        panic::note_places();
        panic::warn_of_abort();
        let slots = |queue: &QueueName| self.queue_concurrency.get(queue).copied().unwrap_or(self.concurrency);
        let total = self.total_concurrency.map(|slots| Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))));
        let queues: Vec<_> = plan
            .queues
            .iter()
            .map(|queue| {
                let slots = slots(queue).min(Semaphore::MAX_PERMITS);
                let actors: Vec<_> = plan.actors(queue).collect();
                tracing::info!(%queue, concurrency = slots, ?actors, "queue served");
                Arc::new(ServedQueue::new(queue.clone(), Slots::new(slots, total.clone())))
            })
            .collect();
        let executor = Executor {
            abilities: ability::of_worker(plan.implementations.keys()),
            parked: Repeats::default(),
            implementations: plan.implementations,
            states: Arc::new(self.states),
            max_crashes: self.max_crashes,
            suspects: Suspects::new(),
            threads: Threads::new(),
            closing: CancellationToken::new(),
        };
        Ok(Engine {
            broker: Arc::new(Guarded(self.broker)),
            name: self.name,
            lease: self.lease,
            shutdown_timeout: self.shutdown_timeout,
            queues,
            executor: Arc::new(executor),
            outage: Outage::default(),
            runs: TaskTracker::new(),
            settlers: TaskTracker::new(),
            give_up: CancellationToken::new(),
        })
    }
}

/// Begins the session after a lost lease, however long the operating system refuses its thread: `None` where the
/// worker was asked to stop first.
async fn again(engine: &Engine, shutdown: &mut (impl Future<Output = ()> + Unpin)) -> Option<Session> {
    let mut backoff = Backoff::default();
    let mut said = false;
    loop {
        match Session::begin(engine) {
            Ok(session) => return Some(session),
            Err(error) => {
                if !std::mem::replace(&mut said, true) {
                    shielded(|| {
                        tracing::warn!(%error, "no thread for the heartbeat: nothing is claimed until there is one");
                    });
                }
            }
        }
        tokio::select! {
            () = &mut *shutdown => return None,
            () = sleep(backoff.next()) => {}
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("broker", &self.broker)
            .field("name", &self.name)
            .field("queues", &self.queues)
            .field("also_served", &self.also_served)
            .field("concurrency", &self.concurrency)
            .field("total_concurrency", &self.total_concurrency)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
