//! One life of a worker: from the beginning of a lease to its end, orderly or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::executor::Executor;
use super::fetch::fetch;
use super::heartbeat::{Heartbeat, Status};
use super::outage::Outage;
use super::post::{Lane, Post};
use super::recover::recover;
use super::settle::Settler;
use crate::context::{Cancellation, Stop};
use crate::delivery::{Consumer, Incarnation};
use crate::{Broker, BrokerError, failpoint};

/// What all lives of a worker share.
pub(crate) struct Crew {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) name: String,
    pub(crate) lease: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) lanes: Vec<Arc<Lane>>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) outage: Outage,
    pub(crate) runs: TaskTracker,
    pub(crate) settlers: TaskTracker,
    /// Ends the settlers' patience with a broker that is away.
    pub(crate) give_up: CancellationToken,
}

/// One life of a worker. Dropped before its end, it drops what it runs and gives it back.
pub(crate) struct Life {
    worker: Incarnation,
    heartbeat: Heartbeat,
    halt: CancellationToken,
    stop: Arc<Stop>,
    /// Fetching and recovering: what may still be lent something.
    posts: TaskTracker,
}

/// How a life ended.
pub(crate) enum End {
    /// The worker was asked to stop.
    Asked,
    /// The lease was lost.
    Lost,
    /// The broker refused the worker.
    Refused(Arc<BrokerError>),
}

impl Life {
    /// Begins a lease. Nothing is claimed before it is live.
    pub(crate) fn begin(crew: &Crew) -> std::io::Result<Self> {
        let worker = Incarnation::new(&crew.name);
        let queues = crew.lanes.iter().map(|lane| lane.queue.clone()).collect();
        let (broker, outage) = (Arc::clone(&crew.broker), crew.outage.part(None));
        let heartbeat = Heartbeat::start(broker, worker.clone(), queues, crew.lease, outage)?;
        Ok(Self { worker, heartbeat, halt: CancellationToken::new(), stop: Arc::default(), posts: TaskTracker::new() })
    }

    /// Works until `shutdown` completes or the life ends otherwise.
    pub(crate) async fn work(&mut self, crew: &Crew, shutdown: &mut (impl Future<Output = ()> + Unpin)) -> End {
        let mut status = self.heartbeat.status.clone();
        tokio::select! {
            () = shutdown => End::Asked,
            end = async {
                if let Some(end) = until(&mut status, |status| matches!(status, Status::Live { .. })).await {
                    return end;
                }
                tracing::info!(worker = %self.worker, "worker live");
                failpoint::pass("worker.live");
                self.post(crew);
                match until(&mut status, |_| false).await {
                    Some(end) => end,
                    None => std::future::pending().await,
                }
            } => end,
        }
    }

    fn post(&self, crew: &Crew) {
        for lane in &crew.lanes {
            let consumer = Consumer::new(self.worker.clone(), lane.queue.clone());
            let (broker, outage) = (Arc::clone(&crew.broker), crew.outage.part(Some(&lane.queue)));
            let (settlements, settler) = Settler::new(
                Arc::clone(&broker),
                consumer.clone(),
                Arc::clone(lane),
                outage.part(Some(&lane.queue)),
                crew.give_up.clone(),
            );
            crew.settlers.spawn(settler.run());
            let post = Arc::new(Post {
                broker,
                consumer,
                lane: Arc::clone(lane),
                executor: Arc::clone(&crew.executor),
                outage,
                halt: self.halt.clone(),
                stop: Arc::clone(&self.stop),
                settlements,
                runs: crew.runs.clone(),
            });
            self.posts.spawn(recover(Arc::clone(&post), self.heartbeat.status.clone(), crew.lease));
            self.posts.spawn(fetch(post));
        }
    }

    /// Ends in good order: nothing new starts, what runs may finish for a while, the rest is given
    /// back, and only then does the lease end. Once `hurry` completes, the while is over.
    pub(crate) async fn stop(mut self, crew: &Crew, hurry: impl Future<Output = ()>) {
        self.stop.signal(Cancellation::Shutdown);
        self.halt.cancel();
        self.posts.close();
        crew.runs.close();
        let ended = async {
            // Whoever fetches may start a run, so it ends first.
            self.posts.wait().await;
            crew.runs.wait().await;
        };
        let mut ended = std::pin::pin!(ended);
        let patience = async {
            tokio::select! {
                () = sleep(crew.shutdown_timeout) => {
                    let timeout = crew.shutdown_timeout;
                    tracing::warn!(?timeout, "runs cancelled: they took longer than the shutdown timeout");
                }
                () = hurry => tracing::warn!("runs cancelled: asked to stop a second time"),
            }
        };
        let mut patience = std::pin::pin!(patience);
        let mut status = self.heartbeat.status.clone();
        let mut lost = std::pin::pin!(until(&mut status, |_| false));
        let mut is_lost = false;
        loop {
            tokio::select! {
                biased;
                () = &mut ended => break,
                () = &mut patience => {
                    self.stop.abort(Cancellation::Shutdown);
                    crew.executor.closing.cancel();
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
        failpoint::pass("worker.runs_over");
        crew.settlers.close();
        if timeout(crew.lease, crew.settlers.wait()).await.is_err() {
            crew.give_up.cancel();
            crew.settlers.wait().await;
        }
        failpoint::pass("worker.all_settled");
        self.heartbeat.stop().await;
        failpoint::pass("worker.retired");
    }

    /// Ends at once: what it held is others' now.
    pub(crate) async fn abandon(mut self, crew: &Crew) {
        tracing::error!(worker = %self.worker, "lease lost: this worker was declared dead, and starts again");
        failpoint::pass("worker.lease_lost");
        self.stop.abort(Cancellation::LeaseLost);
        self.halt.cancel();
        self.posts.close();
        // A claim under way may still be lent something. It ends before the life does, which then
        // tells the others of what is left.
        let _ = timeout(crew.lease, self.posts.wait()).await;
        self.heartbeat.stop().await;
        failpoint::pass("worker.abandoned");
    }
}

impl Drop for Life {
    // A worker whose future is dropped has nobody left to wait for its runs.
    fn drop(&mut self) {
        self.halt.cancel();
        self.stop.abort(Cancellation::Shutdown);
    }
}

/// Waits until `reached`, or says how the life ended before; `None` where it was reached.
async fn until(status: &mut watch::Receiver<Status>, reached: impl Fn(&Status) -> bool) -> Option<End> {
    loop {
        match &*status.borrow_and_update() {
            Status::Lost => return Some(End::Lost),
            Status::Refused(error) => return Some(End::Refused(Arc::clone(error))),
            status if reached(status) => return None,
            Status::Starting | Status::Live { .. } => {}
        }
        if status.changed().await.is_err() {
            // The heartbeat's thread is gone without a word, so nobody keeps the lease.
            return Some(End::Lost);
        }
    }
}
