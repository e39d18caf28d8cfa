//! Feeds one queue's slots: claims what is free plus what will be done in a few milliseconds.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::demand::Demand;
use super::outage::{Backoff, Outage, until};
use super::queue_session::QueueSession;
use super::service::Service;
use crate::delivery::{Delivery, Wait};
use crate::{BrokerError, failpoint};

/// How long an idle claim waits before it is asked again.
pub(super) const IDLE_WAIT: Duration = Duration::from_secs(15);

/// How long a fetched message may wait for a slot before it is released for others to run.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A broker may end a claim early where what it delivers has grown to this: then there may be more.
const LARGE: usize = 256 << 10;

/// How long no more is claimed where the operating system refused a thread.
const WITHOUT_THREAD: Duration = Duration::from_secs(1);

/// A claim under way. It may hold deliveries, so it is driven to its end. Only a worker that stops leaves it
/// behind, where the broker does not answer: what it then still delivers is recovered by others, as after a death.
struct Claim {
    running: Pin<Box<dyn Future<Output = Result<Vec<Delivery>, BrokerError>> + Send>>,
    asked: usize,
    waits: bool,
    began: Instant,
}

/// One queue's fetching, in one session of the worker: until it is halted, then it releases what has not started.
pub(crate) struct Fetch {
    session: Arc<QueueSession>,
    claim: Option<Claim>,
    /// What waits for a slot, and since when.
    buffer: VecDeque<(Instant, Delivery)>,
    demand: Demand,
    observed: (u64, Instant),
    /// Whether the last claim got less than it asked for: then there is no more for now.
    drained: bool,
    backoff: Backoff,
    not_before: Option<Instant>,
    /// Whether it waits for settlements to be taken.
    clogged: bool,
}

impl Fetch {
    pub(crate) fn new(session: Arc<QueueSession>) -> Self {
        let observed = (session.served.finished(), Instant::now());
        Self {
            session,
            claim: None,
            buffer: VecDeque::new(),
            demand: Demand::default(),
            observed,
            drained: false,
            backoff: Backoff::default(),
            not_before: None,
            clogged: false,
        }
    }

    /// Starts what has a slot. Whether there was any.
    fn start_what_fits(&mut self) -> bool {
        let mut started = false;
        while !self.buffer.is_empty() && !self.session.halt.is_cancelled() {
            let Some(slot) = self.session.served.slots.try_acquire() else { break };
            if let Some((_, delivery)) = self.buffer.pop_front() {
                self.session.start(delivery, slot, None);
                started = true;
            }
        }
        started
    }

    fn want(&mut self, busy: bool, free: usize) -> usize {
        self.clogged = !busy && self.session.served.is_clogged();
        if self.clogged && self.not_before.is_none() {
            self.not_before = Some(Instant::now() + self.backoff.next());
        }
        // With some in the buffer and none left in the storage, asking again would only spin.
        if busy || self.not_before.is_some() || (self.drained && !self.buffer.is_empty()) {
            return 0;
        }
        self.demand.claim(free, self.buffer.len())
    }

    /// Claims what is free, unless there is a reason to wait.
    fn claim_for(&mut self, halted: bool, free: usize) {
        let asked = self.want(halted || self.claim.is_some(), free);
        if asked == 0 {
            return;
        }
        let began = Instant::now();
        let finished = self.session.served.finished();
        self.demand.observe(finished - self.observed.0, began - self.observed.1);
        self.observed = (finished, began);
        let waits = self.buffer.is_empty();
        let limit = if waits { IDLE_WAIT } else { Duration::ZERO };
        let wait = Wait::until(limit, &self.session.halt);
        let session = Arc::clone(&self.session);
        let running = Box::pin(async move { session.broker.claim(&session.consumer, asked, &wait).await });
        self.claim = Some(Claim { running, asked, waits, began });
    }

    fn take(&mut self, (claimed, claim): (Result<Vec<Delivery>, BrokerError>, Claim)) {
        let deliveries = match claimed {
            Ok(deliveries) => deliveries,
            Err(error) => {
                self.not_before = Some(Instant::now() + self.backoff.next());
                self.session.outage.failed(&error);
                return;
            }
        };
        self.backoff.reset();
        let bytes: usize = deliveries.iter().map(|delivery| delivery.body.len()).sum();
        self.drained = deliveries.len() < claim.asked && bytes < LARGE;
        if !self.drained || !claim.waits {
            self.demand.observe_round_trip(claim.began.elapsed());
        }
        let in_order = match (self.buffer.back(), deliveries.first()) {
            (Some((_, last)), Some(first)) => last.rank <= first.rank,
            _ => true,
        };
        let now = Instant::now();
        self.buffer.extend(deliveries.into_iter().map(|delivery| (now, delivery)));
        if !self.buffer.is_empty() {
            failpoint::pass("worker.claimed");
        }
        if !in_order {
            // Stable: within a rank the order stays.
            self.buffer.make_contiguous().sort_by_key(|(_, delivery)| delivery.rank);
        }
        self.session.outage.ended();
    }

    /// Releases what has not started, for any worker to run.
    fn release(&mut self) {
        for (_, delivery) in self.buffer.drain(..) {
            self.session.release(delivery);
        }
    }
}

impl Service for Fetch {
    fn outage(&self) -> &Outage {
        &self.session.outage
    }

    async fn work(&mut self) {
        // One that panicked cannot go on.
        drop(self.claim.take());
        let slots = self.session.served.slots.clone();
        let halt = self.session.halt.clone();
        loop {
            if self.session.served.lacked_a_thread() {
                self.not_before = Some(Instant::now() + WITHOUT_THREAD);
                self.release();
            }
            if self.start_what_fits() {
                // What was started goes first: then many slots are free at once, where this task would
                // else be woken for each of them, and a message need not wait for the next claim's sending.
                tokio::task::yield_now().await;
            }
            let halted = halt.is_cancelled();
            if halted {
                // Others run it while the claim comes back.
                failpoint::pass("worker.releasing");
                self.release();
                if self.claim.is_none() {
                    return;
                }
            }
            self.claim_for(halted, slots.free());
            let needs_slot = !self.buffer.is_empty() || (self.claim.is_none() && self.not_before.is_none());
            tokio::select! {
                claimed = ended(&mut self.claim) => self.take(claimed),
                slot = slots.acquire(), if needs_slot && !halted => match self.buffer.pop_front() {
                    Some((_, delivery)) => self.session.start(delivery, slot, None),
                    // Given up before it was claimed for, a slot of all queues would go round among those
                    // that wait for it. It is not kept: while this claim waits, others may need it.
                    None => self.claim_for(false, slots.free() + 1),
                },
                () = until(self.buffer.front().map(|(since, _)| *since + LONGEST_WAIT)) => {
                    self.demand.forget();
                    self.release();
                }
                () = until(self.not_before), if self.claim.is_none() => self.not_before = None,
                // A storage that is only slower than the runs is not waited for longer than it takes.
                () = self.session.served.unclogged(), if self.clogged => self.not_before = None,
                () = halt.cancelled(), if !halted => {}
            }
        }
    }
}

/// Completes when the claim has ended, and takes it out; never, where there is none.
async fn ended(claim: &mut Option<Claim>) -> (Result<Vec<Delivery>, BrokerError>, Claim) {
    let Some(under_way) = claim else { return std::future::pending().await };
    let claimed = under_way.running.as_mut().await;
    let claim = claim.take().expect("it was there a line before");
    (claimed, claim)
}
