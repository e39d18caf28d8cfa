//! One session of a worker: from the beginning of a lease to its end, orderly or not.

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
use super::queue_session::{QueueSession, ServedQueue};
use super::recover::recover;
use super::settle::Settler;
use super::unpark::unpark;
use crate::context::{Cancellation, Stop};
use crate::delivery::{Consumer, WorkerId};
use crate::{Broker, BrokerError, failpoint};

/// What a stopping worker waits for a broker that is asked for nothing of value: to come back from a claim, or
/// to end the lease. After a second call to stop, it waits no longer for anything.
const MOMENT: Duration = Duration::from_secs(1);

/// What all sessions of a worker share.
pub(crate) struct Engine {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) name: String,
    pub(crate) lease: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) queues: Vec<Arc<ServedQueue>>,
    pub(crate) executor: Arc<Executor>,
    pub(crate) outage: Outage,
    pub(crate) runs: TaskTracker,
    pub(crate) settlers: TaskTracker,
    /// Ends the settlers' patience with a broker that is away.
    pub(crate) give_up: CancellationToken,
}

/// One session of a worker. Dropped before its end, it drops what it runs and releases it.
pub(crate) struct Session {
    worker: WorkerId,
    heartbeat: Heartbeat,
    halt: CancellationToken,
    /// Leaves claims behind that do not come back after the halt.
    leave: CancellationToken,
    stop: Arc<Stop>,
    /// Fetching and recovering: what may still be delivered something.
    claiming: TaskTracker,
}

/// How a session ended.
pub(crate) enum End {
    /// The worker was asked to stop.
    Asked,
    /// The lease was lost.
    Lost,
    /// The broker refused the worker.
    Refused(Arc<BrokerError>),
}

impl Session {
    /// Begins a lease. Nothing is claimed before it is live.
    pub(crate) fn begin(engine: &Engine) -> std::io::Result<Self> {
        let worker = WorkerId::new(&engine.name);
        let queues = engine.queues.iter().map(|served| served.queue.clone()).collect();
        let (broker, outage) = (Arc::clone(&engine.broker), engine.outage.part());
        let heartbeat = Heartbeat::start(broker, worker.clone(), queues, engine.lease, outage)?;
        let (halt, leave) = (CancellationToken::new(), CancellationToken::new());
        Ok(Self { worker, heartbeat, halt, leave, stop: Arc::default(), claiming: TaskTracker::new() })
    }

    /// Works until `shutdown` completes or the session ends otherwise.
    pub(crate) async fn work(&mut self, engine: &Engine, shutdown: &mut (impl Future<Output = ()> + Unpin)) -> End {
        let mut status = self.heartbeat.status.clone();
        tokio::select! {
            () = shutdown => End::Asked,
            end = async {
                if let Some(end) = until(&mut status, |status| matches!(status, Status::Live { .. })).await {
                    return end;
                }
                tracing::info!(worker = %self.worker, "worker live");
                failpoint::pass("worker.live");
                self.session(engine);
                match until(&mut status, |_| false).await {
                    Some(end) => end,
                    None => std::future::pending().await,
                }
            } => end,
        }
    }

    fn session(&self, engine: &Engine) {
        for served in &engine.queues {
            let consumer = Consumer::new(self.worker.clone(), served.queue.clone());
            let broker = Arc::clone(&engine.broker);
            let outage = || engine.outage.part_of(&served.queue);
            let (settlements, settler) = Settler::new(
                Arc::clone(&broker),
                consumer.clone(),
                Arc::clone(served),
                outage(),
                engine.give_up.clone(),
            );
            engine.settlers.spawn(settler.run());
            let session = |outage| {
                Arc::new(QueueSession {
                    broker: Arc::clone(&broker),
                    consumer: consumer.clone(),
                    served: Arc::clone(served),
                    executor: Arc::clone(&engine.executor),
                    outage,
                    halt: self.halt.clone(),
                    stop: Arc::clone(&self.stop),
                    settlements: settlements.clone(),
                    runs: engine.runs.clone(),
                })
            };
            let recovering = recover(session(outage()), self.heartbeat.status.clone(), engine.lease);
            self.claiming.spawn(unless(self.leave.clone(), recovering));
            let unparking = unpark(session(outage()), self.heartbeat.status.clone());
            self.claiming.spawn(unless(self.leave.clone(), unparking));
            self.claiming.spawn(unless(self.leave.clone(), fetch(session(outage()))));
        }
    }

    /// Ends in good order: nothing new starts, what runs may finish for a while, the rest is given
    /// back, and only then does the lease end. Once `hurry` completes, nothing is waited for but a moment.
    pub(crate) async fn stop(mut self, engine: &Engine, hurry: impl Future<Output = ()>) {
        self.heartbeat.stopping();
        hurried(hurry, |hurried| self.wind_down(engine, hurried)).await;
    }

    async fn wind_down(&mut self, engine: &Engine, hurried: CancellationToken) {
        self.stop.signal(Cancellation::Shutdown);
        self.halt.cancel();
        self.claiming.close();
        engine.runs.close();
        let no_answer = async {
            tokio::select! {
                () = async {
                    engine.runs.wait().await;
                    sleep(MOMENT).await;
                } => {}
                () = hurried.cancelled() => {}
            }
        };
        let ended = async {
            // Whoever fetches may start a run, so it ends first.
            tokio::select! {
                () = self.claiming.wait() => {}
                () = no_answer => self.leave.cancel(),
            }
            self.claiming.wait().await;
            engine.runs.wait().await;
        };
        let mut ended = std::pin::pin!(ended);
        let mut patience = std::pin::pin!(engine.patience(&hurried));
        let mut status = self.heartbeat.status.clone();
        let mut lost = std::pin::pin!(until(&mut status, |_| false));
        let mut is_lost = false;
        loop {
            tokio::select! {
                biased;
                () = &mut ended => break,
                () = &mut patience => {
                    self.stop.abort(Cancellation::Shutdown);
                    engine.executor.closing.cancel();
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
        engine.settle(&hurried).await;
        failpoint::pass("worker.all_settled");
        // Nothing is held any more: where the broker does not answer, the lease may as well end by itself, and
        // the thread with it.
        let _ = timeout(MOMENT, self.heartbeat.stop()).await;
        failpoint::pass("worker.deregistered");
    }

    /// Ends at once: what it held is others' now.
    pub(crate) async fn abandon(mut self, engine: &Engine) {
        tracing::error!(worker = %self.worker, "lease lost: this worker was declared dead, and starts again");
        failpoint::pass("worker.lease_lost");
        self.stop.abort(Cancellation::LeaseLost);
        self.halt.cancel();
        self.claiming.close();
        // A claim under way may still be delivered something. It ends before the session does, which then
        // tells the others of what is left.
        let _ = timeout(engine.lease, self.claiming.wait()).await;
        self.leave.cancel();
        self.heartbeat.stop().await;
        failpoint::pass("worker.abandoned");
    }
}

impl Drop for Session {
    // A worker whose future is dropped has nobody left to wait for its runs.
    fn drop(&mut self) {
        self.halt.cancel();
        self.stop.abort(Cancellation::Shutdown);
    }
}

impl Engine {
    /// Ends a worker in good order between two sessions: it holds nothing but what could not be dropped.
    pub(crate) async fn stop(&self, hurry: impl Future<Output = ()>) {
        hurried(hurry, async |hurried| {
            self.runs.close();
            tokio::select! {
                () = self.runs.wait() => {}
                () = self.patience(&hurried) => self.executor.closing.cancel(),
            }
            self.runs.wait().await;
            self.settle(&hurried).await;
        })
        .await;
    }

    /// Completes when what runs has had its time.
    async fn patience(&self, hurried: &CancellationToken) {
        tokio::select! {
            () = sleep(self.shutdown_timeout) => {
                let timeout = self.shutdown_timeout;
                tracing::warn!(?timeout, "runs cancelled: they took longer than the shutdown timeout");
            }
            () = hurried.cancelled() => {}
        }
    }

    /// Waits until all that ended is settled: for a lease, and a moment where it is hurried.
    async fn settle(&self, hurried: &CancellationToken) {
        self.settlers.close();
        let patience = async {
            tokio::select! {
                () = sleep(self.lease) => {}
                () = async {
                    hurried.cancelled().await;
                    sleep(MOMENT).await;
                } => {}
            }
        };
        tokio::select! {
            biased;
            () = self.settlers.wait() => return,
            () = patience => self.give_up.cancel(),
        }
        self.settlers.wait().await;
    }
}

/// Drives a stop to its end, and tells it once `hurry` completes.
async fn hurried<F: Future<Output = ()>>(hurry: impl Future<Output = ()>, stop: impl FnOnce(CancellationToken) -> F) {
    let hurried = CancellationToken::new();
    let mut stopping = std::pin::pin!(stop(hurried.clone()));
    tokio::select! {
        biased;
        () = &mut stopping => return,
        () = hurry => {}
    }
    tracing::warn!("runs cancelled: asked to stop a second time");
    hurried.cancel();
    stopping.await;
}

/// Works until its own end, or is dropped where it stands.
async fn unless(leave: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = leave.cancelled() => {}
    }
}

/// Waits until `reached`, or says how the session ended before; `None` where it was reached.
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
