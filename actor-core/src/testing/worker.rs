//! A worker in the test's own task, with no lease to keep and no time to wait for.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::broker::TestBroker;
use super::drained::Drained;
use crate::actor::Implementation;
use crate::broker::Broker;
use crate::context::{States, Stop};
use crate::delivery::{Consumer, Delivery, Receipt, Wait, WorkerId};
use crate::inspect::Inspect;
use crate::layer::Layers;
#[cfg(feature = "cron")]
use crate::schedule::{self, NewSchedule, Schedules};
use crate::settlement::{Outcome, Settlement};
use crate::worker::begin::{Begun, begin};
use crate::worker::builder::PARK_TIMEOUT;
use crate::worker::executor::{Executor, Ran};
use crate::worker::gather::{Gathered, Groups};
use crate::worker::outage::Outage;
use crate::worker::panic::note_places;
use crate::worker::progress::store;
use crate::worker::threads::Threads;
use crate::{Limits, QueueName, registry, wire};

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
    /// An actor's panic is a failed attempt, as in a real worker. An actor with `batch(..)` runs once nothing else is
    /// ready, with all of its messages, up to the largest batch: no time passes meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A dropped drain leaves the message that it was running without a worker.
    pub async fn drain(&self) -> Drained {
        let _held = self.broker.memory().hold();
        let mut drained = Drained::default();
        let mut waiting: BTreeMap<QueueName, Groups> = BTreeMap::new();
        loop {
            let mut idle = true;
            for queue in self.queues().await {
                #[cfg(feature = "cron")]
                self.fire(&queue).await;
                let limits = self.limits.get(queue.as_str()).copied().unwrap_or_default();
                let consumer = Consumer::new(self.worker.clone(), queue).limited(limits);
                let registered = self.broker.register(&self.worker, std::slice::from_ref(&consumer.queue), LEASE).await;
                registered.expect(IN_PROCESS);
                let at_once = Wait::new(Duration::ZERO);
                for delivery in self.broker.claim(&consumer, 1, &at_once).await.expect(IN_PROCESS) {
                    idle = false;
                    if let Some(gathered) = self.run(&consumer, delivery, &mut drained).await {
                        waiting.entry(consumer.queue.clone()).or_default().add(gathered);
                    }
                }
            }
            if idle && waiting.is_empty() {
                return drained;
            }
            if idle {
                for (queue, groups) in std::mem::take(&mut waiting) {
                    self.run_batches(&Consumer::new(self.worker.clone(), queue), groups, &mut drained).await;
                }
            }
        }
    }

    /// Runs a message, unless it waits for its batch.
    async fn run(&self, consumer: &Consumer, delivery: Delivery, drained: &mut Drained) -> Option<Gathered> {
        let (now, stop) = (|| self.broker.now(), self.stop());
        let begin = |receipts| self.begin(consumer, &stop, receipts);
        let run = self.executor.run(&consumer.queue, &delivery, &now, &begin, &stop, None);
        match self.listening(consumer, &stop, run).await {
            Ran::Belongs(belongs) if belongs.alone => {
                let mut alone = Groups::default();
                alone.add(Gathered { delivery, belongs });
                self.run_batches(consumer, alone, drained).await;
                None
            }
            Ran::Belongs(belongs) => Some(Gathered { delivery, belongs }),
            Ran::Ended(settlement) => {
                self.settle(consumer, &stop, delivery.receipt, &delivery.body, settlement, drained).await;
                None
            }
        }
    }

    fn stop(&self) -> Arc<Stop> {
        Arc::new(Stop::of(Arc::new(self.broker.clone()), self.worker.clone()))
    }

    fn begin<'a>(&'a self, consumer: &'a Consumer, stop: &'a Stop, receipts: Vec<Receipt>) -> Begun<'a> {
        Box::pin(begin(&self.broker, consumer, receipts, stop, &self.outage))
    }

    async fn run_batches(&self, consumer: &Consumer, mut groups: Groups, drained: &mut Drained) {
        let (now, stop) = (|| self.broker.now(), self.stop());
        loop {
            let batch = groups.take_next();
            if batch.is_empty() {
                return;
            }
            let bodies: HashMap<_, _> =
                batch.iter().map(|one| (one.delivery.receipt.clone(), one.delivery.body.clone())).collect();
            let begin = |receipts| self.begin(consumer, &stop, receipts);
            let run = self.executor.run_batch(&consumer.queue, batch, &now, &begin, &stop);
            for (receipt, settlement) in self.listening(consumer, &stop, run).await {
                let body = &bodies[&receipt];
                self.settle(consumer, &stop, receipt, body, settlement, drained).await;
            }
        }
    }

    async fn settle(
        &self,
        consumer: &Consumer,
        stop: &Stop,
        receipt: Receipt,
        body: &[u8],
        settlement: Option<Settlement>,
        drained: &mut Drained,
    ) {
        let settlement = settlement.expect("nobody declares a test's worker dead");
        let is_cancelled = wire::id(body).is_some_and(|id| stop.cancelled.contains(&consumer.queue, id));
        drained.note(body, &settlement, is_cancelled);
        // Only what the operating system refused a thread is released: it would be so again.
        let is_released = matches!(settlement.outcome, Outcome::Release { .. });
        for settled in self.broker.settle(consumer, &[(receipt, settlement)]).await {
            settled.expect(IN_PROCESS);
        }
        assert!(!is_released, "the operating system refused a thread for a sync actor");
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

    /// Drives a run, and has it learn at once that its message was cancelled.
    async fn listening<T>(&self, consumer: &Consumer, stop: &Stop, run: impl Future<Output = T>) -> T {
        let changed = self.broker.memory().changed(&consumer.queue);
        let mut run = pin!(run);
        let mut storing = pin!(store(&stop.reports, &self.outage));
        loop {
            // Made before the broker is asked, so that no change is missed.
            let change = changed.notified();
            let queues = std::slice::from_ref(&consumer.queue);
            let renewal = self.broker.renew(&self.worker, queues, LEASE).await.expect(IN_PROCESS);
            for (queue, ids) in renewal.cancelled {
                stop.cancelled.learn(&queue, ids);
            }
            tokio::select! {
                biased;
                ended = &mut run => return ended,
                () = &mut storing => {}
                () = change => {}
            }
        }
    }

    /// Stores the schedules that the linked actors declare, as a real worker does when it starts.
    /// [`advance`](Self::advance) then fires them, as it fires those that the test has stored itself.
    #[cfg(feature = "cron")]
    pub async fn declare(&self) {
        let mut by_queue = HashMap::<QueueName, Vec<NewSchedule>>::new();
        for found in self.executor.implementations.values() {
            if let Some(schedule) = schedule::declared(found.actor, &self.broker) {
                let schedule =
                    schedule.unwrap_or_else(|error| panic!("the schedule of `{}`: {error}", found.actor.name));
                by_queue.entry(found.actor.queue_name()).or_default().push(schedule);
            }
        }
        for (queue, schedules) in by_queue {
            self.broker.memory().declare(&queue, &schedules, true).await.expect(IN_PROCESS);
        }
    }

    #[cfg(feature = "cron")]
    async fn fire(&self, queue: &QueueName) {
        let at_once = Wait::new(Duration::ZERO);
        loop {
            let due = self.broker.due(queue, 64, &at_once).await.expect(IN_PROCESS);
            if due.schedules.is_empty() {
                return;
            }
            schedule::fire(&self.broker, queue, &due).await.expect(IN_PROCESS);
        }
    }

    async fn queues(&self) -> Vec<QueueName> {
        self.broker.memory().queues().await.expect(IN_PROCESS)
    }
}

/// Why the broker of a test cannot fail.
const IN_PROCESS: &str = "a broker in this process is never away";
