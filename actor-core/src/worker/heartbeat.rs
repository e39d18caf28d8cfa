//! Keeps a worker's lease, from a thread of its own: a runtime that user code blocks must not lose it.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::engine::Engine;
use super::grace::{self, Beat, Kept};
use super::outage::{Backoff, Outage};
use super::panic::caught;
use super::service::{Service, supervise};
use crate::context::Stop;
use crate::delivery::{Renewal, WorkerId};
use crate::{Broker, BrokerError, QueueName, failpoint};

pub(super) const BEATS: u32 = 3;

/// While something runs, the lease is renewed at least this often, so that what was cancelled learns of it within two
/// seconds. An idle worker has nothing to learn.
const WHILE_BUSY: Duration = Duration::from_millis(1_800);

/// What is known of the lease.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    Starting,
    Live {
        /// How it was kept.
        kept: Kept,
        /// The same of queues whose storage was away while that of others was not, or had lost it.
        apart: Vec<(QueueName, Kept)>,
        /// Whether another worker seems to be dead.
        deaths: bool,
        /// The queues in which messages are parked.
        parked: Vec<QueueName>,
    },
    /// It was lost: the worker was declared dead.
    Lost,
    Refused(Arc<BrokerError>),
}

impl Status {
    /// Whether this worker may declare others of a queue dead, and how long after the ends of their leases: `None`
    /// where it may not. Had the broker been away, or lost its leases, every worker would seem dead to the first that is
    /// back. So its own lease has been live for one lease, it waits for no renewal now, and what it knows of the
    /// time before is in the grace.
    pub(crate) fn may_judge(&self, queue: &QueueName, lease: Duration) -> Option<Duration> {
        let kept = self.kept(queue)?;
        let may = kept.since.elapsed() >= lease && kept.renewed.elapsed() < lease / BEATS;
        may.then(|| kept.grace.at(Instant::now()))
    }

    /// How the lease of a queue was kept, while it is live.
    pub(super) fn kept(&self, queue: &QueueName) -> Option<&Kept> {
        let Self::Live { kept, apart, .. } = self else { return None };
        Some(apart.iter().find(|(other, _)| other == queue).map_or(kept, |(_, kept)| kept))
    }
}

/// A kept lease. It ends with [`Heartbeat::stop`].
#[derive(Debug)]
pub(crate) struct Heartbeat {
    pub(crate) status: watch::Receiver<Status>,
    stopping: CancellationToken,
    stop: CancellationToken,
    /// The thread's end. It is not joined, which would take a thread that others may have taken.
    ended: CancellationToken,
    /// Ends the thread with this value; after an orderly stop it has ended already.
    _abandon: DropGuard,
}

/// Registers the worker, and renews its lease from then on.
struct Renewer {
    broker: Arc<dyn Broker>,
    worker: WorkerId,
    queues: Vec<QueueName>,
    lease: Duration,
    outage: Outage,
    status: watch::Sender<Status>,
    stopping: CancellationToken,
    runs: TaskTracker,
    stop: Arc<Stop>,
}

impl Heartbeat {
    pub(super) fn start(engine: &Engine, worker: &WorkerId, runs_stop: Arc<Stop>) -> std::io::Result<Self> {
        let (sender, status) = watch::channel(Status::Starting);
        let stop = CancellationToken::new();
        let stopping = CancellationToken::new();
        let (broker, worker, lease) = (Arc::clone(&engine.broker), worker.clone(), engine.lease);
        let queues: Vec<_> = engine.queues.iter().map(|served| served.queue.clone()).collect();
        let renewer = Renewer {
            broker: Arc::clone(&broker),
            worker: worker.clone(),
            queues: queues.clone(),
            lease,
            outage: Outage::new(&engine.absence, None, None),
            status: sender,
            stopping: stopping.clone(),
            runs: engine.runs.clone(),
            stop: runs_stop,
        };
        let pulse = Arc::clone(&engine.pulse);
        let stopped = stop.clone();
        let abandoned = CancellationToken::new();
        let abandon = abandoned.clone().drop_guard();
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (hand_over, handed_over) = mpsc::channel::<Runtime>();
        let thread = thread::Builder::new().name("actor-heartbeat".to_owned()).spawn(move || {
            let Ok(runtime) = handed_over.recv() else { return };
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => {
                        // Where the broker is away or panics, the lease ends by itself.
                        let _ = caught(tokio::time::timeout(lease, broker.deregister(&worker, &queues))).await;
                    }
                    // Dropped without a stop, so runs may go on: others must wait for the lease's end.
                    () = abandoned.cancelled() => {}
                    _ = async { tokio::join!(supervise(renewer), pulse.watch()) } => {}
                }
            });
            drop(runtime);
            drop(end);
        });
        if let Err(error) = thread {
            // Dropped where it would be waited for, in a task, a runtime panics.
            runtime.shutdown_background();
            return Err(error);
        }
        // It is there: it waits for this.
        let _ = hand_over.send(runtime);
        Ok(Self { status, stopping, stop, ended, _abandon: abandon })
    }

    /// Notes with the lease that the worker has begun to stop, as soon as the broker can be reached.
    pub(crate) fn stopping(&self) {
        self.stopping.cancel();
    }

    /// Ends the lease. Call it when nothing is held any more.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        // The thread ends within one lease, whatever the broker does.
        self.ended.cancelled().await;
    }
}

impl Service for Renewer {
    fn outage(&self) -> &Outage {
        &self.outage
    }

    async fn work(&mut self) {
        if matches!(*self.status.borrow(), Status::Starting) && !self.register().await {
            return;
        }
        let (mut kept, mut apart) = match &*self.status.borrow() {
            Status::Live { kept, apart, .. } => (*kept, apart.clone()),
            _ => return,
        };
        let beat = self.lease / BEATS;
        let mut backoff = Backoff::default();
        let (mut has_tried, mut is_noted) = (false, false);
        loop {
            tokio::select! {
                () = self.until_next(kept.renewed, beat) => {}
                () = self.stopping.cancelled(), if !has_tried => {}
            }
            let asked = Instant::now();
            let renewal = self.broker.renew(&self.worker, &self.queues, self.lease);
            let answer = match tokio::time::timeout(self.lease, renewal).await {
                Ok(answer) => answer,
                Err(_) => Err(BrokerError::unknown("the broker did not answer within one lease")),
            };
            match answer {
                Ok(Renewal { held: true, deaths, parked, forgotten, unanswered, took, cancelled }) => {
                    backoff.reset();
                    for (queue, ids) in cancelled {
                        self.stop.cancelled.learn(&queue, ids);
                        failpoint::pass("worker.told");
                    }
                    let now = took.map_or_else(Instant::now, |took| asked + took);
                    let beat = Beat { asked, now, lease: self.lease };
                    grace::set_apart(&mut apart, kept, &unanswered, &forgotten, beat);
                    kept = kept.after(beat);
                    let apart = apart.clone();
                    self.status.send_replace(Status::Live { kept, apart, deaths, parked });
                    self.outage.ended();
                    if !forgotten.is_empty() {
                        tracing::error!(
                            worker = %self.worker,
                            queues = forgotten.len(),
                            "the broker has lost this worker's lease: it was emptied, or went on with older data or none; \
                             what runs here goes on, and what was stored there may be gone"
                        );
                    }
                }
                Ok(Renewal { held: false, .. }) => {
                    self.status.send_replace(Status::Lost);
                    return;
                }
                Err(error) => {
                    self.outage.failed(&error);
                    tokio::time::sleep(backoff.next()).await;
                }
            }
            if !is_noted && self.stopping.is_cancelled() {
                has_tried = true;
                is_noted = self.note_stopping().await;
            }
        }
    }
}

impl Renewer {
    /// Waits for the next renewal: a beat, or as long as a busy worker may wait.
    async fn until_next(&self, renewed: Instant, beat: Duration) {
        let mut wait = WHILE_BUSY;
        while wait < beat {
            tokio::time::sleep_until(renewed + wait).await;
            if !self.runs.is_empty() {
                return;
            }
            wait += WHILE_BUSY;
        }
        tokio::time::sleep_until(renewed + beat).await;
    }

    /// Notes with the lease that the worker has begun to stop. Whether that is done; if not, the next beat tries again.
    async fn note_stopping(&self) -> bool {
        let noted = self.broker.stopping(&self.worker, &self.queues);
        matches!(tokio::time::timeout(self.lease / BEATS, noted).await, Ok(Ok(())))
    }

    /// Begins the lease, however long the broker is away. A refusal ends the worker.
    async fn register(&self) -> bool {
        let mut backoff = Backoff::default();
        loop {
            match self.broker.register(&self.worker, &self.queues, self.lease).await {
                Ok(()) => {
                    let kept = Kept::new(Instant::now());
                    let live = Status::Live { kept, apart: Vec::new(), deaths: false, parked: Vec::new() };
                    self.status.send_replace(live);
                    self.outage.ended();
                    return true;
                }
                Err(error) if error.is_transient() => {
                    self.outage.failed(&error);
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(error) => {
                    self.status.send_replace(Status::Refused(Arc::new(error)));
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn ago(seconds: u64) -> Instant {
        Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap()
    }

    fn live(since: u64, renewed: u64) -> Status {
        let kept = |renewed| Kept { since: ago(since), ..Kept::new(ago(renewed)) };
        let apart = vec![("cut-off".parse().unwrap(), kept(3))];
        Status::Live { kept: kept(renewed), apart, deaths: true, parked: Vec::new() }
    }

    #[test]
    fn only_who_has_been_live_for_a_lease_and_awaits_no_renewal_may_judge() {
        let mail = "mail".parse().unwrap();
        assert_eq!(live(7, 1).may_judge(&mail, LEASE), Some(Duration::ZERO));
        assert_eq!(live(5, 1).may_judge(&mail, LEASE), None, "it has just started");
        assert_eq!(live(70, 3).may_judge(&mail, LEASE), None, "its renewal is not answered: the broker may be away");
        assert_eq!(Status::Starting.may_judge(&mail, LEASE), None);
        assert_eq!(Status::Lost.may_judge(&mail, LEASE), None);
    }

    #[test]
    fn who_cannot_renew_the_lease_of_one_queue_may_judge_in_the_others() {
        let status = live(70, 1);
        assert_eq!(status.may_judge(&"cut-off".parse().unwrap(), LEASE), None);
        assert_eq!(status.may_judge(&"mail".parse().unwrap(), LEASE), Some(Duration::ZERO));
    }
}
