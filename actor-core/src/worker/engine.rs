//! What a worker is made of, and how it works: in sessions, one after the other, to an orderly end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::builder::WorkerBuilder;
use super::error::{Kind, Problem, WorkerError};
use super::executor::Executor;
use super::outage::{Absence, Backoff};
use super::panic;
use super::plan::Plan;
use super::queue_session::ServedQueue;
use super::session::{End, Session};
use super::slots::Slots;
use super::stall::Pulse;
use super::threads::Threads;
use crate::Broker;

/// Below this, a scheduler's ordinary pause ends a lease.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// Above this, what a dead worker held waits longer than anybody would want to.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// What a stopping worker waits for a broker that is asked for nothing of value: to come back from a claim, or
/// to end the lease. After a second request to stop, it waits no longer for anything.
pub(super) const MOMENT: Duration = Duration::from_secs(1);

/// What all sessions of a worker share.
pub(crate) struct Engine {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) name: String,
    pub(crate) lease: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) queues: Vec<Arc<ServedQueue>>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) absence: Arc<Absence>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) runs: TaskTracker,
    pub(crate) settlers: TaskTracker,
    /// Ends the settlers' tries while the broker is away.
    pub(crate) give_up: CancellationToken,
}

impl Engine {
    /// Checks the settings and the program's actors, and logs what is served.
    pub(super) fn new(mut builder: WorkerBuilder) -> Result<Self, WorkerError> {
        let mut problems = std::mem::take(&mut builder.problems);
        problems.extend((builder.lease < SHORTEST_LEASE).then_some(Problem::ShortLease));
        problems.extend((builder.lease > LONGEST_LEASE).then_some(Problem::LongLease));
        let by_queue = &builder.queue_concurrency;
        let settings = [("concurrency", Some(builder.concurrency)), ("total_concurrency", builder.total_concurrency)];
        let settings = settings.into_iter().chain(by_queue.values().map(|slots| ("queue_concurrency", Some(*slots))));
        problems.extend(settings.filter(|(_, slots)| *slots == Some(0)).map(|(setting, _)| Problem::NoSlots(setting)));
        let plan = Plan::make(&builder, problems)?;
        panic::note_places();
        panic::warn_of_abort();
        let total = builder.total_concurrency.map(|slots| Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))));
        let serve = |queue: &crate::QueueName| {
            let slots = by_queue.get(queue).copied().unwrap_or(builder.concurrency).min(Semaphore::MAX_PERMITS);
            let actors: Vec<_> = plan.actors(queue).collect();
            tracing::info!(%queue, concurrency = slots, ?actors, "queue served");
            let limits = plan.limits.get(queue.as_str()).copied().unwrap_or_default();
            Arc::new(ServedQueue::new(queue.clone(), limits, Slots::new(slots, total.clone())))
        };
        let queues = plan.queues.iter().map(serve).collect();
        if !plan.not_served.is_empty() {
            tracing::info!(queues = ?plan.not_served, "actors not served: this worker does not serve their queues");
        }
        let executor = Executor::new(
            plan.implementations,
            builder.states,
            builder.max_crashes,
            builder.park_timeout,
            builder.layers,
            Threads::new(),
        );
        let pulse = Pulse::new(executor.implementations.values().map(|found| found.actor));
        Ok(Self {
            broker: builder.broker,
            name: builder.name,
            lease: builder.lease,
            shutdown_timeout: builder.shutdown_timeout,
            queues,
            executor: Arc::new(executor),
            absence: Arc::default(),
            pulse,
            runs: TaskTracker::new(),
            settlers: TaskTracker::new(),
            give_up: CancellationToken::new(),
        })
    }

    /// Works until `shutdown` completes, then stops in good order. Once `again` completes, it waits for no run any
    /// more.
    pub(super) async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        again: impl Future<Output = ()>,
    ) -> Result<(), WorkerError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut session = Session::begin(&self).map_err(Kind::Heartbeat)?;
        let last = loop {
            match session.work(&self, &mut shutdown).await {
                End::Asked => break Some(session),
                End::Lost => {
                    session.abandon(&self).await;
                    match self.next_session(&mut shutdown).await {
                        Some(next) => session = next,
                        None => break None,
                    }
                }
                End::Refused(error) => return Err(Kind::Refused(error).into()),
            }
        };
        self.stop(last, again).await;
        Ok(())
    }

    /// Begins the session after a lost lease, however long the operating system refuses its thread: `None` where the
    /// worker was asked to stop first.
    async fn next_session(&self, shutdown: &mut (impl Future<Output = ()> + Unpin)) -> Option<Session> {
        let mut backoff = Backoff::default();
        let mut is_logged = false;
        loop {
            match Session::begin(self) {
                Ok(session) => return Some(session),
                Err(error) if !is_logged => {
                    is_logged = true;
                    tracing::warn!(%error, "no thread for the heartbeat: nothing is claimed until there is one");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = &mut *shutdown => return None,
                () = sleep(backoff.next()) => {}
            }
        }
    }

    /// Ends in good order: nothing new starts, runs may finish for a while, the rest is released, and only then does
    /// the lease end.
    async fn stop(&self, session: Option<Session>, again: impl Future<Output = ()>) {
        tracing::info!(
            runs = self.runs.len(),
            at_most = ?self.shutdown_timeout,
            "worker stopping: it waits for its runs, and claims no more"
        );
        let asked_again = CancellationToken::new();
        let stopping = async {
            match session {
                Some(session) => session.stop(self, &asked_again).await,
                // Between two sessions it holds nothing but what could not be dropped.
                None => self.wait_for_runs(&asked_again).await,
            }
        };
        let mut stopping = std::pin::pin!(stopping);
        tokio::select! {
            biased;
            () = &mut stopping => {}
            () = again => {
                tracing::warn!("runs cancelled: asked to stop a second time");
                asked_again.cancel();
                stopping.await;
            }
        }
        self.executor.repeats.log(true);
        tracing::info!("worker stopped");
    }

    async fn wait_for_runs(&self, asked_again: &CancellationToken) {
        self.runs.close();
        tokio::select! {
            () = self.runs.wait() => {}
            () = self.time_for_runs(asked_again) => self.executor.sync.closing.cancel(),
        }
        self.runs.wait().await;
        self.settle(asked_again).await;
    }

    /// Completes when runs have had their time.
    pub(super) async fn time_for_runs(&self, asked_again: &CancellationToken) {
        tokio::select! {
            () = sleep(self.shutdown_timeout) => {
                let timeout = self.shutdown_timeout;
                tracing::warn!(?timeout, "runs cancelled: they took longer than the shutdown timeout");
            }
            () = asked_again.cancelled() => {}
        }
    }

    /// Waits until all that ended is settled: for a lease, and for a moment once it was asked again.
    pub(super) async fn settle(&self, asked_again: &CancellationToken) {
        self.settlers.close();
        let time_is_up = async {
            tokio::select! {
                () = sleep(self.lease) => {}
                () = async {
                    asked_again.cancelled().await;
                    sleep(MOMENT).await;
                } => {}
            }
        };
        tokio::select! {
            biased;
            () = self.settlers.wait() => return,
            () = time_is_up => self.give_up.cancel(),
        }
        self.settlers.wait().await;
    }
}
