//! One run of an actor's body: to its end, its time limit or its worker's, whichever comes first.

use std::future::poll_fn;
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

/// A run of an actor's body, about to begin. It owns what it needs, so that layers may hold it.
pub(super) struct Run {
    pub(super) implementation: &'static ImplementationDef,
    pub(super) args: Bytes,
    pub(super) context: Context,
    pub(super) limit: Option<Duration>,
    pub(super) stop: Arc<Stop>,
    pub(super) sync: Arc<SyncRuns>,
    pub(super) span: Span,
}

impl Run {
    /// Runs the body within the worker's layers.
    pub(super) async fn within(self, layers: &Layers) -> RunResult {
        // Boxed, so that a run without layers is no larger for it: it is moved several times.
        if layers.is_empty() { self.body().await } else { Box::pin(self.surrounded(layers)).await }
    }

    async fn surrounded(self, layers: &Layers) -> RunResult {
        let (limit, stop, context) = (self.limit, Arc::clone(&self.stop), self.context.clone());
        let (runs, running) = watch::channel(false);
        let body = async move {
            runs.send_replace(true);
            let result = self.body().await;
            runs.send_replace(false);
            result
        };
        let next = Next::new(layers, &context, body);
        tokio::select! {
            biased;
            ended = Caught::new(Box::pin(next.run())) => flat(ended),
            error = overrun(running, limit, &stop) => Err(error),
        }
    }

    async fn body(self) -> RunResult {
        let trace = self.context.trace();
        let call = Call::new(self.args, self.context.clone());
        match self.implementation.handler {
            Handler::Async(run) => match catch(|| run(call)) {
                Ok(running) => {
                    let running = trace::carrying(trace, Caught::new(running));
                    on_the_runtime(running, &self.context, self.limit, &self.stop).await
                }
                Err(what) => Err(RunError::Panicked(what)),
            },
            Handler::Blocking(run) => {
                let inner = self.span;
                let body = install::carry(move || {
                    catch(move || inner.in_scope(|| trace::carrying_sync(trace, || catch(|| run(call))))).flatten()
                });
                let running = self.sync.threads.run(body);
                on_a_thread(running, &self.context, self.limit, &self.stop, &self.sync.closing).await
            }
        }
    }
}

/// Ends layers that take too long. The body bounds itself: a sync one may go on beyond its limit.
async fn overrun(mut runs: watch::Receiver<bool>, limit: Option<Duration>, stop: &Stop) -> RunError {
    loop {
        if *runs.borrow_and_update() {
            if runs.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            continue;
        }
        tokio::select! {
            limit = over(limit.map(|limit| limit.saturating_add(LAYERS))) => return RunError::TimedOut(limit),
            reason = stop.aborted() => return interrupted(reason),
            Ok(()) = runs.changed() => {}
        }
    }
}

/// Runs an async actor, which is dropped where it does not end in time.
async fn on_the_runtime(
    running: impl Future<Output = Ended>,
    context: &Context,
    limit: Option<Duration>,
    stop: &Stop,
) -> RunResult {
    let mut running = std::pin::pin!(running);
    // Most runs are over at their first poll, and need neither a timer nor a place among the waiting.
    if let Poll::Ready(ended) = poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await {
        return flat(ended);
    }
    tokio::select! {
        biased;
        ended = running => flat(ended),
        limit = over(limit) => {
            context.exceed_time_limit();
            Err(RunError::TimedOut(limit))
        }
        reason = stop.aborted() => Err(interrupted(reason)),
    }
}

/// Runs a sync actor. A thread cannot be cancelled: over its limit it is signalled and logged, and keeps its slot.
async fn on_a_thread(
    mut running: Running<Ended>,
    context: &Context,
    limit: Option<Duration>,
    stop: &Stop,
    closing: &CancellationToken,
) -> RunResult {
    let mut stuck = false;
    let mut late = std::pin::pin!(over(limit));
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
            reason = stop.aborted() => break reason,
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
        () = closing.cancelled() => Err(RunError::LeaseLost),
    }
}

/// The end of a run that its worker ended, or that did not begin.
pub(crate) fn interrupted(reason: Cancellation) -> RunError {
    match reason {
        Cancellation::LeaseLost => RunError::LeaseLost,
        Cancellation::Shutdown | Cancellation::TimeLimit => RunError::Interrupted,
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
