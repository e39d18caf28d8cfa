//! A worker in the test's own task, with no lease to keep and no time to wait for.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::broker::TestBroker;
use super::drained::Drained;
use crate::actor::Implementation;
use crate::broker::Broker;
use crate::context::{States, Stop};
use crate::delivery::{Consumer, Wait, WorkerId};
use crate::inspect::Inspect;
use crate::layer::Layers;
use crate::settlement::Outcome;
use crate::worker::begin::begin;
use crate::worker::builder::PARK_TIMEOUT;
use crate::worker::executor::Executor;
use crate::worker::outage::Outage;
use crate::worker::panic::note_places;
use crate::worker::threads::Threads;
use crate::{Limits, QueueName, registry};

/// More than a test waits.
const LEASE: Duration = Duration::from_secs(3600);

/// A worker that runs a [`TestBroker`]'s messages, one after the other, in the test's own task.
///
/// It runs every actor that is linked into the test, with the same rules for retries, time limits and
/// dead letters as a real worker. While it does, the broker's clock stands still, however slow the
/// machine is: only [`advance`](Self::advance) moves it on.
#[derive(Debug)]
#[must_use = "a worker does nothing until it drains its broker"]
pub struct TestWorker {
    broker: TestBroker,
    executor: Executor,
    worker: WorkerId,
    outage: Outage,
    /// What the queues' declarations limit.
    limits: HashMap<&'static str, Limits>,
}

impl TestWorker {
    pub(super) fn new(broker: TestBroker) -> Self {
        note_places();
        let implementations = registry::implementations().map(|found| (found.actor.name, found)).collect();
        let executor = Executor::new(
            implementations,
            States::default(),
            u32::MAX,
            PARK_TIMEOUT,
            Layers::default(),
            Threads::of_the_runtime(),
        );
        let limits = registry::actors().map(|def| (def.queue.name(), *def.queue.limits())).collect();
        Self { broker, executor, worker: WorkerId::new("test"), outage: Outage::default(), limits }
    }

    /// Gives the actors a shared state: what a `#[state]` parameter of this type receives.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        Arc::get_mut(&mut self.executor.states).expect("no run is under way that could share it").insert(state);
        self
    }

    /// Adds an implementation by name, for platforms whose linker drops the registry.
    pub fn register<I: Implementation>(mut self) -> Self {
        let actor = I::IMPLEMENTATION.actor;
        self.executor.implementations.insert(actor.name, I::IMPLEMENTATION);
        self.limits.insert(actor.queue.name(), *actor.queue.limits());
        self
    }

    /// Runs what is ready, and what that makes ready, until nothing is. Scheduled messages, retries
    /// among them, and those that wait for a rate, stay for [`advance`](Self::advance).
    ///
    /// An actor's panic is a failed attempt, as in a real worker.
    ///
    /// # Cancel safety
    ///
    /// A dropped drain leaves the message that it was running without a worker.
    pub async fn drain(&self) -> Drained {
        let _held = self.broker.memory().hold();
        let mut drained = Drained::default();
        loop {
            let mut idle = true;
            for queue in self.queues().await {
                let limits = self.limits.get(queue.as_str()).copied().unwrap_or_default();
                let consumer = Consumer::new(self.worker.clone(), queue).limited(limits);
                let registered = self.broker.register(&self.worker, std::slice::from_ref(&consumer.queue), LEASE).await;
                registered.expect(IN_PROCESS);
                let at_once = Wait::new(Duration::ZERO);
                for delivery in self.broker.claim(&consumer, 1, &at_once).await.expect(IN_PROCESS) {
                    idle = false;
                    let now = || self.broker.now();
                    let stop = Arc::new(Stop::default());
                    let begin = || begin(&self.broker, &consumer, &delivery.receipt, &stop, &self.outage);
                    let begin = || Box::pin(begin()) as Pin<Box<_>>;
                    let settlement = self.executor.run(&consumer.queue, &delivery, &now, &begin, &stop, None).await;
                    let settlement = settlement.expect("nobody declares a test's worker dead");
                    drained.note(&delivery.body, &settlement);
                    // Only what the operating system refused a thread is released: it would be so again.
                    let is_released = matches!(settlement.outcome, Outcome::Release { .. });
                    for settled in self.broker.settle(&consumer, &[(delivery.receipt, settlement)]).await {
                        settled.expect(IN_PROCESS);
                    }
                    assert!(!is_released, "the operating system refused a thread for a sync actor");
                }
            }
            if idle {
                return drained;
            }
        }
    }

    /// Moves the broker's clock on by `span`, and runs what falls due or may go meanwhile, each at its time.
    ///
    /// # Cancel safety
    ///
    /// As [`drain`](Self::drain).
    pub async fn advance(&self, span: Duration) -> Drained {
        let _held = self.broker.memory().hold();
        let began = self.broker.now();
        let mut drained = self.drain().await;
        loop {
            let gone = self.broker.now().duration_since(began).unwrap_or_default();
            let rest = span.saturating_sub(gone);
            let Some(step) = self.broker.memory().next_due().filter(|step| *step <= rest) else {
                self.broker.memory().advance(rest);
                return drained;
            };
            self.broker.memory().advance(step);
            drained.add(self.drain().await);
        }
    }

    async fn queues(&self) -> Vec<QueueName> {
        self.broker.memory().queues().await.expect(IN_PROCESS)
    }
}

/// Why the broker of a test cannot fail.
const IN_PROCESS: &str = "a broker in this process is never away";
