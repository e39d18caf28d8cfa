//! One queue in one session of a worker: what its services and its runs share.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::begin::{Begun, begin};
use super::executor::{Executor, Ran};
use super::gather::{Gathered, Gathering};
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
    unclogged: Notify,
    without_thread: AtomicBool,
    /// Has the relay look for what a dead worker left to be sent.
    pub(super) orphaned: Notify,
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
            unclogged: Notify::new(),
            without_thread: AtomicBool::new(false),
            orphaned: Notify::new(),
        }
    }

    pub(crate) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// Notes that so many settlements came to their end.
    pub(crate) fn settled(&self, count: usize) {
        let before = self.unsettled.fetch_sub(count, Ordering::Relaxed);
        if before > MOST_UNSETTLED && before - count <= MOST_UNSETTLED {
            self.unclogged.notify_one();
        }
    }

    /// Whether a run got no thread since this was last asked.
    pub(crate) fn lacked_a_thread(&self) -> bool {
        self.without_thread.load(Ordering::Relaxed) && self.without_thread.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn is_clogged(&self) -> bool {
        self.unsettled.load(Ordering::Relaxed) > MOST_UNSETTLED
    }

    /// Completes once it is no longer clogged, perhaps too early.
    pub(crate) async fn unclogged(&self) {
        self.unclogged.notified().await;
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
    pub(crate) gathering: Arc<Gathering>,
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
            let begin = |receipts| session.begin(receipts);
            let run = session.executor.run(queue, &delivery, &now, &begin, &session.stop, admission);
            match install::within(Arc::clone(&session.broker), run).await {
                Ran::Ended(settlement) => {
                    failpoint::pass("worker.run_ended");
                    session.ended(delivery.receipt, settlement);
                }
                Ran::Belongs(belongs) => {
                    let gathered = Gathered { delivery, belongs };
                    if gathered.belongs.alone {
                        // It is rare, and would make each run's future larger.
                        Box::pin(session.run_batch(vec![gathered])).await;
                    } else if let Err(gathered) = session.gathering.add(gathered) {
                        session.release(gathered.delivery);
                    }
                }
            }
            session.served.finished.fetch_add(1, Ordering::Relaxed);
            drop(slot);
        });
    }

    /// Runs a batch in a task of its own, in the slot that it was given.
    pub(super) fn start_batch(self: &Arc<Self>, gathered: Vec<Gathered>, slot: Slot) {
        if gathered.is_empty() {
            return;
        }
        let session = Arc::clone(self);
        self.runs.spawn(async move {
            session.run_batch(gathered).await;
            drop(slot);
        });
    }

    async fn run_batch(&self, gathered: Vec<Gathered>) {
        failpoint::pass("worker.batch_starting");
        let now = || self.broker.now();
        let begin = |receipts| self.begin(receipts);
        let run = self.executor.run_batch(&self.served.queue, gathered, &now, &begin, &self.stop);
        let ended = install::within(Arc::clone(&self.broker), run).await;
        failpoint::pass("worker.batch_ended");
        for (receipt, settlement) in ended {
            self.ended(receipt, settlement);
        }
    }

    fn begin(&self, receipts: Vec<Receipt>) -> Begun<'_> {
        Box::pin(begin(&*self.broker, &self.consumer, receipts, &self.stop, &self.outage))
    }

    /// Hands on what is to be settled, where the message is still this worker's.
    fn ended(&self, receipt: Receipt, settlement: Option<Settlement>) {
        let Some(settlement) = settlement else { return };
        // A worker that does not stop releases a message only where the run got no thread.
        if matches!(settlement.outcome, Outcome::Release { .. }) && self.stop.reason().is_none() {
            self.served.without_thread.store(true, Ordering::Relaxed);
        }
        self.settle(receipt, settlement);
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_settlements_goes_on_once_enough_of_them_are_taken() {
        let served = ServedQueue::new("mail".parse().unwrap(), Limits::default(), Slots::new(1, None));
        served.unsettled.store(MOST_UNSETTLED + 2, Ordering::Relaxed);
        let mut unclogged = pin!(served.unclogged());
        let mut goes_on = async || poll_fn(|cx| Poll::Ready(unclogged.as_mut().poll(cx).is_ready())).await;
        served.settled(1);
        assert!(!goes_on().await, "it is still clogged");
        served.settled(1);
        assert!(goes_on().await && !served.is_clogged());
    }
}
