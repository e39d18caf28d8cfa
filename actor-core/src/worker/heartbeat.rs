//! Keeps a worker's lease, from a thread of its own: a runtime that user code blocks must not lose it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::outage::{Backoff, Outage};
use crate::delivery::{Incarnation, Lease};
use crate::{Broker, BrokerError, QueueName};

/// How many heartbeats a lease has.
const BEATS: u32 = 3;

/// What is known of the lease.
#[derive(Clone, Debug)]
pub(crate) enum Status {
    /// It has not begun yet.
    Starting,
    /// It is kept.
    Live {
        /// Since when without a gap.
        since: Instant,
        /// When its last renewal was asked for.
        renewed: Instant,
        /// Whether another worker seems to be dead.
        deaths: bool,
    },
    /// It was lost: the worker was declared dead.
    Lost,
    /// It cannot begin.
    Refused(Arc<BrokerError>),
}

impl Status {
    /// Whether this worker may declare others dead: its own lease has been live for one lease, and it
    /// waits for no renewal now. Had the broker been away, or were it so now, every worker would seem
    /// dead to the first that is back.
    pub(crate) fn may_judge(&self, lease: Duration) -> bool {
        matches!(self, Self::Live { since, renewed, .. }
            if since.elapsed() >= lease && renewed.elapsed() < lease / BEATS)
    }
}

/// A kept lease. It ends with [`Heartbeat::stop`].
#[derive(Debug)]
pub(crate) struct Heartbeat {
    pub(crate) status: watch::Receiver<Status>,
    stop: CancellationToken,
    /// The thread's end. It is not joined, which would take a thread that others may have taken.
    ended: CancellationToken,
    /// Ends the thread with this value; after an orderly stop it has ended already.
    _abandon: DropGuard,
}

/// What the heartbeat's thread works with.
struct Keeper {
    broker: Arc<dyn Broker>,
    worker: Incarnation,
    queues: Vec<QueueName>,
    lease: Duration,
    outage: Outage,
    status: watch::Sender<Status>,
}

impl Heartbeat {
    /// Begins a lease.
    pub(crate) fn start(
        broker: Arc<dyn Broker>,
        worker: Incarnation,
        queues: Vec<QueueName>,
        lease: Duration,
        outage: Outage,
    ) -> std::io::Result<Self> {
        let (sender, status) = watch::channel(Status::Starting);
        let stop = CancellationToken::new();
        let keeper = Keeper { broker, worker, queues, lease, outage, status: sender };
        let stopped = stop.clone();
        let abandoned = CancellationToken::new();
        let abandon = abandoned.clone().drop_guard();
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("actor-heartbeat".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    () = stopped.cancelled() => {
                        let retired = keeper.broker.retire(&keeper.worker, &keeper.queues);
                        // Where the broker is away, the lease ends by itself.
                        let _ = tokio::time::timeout(keeper.lease, retired).await;
                    }
                    // Dropped without a stop, so runs may go on: others must wait for the lease's end.
                    () = abandoned.cancelled() => {}
                    () = async {
                        keeper.keep().await;
                        std::future::pending::<()>().await;
                    } => {}
                }
            });
            drop(runtime);
            drop(end);
        })?;
        Ok(Self { status, stop, ended, _abandon: abandon })
    }

    /// Ends the lease. Call it when nothing is held any more.
    pub(crate) async fn stop(&mut self) {
        self.stop.cancel();
        // The thread ends within one lease, whatever the broker does.
        self.ended.cancelled().await;
    }
}

impl Keeper {
    async fn keep(&self) {
        if !self.enroll().await {
            return;
        }
        let beat = self.lease / BEATS;
        let (mut since, mut renewed) = (Instant::now(), Instant::now());
        let mut backoff = Backoff::default();
        self.status.send_replace(Status::Live { since, renewed, deaths: false });
        loop {
            tokio::time::sleep_until(renewed + beat).await;
            let asked = Instant::now();
            let renewal = self.broker.renew(&self.worker, &self.queues, self.lease);
            let answer = match tokio::time::timeout(self.lease, renewal).await {
                Ok(answer) => answer,
                Err(_) => Err(BrokerError::unknown("the broker did not answer within one lease")),
            };
            match answer {
                Ok(Lease::Held { deaths }) => {
                    self.outage.ended();
                    backoff.reset();
                    since = live_since(since, renewed, asked, self.lease);
                    renewed = asked;
                    self.status.send_replace(Status::Live { since, renewed, deaths });
                }
                Ok(Lease::Lost) => {
                    self.status.send_replace(Status::Lost);
                    return;
                }
                Err(error) => {
                    self.outage.failed(&error);
                    tokio::time::sleep(backoff.next()).await;
                }
            }
        }
    }

    /// Begins the lease, however long the broker is away. A refusal ends the worker.
    async fn enroll(&self) -> bool {
        let mut backoff = Backoff::default();
        loop {
            match self.broker.enroll(&self.worker, &self.queues, self.lease).await {
                Ok(()) => {
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

/// Since when a lease is live without a gap, once the renewal after the one at `renewed` was asked for.
/// Between two that are further apart than a lease it had ended, as every other worker's may have.
fn live_since(since: Instant, renewed: Instant, asked: Instant, lease: Duration) -> Instant {
    if asked - renewed > lease { asked } else { since }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn live(since: u64, renewed: u64) -> Status {
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        Status::Live { since: ago(since), renewed: ago(renewed), deaths: true }
    }

    #[test]
    fn only_who_has_been_live_for_a_lease_and_awaits_no_renewal_may_judge() {
        assert!(live(7, 1).may_judge(LEASE));
        assert!(!live(5, 1).may_judge(LEASE), "it has just come to life");
        assert!(!live(70, 3).may_judge(LEASE), "its renewal is not answered: the broker may be away");
        assert!(!Status::Starting.may_judge(LEASE));
        assert!(!Status::Lost.may_judge(LEASE));
    }

    #[test]
    fn who_could_not_renew_for_longer_than_a_lease_has_just_come_to_life() {
        let since = Instant::now();
        let renewed = since + 10 * LEASE;
        let after_a_beat = renewed + LEASE / BEATS;
        assert_eq!(live_since(since, renewed, after_a_beat, LEASE), since);
        let after_an_outage = renewed + LEASE + Duration::from_millis(1);
        assert_eq!(live_since(since, renewed, after_an_outage, LEASE), after_an_outage);
    }
}
