//! Feeds one queue's slots: claims what is free plus what will be done in a few milliseconds.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::demand::Demand;
use super::outage::{Backoff, until};
use super::queue_session::QueueSession;
use crate::delivery::{Delivery, Wait};
use crate::{BrokerError, failpoint};

/// How long an idle claim waits before it is asked again.
pub(super) const IDLE_WAIT: Duration = Duration::from_secs(15);

/// How long a fetched message may wait for a slot before it is released for others to run.
const PATIENCE: Duration = Duration::from_secs(1);

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

/// One queue's fetching, in one session of the worker.
struct Fetch {
    session: Arc<QueueSession>,
    /// What waits for a slot, and since when.
    buffer: VecDeque<(Instant, Delivery)>,
    demand: Demand,
    observed: (u64, Instant),
    /// Whether the last claim got less than it asked for: then there is no more for now.
    drained: bool,
    backoff: Backoff,
    not_before: Option<Instant>,
}

/// Fetches until the post is halted, then releases what has not started.
pub(crate) async fn fetch(session: Arc<QueueSession>) {
    let now = Instant::now();
    let observed = (session.served.finished(), now);
    let fetch = Fetch {
        session,
        buffer: VecDeque::new(),
        demand: Demand::default(),
        observed,
        drained: false,
        backoff: Backoff::default(),
        not_before: None,
    };
    fetch.run().await;
}

impl Fetch {
    async fn run(mut self) {
        let mut claim: Option<Claim> = None;
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
                failpoint::pass("worker.giving_back");
                self.release();
                if claim.is_none() {
                    return;
                }
            }
            let want = self.want(halted || claim.is_some(), slots.free());
            if want > 0 {
                claim = Some(self.claim(want));
            }
            let needs_slot = !self.buffer.is_empty() || (claim.is_none() && self.not_before.is_none());
            tokio::select! {
                claimed = ended(&mut claim) => self.take(claimed),
                slot = slots.acquire(), if needs_slot && !halted => match self.buffer.pop_front() {
                    Some((_, delivery)) => self.session.start(delivery, slot, None),
                    None => {
                        // Given up before it was claimed for, a slot of all queues would go round among those
                        // that wait for it. It is not kept: while this claim waits, others may need it.
                        let want = self.want(claim.is_some(), slots.free() + 1);
                        if want > 0 {
                            claim = Some(self.claim(want));
                        }
                    }
                },
                () = until(self.buffer.front().map(|(since, _)| *since + PATIENCE)) => {
                    self.demand.forget();
                    self.release();
                }
                () = until(self.not_before), if claim.is_none() => self.not_before = None,
                () = halt.cancelled(), if !halted => {}
            }
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
        if !busy && self.session.served.is_clogged() {
            self.not_before = Some(Instant::now() + self.backoff.next());
        }
        // With some in the buffer and none left in the storage, asking again would only spin.
        if busy || self.not_before.is_some() || (self.drained && !self.buffer.is_empty()) {
            return 0;
        }
        self.demand.claim(free, self.buffer.len())
    }

    fn claim(&mut self, asked: usize) -> Claim {
        let began = Instant::now();
        let finished = self.session.served.finished();
        self.demand.observe(finished - self.observed.0, began - self.observed.1);
        self.observed = (finished, began);
        let waits = self.buffer.is_empty();
        let limit = if waits { IDLE_WAIT } else { Duration::ZERO };
        let wait = Wait::until(limit, &self.session.halt);
        let session = Arc::clone(&self.session);
        let running = Box::pin(async move { session.broker.claim(&session.consumer, asked, &wait).await });
        Claim { running, asked, waits, began }
    }

    fn take(&mut self, (claimed, claim): (Result<Vec<Delivery>, BrokerError>, Claim)) {
        let deliveries = match claimed {
            Ok(deliveries) => deliveries,
            Err(error) => {
                self.session.outage.failed(&error);
                self.not_before = Some(Instant::now() + self.backoff.next());
                return;
            }
        };
        self.session.outage.ended();
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
        let most = self.buffer.len() + claim.asked;
        self.buffer.extend(deliveries.into_iter().map(|delivery| (now, delivery)));
        if !self.buffer.is_empty() {
            failpoint::pass("worker.claimed");
        }
        if !in_order {
            // Stable: within a rank the order stays.
            self.buffer.make_contiguous().sort_by_key(|(_, delivery)| delivery.rank);
        }
        // A broker may deliver more than was asked for where several priorities wait. Kept, the lower ones
        // would start before the higher ones that are still to come.
        for (_, delivery) in self.buffer.split_off(most.min(self.buffer.len())) {
            self.session.release(delivery);
        }
    }

    /// Releases what has not started, for any worker to run.
    fn release(&mut self) {
        for (_, delivery) in self.buffer.drain(..) {
            self.session.release(delivery);
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
