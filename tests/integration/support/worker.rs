//! A worker on its own runtime, which a test can stop, or kill as if its process had died.

use std::time::Duration;

use actor_core::{WorkerBuilder, WorkerError};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::probe::within;

/// Short, so that a death is noticed soon; long enough for a busy machine's pauses.
pub const LEASE: Duration = Duration::from_millis(600);

/// A running worker.
pub struct RunningWorker {
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    done: Option<JoinHandle<Result<(), WorkerError>>>,
}

impl RunningWorker {
    /// Starts a worker with a short lease.
    pub fn start(builder: WorkerBuilder) -> Self {
        Self::with_own_lease(builder.lease(LEASE))
    }

    /// Starts a worker whose lease outlives the test, so that whatever runs again was released.
    pub fn for_ever(builder: WorkerBuilder) -> Self {
        Self::with_own_lease(builder.lease(Duration::from_secs(3_600)))
    }

    /// Starts a worker with the builder's lease.
    pub fn with_own_lease(builder: WorkerBuilder) -> Self {
        Self::with_threads(builder, 512)
    }

    /// Starts a worker with so many threads for sync actors.
    pub fn with_threads(builder: WorkerBuilder, threads: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(threads)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let (stop, stopped) = oneshot::channel::<()>();
        let done = runtime.spawn(builder.run_until(async {
            // One that is killed is not asked to stop.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        Self { runtime: Some(runtime), stop: Some(stop), done: Some(done) }
    }

    /// Asks the worker to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.ask();
        self.ended().await.expect("the worker stops in good order");
    }

    /// Asks the worker to stop.
    pub fn ask(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits until the worker has ended.
    pub async fn ended(&mut self) -> Result<(), WorkerError> {
        let done = self.done.take().expect("a worker ends once");
        within(done).await.expect("the worker does not panic")
    }

    /// Ends the runtime as at the end of a program: it waits for what runs on its own threads.
    pub fn end_patiently(mut self) {
        drop(self.runtime.take());
    }

    /// Kills the worker: nothing of it runs on, and nobody renews its lease.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The lease ends first, or a last settlement could slip out.
            runtime.shutdown_background();
        }
    }
}
