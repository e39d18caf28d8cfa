//! The broker in this process.

mod clock;
mod control;
mod durability;
mod expiring;
mod gate;
#[cfg(feature = "testing")]
mod held;
mod inspect;
mod limiters;
mod limits;
mod queue;
mod results;
mod schedules;
mod shared;
mod states;
mod unique;

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use self::clock::{Clock, Moment};
use self::durability::can_be;
use self::limiters::MemoryLimiters;
use self::queue::{Queue, Retention};
use self::shared::{Shared, Slot, log_pruned};
use crate::broker::{Broker, Enqueue, Enqueued};
use crate::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use crate::limiter::Limiters;
use crate::results::Results;
use crate::schedule::Schedules;
use crate::settlement::{Consequence, Outcome, Settled, Settlement};
use crate::state::States;
use crate::worker::outage::until;
use crate::{BrokerError, Control, QueueName};

/// How many messages or schedules one page lists at most.
const LONGEST_PAGE: usize = 1_000;

/// A broker in this process: for a first run, for tests, and for work that may end with the process.
///
/// It does what a broker with a server does, leases and recovery included, but keeps nothing: when
/// the last clone is dropped, its messages are gone. Clones share their state. Dead letters are kept
/// for 7 days, and at most 10,000 of a queue, the newest ones, unless
/// [`with_dead_letters`](Self::with_dead_letters) says otherwise.
///
/// It has no replica and no disk: a message that asks for more than [`Stored`](crate::Durability::Stored) is refused.
///
/// Its clock can be moved on by [`advance`](Self::advance), so that a test of a delay or a retry
/// takes no time.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use actor_core::broker::{Broker, Enqueue};
/// use actor_core::delivery::{Consumer, WorkerId, Wait};
/// use actor_core::{MemoryBroker, MessageId, Priority, QueueName};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MemoryBroker::new();
/// let mail = QueueName::new("mail")?;
/// let message = Enqueue::new(MessageId::new(), Priority::Normal, "{}".into());
/// for answer in broker.enqueue(&mail, vec![message.after(Duration::from_secs(3600))]).await {
///     answer?;
/// }
///
/// let consumer = Consumer::new(WorkerId::new("worker"), mail);
/// let at_once = Wait::new(Duration::ZERO);
/// assert!(broker.claim(&consumer, 1, &at_once).await?.is_empty());
/// broker.advance(Duration::from_secs(3600));
/// assert_eq!(broker.claim(&consumer, 1, &at_once).await?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryBroker {
    shared: Arc<Mutex<Shared>>,
    limiters: Arc<MemoryLimiters>,
    max_message_bytes: usize,
}

impl MemoryBroker {
    /// A broker without messages.
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared {
            clock: Clock::new(),
            retention: Retention::default(),
            weighted: false,
            queues: HashMap::new(),
            ended: Arc::default(),
        };
        let shared = Arc::new(Mutex::new(shared));
        Self { limiters: Arc::new(MemoryLimiters::new(Arc::clone(&shared))), shared, max_message_bytes: 1 << 20 }
    }

    /// Takes messages of at most this many bytes, counting their whole JSON. Default: 1 MiB, as the
    /// other brokers, so that a test finds what would be refused in production.
    #[must_use]
    pub fn with_max_message_bytes(self, bytes: usize) -> Self {
        Self { max_message_bytes: bytes, ..self }
    }

    /// How long and how many dead letters each queue keeps, the newest ones. Default: 7 days and 10,000.
    #[must_use]
    pub fn with_dead_letters(self, age: Duration, count: NonZeroU64) -> Self {
        let retention = Retention { age, count: usize::try_from(count.get()).unwrap_or(usize::MAX) };
        let mut shared = self.lock();
        shared.retention = retention;
        shared.queues.values_mut().for_each(|slot| slot.queue.retention = retention);
        drop(shared);
        self
    }

    /// Lets low priorities have a share where high ones never end: one claim in eight takes the lowest priority
    /// first. Default: strict, a lower priority waits as long as there is anything of a higher one.
    #[must_use]
    pub fn with_weighted_priorities(self) -> Self {
        let mut shared = self.lock();
        shared.weighted = true;
        shared.queues.values_mut().for_each(|slot| slot.queue.weighted = true);
        drop(shared);
        self
    }

    /// Moves this broker's clock on, for tests: what is due by then is delivered at once, and leases that
    /// end by then have ended. Limits of waiting and of running are real time, and stay.
    pub fn advance(&self, duration: Duration) {
        let mut shared = self.lock();
        shared.clock.advance(duration);
        let waiting: Vec<Arc<Notify>> = shared.queues.values().map(|slot| slot.changed.clone()).collect();
        drop(shared);
        for claims in waiting {
            claims.notify_waiters();
        }
        self.limiters.changed();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    /// The queues that were ever named here, by name.
    fn names(&self) -> Vec<QueueName> {
        let mut names: Vec<QueueName> = self.lock().queues.keys().cloned().collect();
        names.sort();
        names
    }

    /// Fails where nobody has used this queue.
    fn known(&self, queue: &QueueName) -> Result<(), BrokerError> {
        let is_known = self.lock().queues.contains_key(queue);
        if is_known { Ok(()) } else { Err(BrokerError::no_such_queue(queue, &self.names())) }
    }

    /// Changes a queue as it is now.
    fn change<T>(&self, queue: &QueueName, change: impl FnOnce(&mut Queue, Moment) -> T) -> T {
        self.with(queue, |slot, now| change(&mut slot.queue, now))
    }

    /// The same, where it may make messages ready or due.
    fn change_and_wake<T>(&self, queue: &QueueName, change: impl FnOnce(&mut Queue, Moment) -> T) -> T {
        let (claims, value) = self.with(queue, |slot, now| (slot.changed.clone(), change(&mut slot.queue, now)));
        // The lock is free by now, or who is woken would wait for it.
        claims.notify_waiters();
        value
    }

    fn with<T>(&self, queue: &QueueName, work: impl FnOnce(&mut Slot, Moment) -> T) -> T {
        let (value, pruned) = self.lock().change(queue, work);
        log_pruned(queue, pruned);
        value
    }

    /// Reads a queue as it is now. A queue that nobody ever used is empty, and stays unknown.
    fn view<T>(&self, queue: &QueueName, view: impl FnOnce(&Queue) -> T) -> T {
        let mut shared = self.lock();
        let now = shared.clock.now();
        match shared.queues.get_mut(queue) {
            Some(slot) => {
                slot.queue.tick(now);
                view(&slot.queue)
            }
            None => view(&Queue::default()),
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // The state is sound also after a panic: nothing in this module panics in the middle of it.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Broker for MemoryBroker {
    async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        self.change_and_wake(queue, |queue, now| {
            let store = |message: Enqueue| {
                can_be(message.durability)?;
                Ok(queue.enqueue(message, now))
            };
            messages.into_iter().map(store).collect()
        })
    }

    async fn register(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError> {
        for queue in queues {
            self.change(queue, |queue, now| queue.register(worker, now.after(lease)));
        }
        Ok(())
    }

    async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError> {
        let mut all = Renewal::held();
        for name in queues {
            self.change(name, |queue, now| {
                all.held &= queue.renew(worker, now.after(lease));
                all.deaths |= queue.has_deaths(worker, now);
                all.parked.extend((!queue.parked.is_empty()).then(|| name.clone()));
                let cancelled = queue.cancelled_of(worker);
                all.cancelled.extend((!cancelled.is_empty()).then(|| (name.clone(), cancelled)));
            });
        }
        Ok(if all.held { all } else { Renewal::lost() })
    }

    async fn stopping(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        for queue in queues {
            self.change(queue, |queue, _| queue.stopping(worker));
        }
        Ok(())
    }

    // Nothing is delivered before the last await, so a dropped future holds no delivery.
    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        let changed = self.with(&consumer.queue, |slot, _| slot.changed.clone());
        let mut limit = None;
        loop {
            // Made before the queue is looked at: it is woken by whatever changes from here on.
            let wake = changed.notified();
            let (declared, deliveries, until_due) = self.change(&consumer.queue, |queue, now| {
                let declared = queue.declare(&consumer.worker, consumer.limits);
                let deliveries = queue.claim(&consumer.worker, max, now);
                (declared, deliveries, queue.next_due().map(|due| now.until(due)))
            });
            if declared {
                // More may go now than this claim asks for.
                changed.notify_waiters();
            }
            if !deliveries.is_empty() || max == 0 || wait.limit().is_zero() || wait.is_stopped() {
                return Ok(deliveries);
            }
            let limit = limit.get_or_insert_with(|| Box::pin(sleep(wait.limit())));
            tokio::select! {
                () = wait.stopped() => return Ok(Vec::new()),
                () = limit => return Ok(Vec::new()),
                () = wake => {}
                () = until(until_due.and_then(|until_due| Instant::now().checked_add(until_due))) => {}
            }
        }
    }

    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
        Ok(self.change(&consumer.queue, |queue, now| queue.recover(&consumer.worker, max, grace, now)))
    }

    async fn unpark(&self, consumer: &Consumer, abilities: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError> {
        Ok(self.change(&consumer.queue, |queue, now| queue.unpark(&consumer.worker, abilities, max, now)))
    }

    async fn begin(&self, consumer: &Consumer, receipts: &[Receipt]) -> Vec<Result<Settled, BrokerError>> {
        self.change_and_wake(&consumer.queue, |queue, now| {
            receipts.iter().map(|receipt| Ok(queue.begin(&consumer.worker, receipt, now))).collect()
        })
    }

    async fn settle(
        &self,
        consumer: &Consumer,
        settlements: &[(Receipt, Settlement)],
    ) -> Vec<Result<Settled, BrokerError>> {
        let settle = |queue: &mut Queue, now| -> Vec<_> {
            let settle = |(receipt, settlement): &(Receipt, Settlement)| {
                if settlement.consequences.is_empty() || settlement.outcome.is_end() {
                    Ok(queue.settle(&consumer.worker, receipt, settlement, now))
                } else {
                    Err(BrokerError::refused("something follows from a message that does not end"))
                }
            };
            settlements.iter().map(settle).collect()
        };
        let returns = |(_, settlement): &(Receipt, Settlement)| {
            matches!(settlement.outcome, Outcome::Reschedule { .. } | Outcome::Release { .. })
        };
        let wakes = settlements.iter().any(returns);
        let mut shared = self.lock();
        let ((claims, answers), pruned) = shared.change(&consumer.queue, |slot, now| {
            let answers = settle(&mut slot.queue, now);
            // What was freed lets others go.
            let wakes = wakes || slot.queue.gate.count() > 0 || slot.queue.unique.is_used();
            (wakes.then(|| slot.changed.clone()), answers)
        });
        let mut woken = Vec::from_iter(claims);
        let keeps = |consequence: &Consequence| matches!(consequence, Consequence::KeepResult { .. });
        if answers.iter().any(|answer| matches!(answer, Ok(Settled::Cancelled)))
            || settlements.iter().any(|(_, settlement)| settlement.consequences.iter().any(keeps))
        {
            woken.push(Arc::clone(&shared.ended));
        }
        for ((_, settlement), settled) in settlements.iter().zip(&answers) {
            if matches!(settled, Ok(Settled::Applied)) && !settlement.consequences.is_empty() {
                woken.extend(shared.follow(&settlement.consequences));
            }
        }
        drop(shared);
        log_pruned(&consumer.queue, pruned);
        for claims in woken {
            claims.notify_waiters();
        }
        answers
    }

    async fn deregister(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        for queue in queues {
            self.change(queue, |queue, _| queue.deregister(worker));
        }
        Ok(())
    }

    fn control(&self) -> Option<&dyn Control> {
        Some(self)
    }

    fn now(&self) -> SystemTime {
        self.lock().clock.now().time()
    }

    fn schedules(&self) -> Option<&dyn Schedules> {
        Some(self)
    }

    fn limiters(&self) -> Option<Arc<dyn Limiters>> {
        Some(Arc::<MemoryLimiters>::clone(&self.limiters))
    }

    fn states(&self) -> Option<&dyn States> {
        Some(self)
    }

    fn results(&self) -> Option<&dyn Results> {
        Some(self)
    }

    fn max_message_bytes(&self) -> usize {
        self.max_message_bytes
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBroker").field("queues", &self.names()).finish_non_exhaustive()
    }
}
