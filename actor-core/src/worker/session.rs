//! One session of a worker: from the beginning of a lease to its end, orderly or not.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::engine::{Engine, MOMENT};
use super::heartbeat::{Heartbeat, Status};
use super::service;
use crate::context::{Cancellation, Stop};
use crate::delivery::WorkerId;
use crate::{BrokerError, failpoint};

/// One session of a worker. Dropped before its end, it drops what it runs and releases it.
pub(crate) struct Session {
    pub(super) worker: WorkerId,
    heartbeat: Heartbeat,
    /// Ends the services.
    pub(super) halt: CancellationToken,
    /// Leaves claims behind that do not come back after the halt.
    pub(super) leave: CancellationToken,
    pub(super) stop: Arc<Stop>,
    /// Those that may still be delivered something, among others.
    pub(super) services: TaskTracker,
}

/// How a session ended.
pub(crate) enum End {
    Asked,
    Lost,
    Refused(Arc<BrokerError>),
}

impl Session {
    /// Begins a lease. Nothing is claimed before it is live.
    pub(crate) fn begin(engine: &Engine) -> std::io::Result<Self> {
        let worker = WorkerId::new(&engine.name);
        let stop = Arc::new(Stop::of(Arc::clone(&engine.broker), worker.clone()));
        let heartbeat = Heartbeat::start(engine, &worker, Arc::clone(&stop))?;
        let (halt, leave) = (CancellationToken::new(), CancellationToken::new());
        Ok(Self { worker, heartbeat, halt, leave, stop, services: TaskTracker::new() })
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.heartbeat.status.clone()
    }

    /// Works until `shutdown` completes or the session ends otherwise.
    pub(crate) async fn work(&mut self, engine: &Engine, shutdown: &mut (impl Future<Output = ()> + Unpin)) -> End {
        let mut status = self.status();
        tokio::select! {
            () = shutdown => End::Asked,
            end = async {
                if let Some(end) = until(&mut status, |status| matches!(status, Status::Live { .. })).await {
                    return end;
                }
                tracing::info!(worker = %self.worker, "worker live");
                failpoint::pass("worker.live");
                service::start(self, engine);
                match until(&mut status, |_| false).await {
                    Some(end) => end,
                    None => std::future::pending().await,
                }
            } => end,
        }
    }

    /// Ends in good order. Once `asked_again` is cancelled, nothing is waited for but a moment.
    pub(crate) async fn stop(mut self, engine: &Engine, asked_again: &CancellationToken) {
        self.heartbeat.stopping();
        self.stop.signal(Cancellation::Shutdown);
        self.halt.cancel();
        self.services.close();
        engine.runs.close();
        let no_answer = async {
            tokio::select! {
                () = async {
                    engine.runs.wait().await;
                    sleep(MOMENT).await;
                } => {}
                () = asked_again.cancelled() => {}
            }
        };
        let ended = async {
            // A service may still start a run, so services end first.
            tokio::select! {
                () = self.services.wait() => {}
                () = no_answer => self.leave.cancel(),
            }
            self.services.wait().await;
            engine.runs.wait().await;
        };
        let mut ended = std::pin::pin!(ended);
        let mut time_is_up = std::pin::pin!(engine.time_for_runs(asked_again));
        let mut status = self.status();
        let mut lost = std::pin::pin!(until(&mut status, |_| false));
        let mut is_lost = false;
        loop {
            tokio::select! {
                biased;
                () = &mut ended => break,
                () = &mut time_is_up => {
                    self.stop.abort(Cancellation::Shutdown);
                    engine.executor.sync.closing.cancel();
                    ended.await;
                    break;
                }
                _ = &mut lost, if !is_lost => {
                    is_lost = true;
                    tracing::error!(worker = %self.worker, "lease lost: this worker was declared dead while it stopped");
                    self.stop.abort(Cancellation::LeaseLost);
                }
            }
        }
        self.stop.reports.closed.cancel();
        failpoint::pass("worker.runs_over");
        engine.settle(asked_again).await;
        failpoint::pass("worker.all_settled");
        // Nothing is held any more: where the broker does not answer, the lease may as well end by itself, and
        // the thread with it.
        let _ = timeout(MOMENT, self.heartbeat.stop()).await;
        failpoint::pass("worker.deregistered");
    }

    /// Ends at once: others run what it held.
    pub(crate) async fn abandon(mut self, engine: &Engine) {
        tracing::error!(worker = %self.worker, "lease lost: this worker was declared dead, and starts again");
        failpoint::pass("worker.lease_lost");
        self.stop.abort(Cancellation::LeaseLost);
        self.stop.reports.closed.cancel();
        self.halt.cancel();
        self.services.close();
        // A claim under way may still be delivered something. It ends before the session does, which then
        // leaves the rest to others.
        let _ = timeout(engine.lease, self.services.wait()).await;
        self.leave.cancel();
        self.services.wait().await;
        self.heartbeat.stop().await;
        failpoint::pass("worker.abandoned");
    }
}

impl Drop for Session {
    // A worker whose future is dropped has nobody left to wait for its runs.
    fn drop(&mut self) {
        self.halt.cancel();
        self.stop.abort(Cancellation::Shutdown);
        self.stop.reports.closed.cancel();
    }
}

/// Waits until `reached`: then `None`; or how the session ended before.
async fn until(status: &mut watch::Receiver<Status>, reached: impl Fn(&Status) -> bool) -> Option<End> {
    loop {
        match &*status.borrow_and_update() {
            Status::Lost => return Some(End::Lost),
            Status::Refused(error) => return Some(End::Refused(Arc::clone(error))),
            status if reached(status) => return None,
            Status::Starting | Status::Live { .. } => {}
        }
        if status.changed().await.is_err() {
            // The heartbeat's thread is gone, so nobody keeps the lease.
            return Some(End::Lost);
        }
    }
}
