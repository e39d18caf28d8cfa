//! One run of an actor's body: to its end, its time limit or its worker's, whichever comes first.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::panic::{Caught, catch};
use super::threads::{Running, Threads};
use crate::actor::{Handler, ImplementationDef};
use crate::call::{Call, RunError, RunResult};
use crate::context::{Cancellation, Context, Stop};
use crate::layer::{Layers, Next};
use crate::{install, trace};

/// What a body came to: its panic is the outer error.
type Ended = Result<RunResult, String>;

/// How long layers may take beside the body, beyond its time limit.
const LAYERS: Duration = Duration::from_secs(10);

/// What the runs of sync actors share.
#[derive(Debug)]
pub(crate) struct SyncRuns {
    pub(crate) threads: Threads,
    /// The worker's end: nothing is waited for any more.
    pub(crate) closing: CancellationToken,
}

/// A run of an actor's body, about to begin.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) implementation: &'static ImplementationDef,
    pub(super) context: Context,
    pub(super) limit: Option<Duration>,
    pub(super) stop: Arc<Stop>,
    pub(super) sync: Arc<SyncRuns>,
}

// A future that took the run by value would hold it twice, and what is rarely awaited is boxed: each message moves a
// run's future several times.
impl Run {
    /// Runs the body within the worker's layers.
    pub(super) async fn within(&self, layers: &Layers, args: Bytes) -> RunResult {
        let call = Call::new(args, self.context.clone());
        if layers.is_empty() { self.body(call).await } else { Box::pin(self.surrounded(layers, call)).await }
    }

    async fn surrounded(&self, layers: &Layers, call: Call) -> RunResult {
        let (runs, running) = watch::channel(false);
        // Layers may hold it for longer than this future lives.
        let run = self.clone();
        let body = async move {
            runs.send_replace(true);
            let result = run.body(call).await;
            runs.send_replace(false);
            result
        };
        let next = Next::new(layers, &self.context, body);
        tokio::select! {
            biased;
            ended = Caught::new(Box::pin(next.run())) => flat(ended),
            error = self.overrun(running) => Err(error),
        }
    }

    /// Ends layers that take too long. The body bounds itself: a sync one may go on beyond its limit.
    async fn overrun(&self, mut runs: watch::Receiver<bool>) -> RunError {
        loop {
            if *runs.borrow_and_update() {
                if runs.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                continue;
            }
            tokio::select! {
                limit = over(self.limit.map(|limit| limit.saturating_add(LAYERS))) => return RunError::TimedOut(limit),
                reason = self.stop.aborted() => return interrupted(reason),
                Ok(()) = runs.changed() => {}
            }
        }
    }

    async fn body(&self, call: Call) -> RunResult {
        let trace = self.context.trace();
        match self.implementation.handler {
            Handler::Async(run) => match catch(|| run(call)) {
                Ok(running) => self.on_the_runtime(pin!(trace::carrying(trace, Caught::new(running)))).await,
                Err(what) => Err(RunError::Panicked(what)),
            },
            Handler::Blocking(run) => {
                let span = Span::current();
                let body = install::carry(move || {
                    catch(move || span.in_scope(|| trace::carrying_sync(trace, || catch(|| run(call))))).flatten()
                });
                Box::pin(self.on_a_thread(self.sync.threads.run(body))).await
            }
        }
    }

    /// Runs an async actor, which is dropped where it does not end in time.
    async fn on_the_runtime(&self, mut running: Pin<&mut impl Future<Output = Ended>>) -> RunResult {
        // Most runs are over at their first poll, and need neither a timer nor a place among the waiting.
        if let Poll::Ready(ended) = poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await {
            return flat(ended);
        }
        let waiting = async {
            tokio::select! {
                biased;
                ended = running => flat(ended),
                limit = over(self.limit) => {
                    self.context.exceed_time_limit();
                    Err(RunError::TimedOut(limit))
                }
                reason = self.stop.aborted() => Err(interrupted(reason)),
            }
        };
        Box::pin(waiting).await
    }

    /// Runs a sync actor. A thread cannot be cancelled: over its limit it is signalled and logged, and keeps its slot.
    async fn on_a_thread(&self, mut running: Running<Ended>) -> RunResult {
        let (context, limit) = (&self.context, self.limit);
        let mut stuck = false;
        let mut late = pin!(over(limit));
        let reason = loop {
            tokio::select! {
                biased;
                ended = running.ended() => return ended.map_or(Err(RunError::NoThread), flat),
                limit = &mut late, if !stuck => {
                    context.exceed_time_limit();
                    let (queue, actor, id) = (context.queue(), context.actor(), context.id());
                    tracing::warn!(%queue, actor, %id, attempt = context.attempt(), ?limit, "sync actor stuck");
                    stuck = true;
                }
                reason = self.stop.aborted() => break reason,
            }
        };
        // What has not begun must not begin behind the back of whoever runs it next.
        let never_begins = running.revoke();
        if reason != Cancellation::LeaseLost || never_begins {
            // A stopping worker leaves the thread behind.
            return Err(interrupted(reason));
        }
        // One that only lost its lease waits for the slot, and what was done all the same counts.
        tokio::select! {
            ended = running.ended() => match ended {
                Ok(Ok(Ok(()))) => Ok(()),
                _ => Err(RunError::LeaseLost),
            },
            () = self.sync.closing.cancelled() => Err(RunError::LeaseLost),
        }
    }
}

/// The end of a run that its worker ended, or that did not begin.
pub(crate) fn interrupted(reason: Cancellation) -> RunError {
    match reason {
        Cancellation::LeaseLost => RunError::LeaseLost,
        // What was cancelled is not interrupted.
        Cancellation::Shutdown | Cancellation::TimeLimit | Cancellation::Requested => RunError::Interrupted,
    }
}

fn flat(ended: Ended) -> RunResult {
    ended.unwrap_or_else(|panic| Err(RunError::Panicked(panic)))
}

async fn over(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}
