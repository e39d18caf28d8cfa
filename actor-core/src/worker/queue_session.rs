//! One queue in one session of a worker: what its services and its runs share.

use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::begin::begin;
use super::executor::Executor;
use super::message::release;
use super::outage::Outage;
use super::settle::Settlements;
use super::slots::{Slot, Slots};
use super::suspects::Admission;
use crate::context::Stop;
use crate::delivery::{Consumer, Delivery, Receipt};
use crate::settlement::{Outcome, Settlement};
use crate::{Broker, Limits, QueueName, failpoint, install};

/// One queue's slots. They outlive a lost lease, since a run that cannot be dropped keeps its slot.
#[derive(Debug)]
pub(crate) struct ServedQueue {
    pub(crate) queue: QueueName,
    pub(crate) limits: Limits,
    pub(crate) slots: Slots,
    finished: AtomicU64,
    unsettled: AtomicUsize,
    without_thread: AtomicBool,
}

/// How many settlements may wait for a broker that does not take them. Fetching goes on below it, so
/// that one kind of settlement which is refused for now (a retry, while the storage is full) does not
/// stop the others, and stops above it, so that memory is bounded.
const MOST_UNSETTLED: usize = 8_192;

impl ServedQueue {
    pub(crate) fn new(queue: QueueName, limits: Limits, slots: Slots) -> Self {
        Self {
            queue,
            limits,
            slots,
            finished: AtomicU64::new(0),
            unsettled: AtomicUsize::new(0),
            without_thread: AtomicBool::new(false),
        }
    }

    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// Notes that so many settlements came to their end.
    pub(crate) fn settled(&self, count: usize) {
        self.unsettled.fetch_sub(count, Ordering::Relaxed);
    }

    /// Whether a run got no thread since this was last asked.
    pub(crate) fn lacked_a_thread(&self) -> bool {
        self.without_thread.load(Ordering::Relaxed) && self.without_thread.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn is_clogged(&self) -> bool {
        self.unsettled.load(Ordering::Relaxed) > MOST_UNSETTLED
    }
}

pub(crate) struct QueueSession {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) consumer: Consumer,
    pub(crate) served: Arc<ServedQueue>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) outage: Outage,
    /// Ends the claiming.
    pub(crate) halt: CancellationToken,
    /// Ends the running.
    pub(crate) stop: Arc<Stop>,
    pub(crate) settlements: Settlements,
    pub(crate) runs: TaskTracker,
}

impl QueueSession {
    /// Runs a delivery in a task of its own, in the slot that it was given.
    pub(crate) fn start(self: &Arc<Self>, delivery: Delivery, slot: Slot, admission: Option<Admission>) {
        let session = Arc::clone(self);
        self.runs.spawn(async move {
            failpoint::pass("worker.starting");
            let queue = &session.served.queue;
            let now = || session.broker.now();
            let QueueSession { broker, consumer, stop, outage, .. } = &*session;
            let begin = || Box::pin(begin(&**broker, consumer, &delivery.receipt, stop, outage)) as Pin<Box<_>>;
            let run = session.executor.run(queue, &delivery, &now, &begin, stop, admission);
            let settlement = install::within(Arc::clone(&session.broker), run).await;
            failpoint::pass("worker.run_ended");
            if let Some(settlement) = settlement {
                // A worker that does not stop releases a message only where the run got no thread.
                if matches!(settlement.outcome, Outcome::Release { .. }) && session.stop.reason().is_none() {
                    session.served.without_thread.store(true, Ordering::Relaxed);
                }
                session.settle(delivery.receipt, settlement);
            }
            session.served.finished.fetch_add(1, Ordering::Relaxed);
            drop(slot);
        });
    }

    /// The slot, and as many more as are free now, up to `most`.
    pub(crate) fn slots(&self, slot: Slot, most: usize) -> Vec<Slot> {
        let more = iter::from_fn(|| self.served.slots.try_acquire());
        iter::once(slot).chain(more).take(most).collect()
    }

    /// Starts each delivery that gets one of `slots`, and releases the others.
    pub(crate) fn start_or_release(
        self: &Arc<Self>,
        deliveries: impl IntoIterator<Item = (Delivery, Option<Admission>)>,
        slots: Vec<Slot>,
    ) {
        let mut slots = slots.into_iter();
        for (delivery, admission) in deliveries {
            match slots.next() {
                Some(slot) => self.start(delivery, slot, admission),
                None => self.release(delivery),
            }
        }
    }

    pub(crate) fn release(&self, delivery: Delivery) {
        let settlement = release(&delivery);
        self.settle(delivery.receipt, settlement);
    }

    /// Hands a settlement to the settler, which outlives the session.
    pub(crate) fn settle(&self, receipt: Receipt, settlement: Settlement) {
        self.served.unsettled.fetch_add(1, Ordering::Relaxed);
        let handed = self.settlements.send((receipt, settlement));
        debug_assert!(handed.is_ok(), "the settler ended before the last service");
    }
}
