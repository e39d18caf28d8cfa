//! One run of an actor's body: to its end, its time limit or its worker's, whichever comes first.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;
use super::threads::Running;
use crate::call::RunError;
use crate::context::{Cancellation, Context, Stop};

/// What a body came to: its panic is the outer error.
pub(crate) type Ended = Result<Result<(), RunError>, String>;

/// Runs an async actor, which is dropped where it does not end in time.
pub(crate) async fn on_the_runtime(
    running: impl Future<Output = Ended>,
    context: &Context,
    limit: Option<Duration>,
    stop: &Stop,
) -> Outcome {
    let mut running = std::pin::pin!(running);
    // Most runs are over at their first poll, and need neither a timer nor a place among the waiting.
    if let Poll::Ready(ended) = poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await {
        return outcome(ended);
    }
    tokio::select! {
        biased;
        ended = running => outcome(ended),
        limit = over(limit) => {
            context.tell_time_limit();
            Outcome::TimedOut(limit)
        }
        reason = stop.aborted() => interrupted(reason),
    }
}

/// Runs a sync actor. A thread cannot be cancelled: over its limit it is signalled and logged, and keeps its slot.
pub(crate) async fn on_a_thread(
    mut running: Running<Ended>,
    context: &Context,
    limit: Option<Duration>,
    stop: &Stop,
    closing: &CancellationToken,
) -> Outcome {
    let mut stuck = false;
    let mut late = std::pin::pin!(over(limit));
    let reason = loop {
        tokio::select! {
            biased;
            ended = running.ended() => return ended.map_or(Outcome::NoThread, outcome),
            limit = &mut late, if !stuck => {
                context.tell_time_limit();
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
        return interrupted(reason);
    }
    // One that only lost its lease waits for the slot, and what was done all the same counts.
    tokio::select! {
        ended = running.ended() => match ended {
            Ok(Ok(Ok(()))) => Outcome::Succeeded,
            _ => Outcome::LeaseLost,
        },
        () = closing.cancelled() => Outcome::LeaseLost,
    }
}

/// The outcome of a run that its worker ended, or that did not begin.
pub(crate) fn interrupted(reason: Cancellation) -> Outcome {
    match reason {
        Cancellation::LeaseLost => Outcome::LeaseLost,
        Cancellation::Shutdown | Cancellation::TimeLimit => Outcome::Interrupted,
    }
}

fn outcome(ended: Ended) -> Outcome {
    match ended {
        Ok(Ok(())) => Outcome::Succeeded,
        Ok(Err(RunError::Failed(failure))) => Outcome::Failed(failure),
        Ok(Err(RunError::Arguments(what))) => Outcome::Undecodable(what),
        Err(panic) => Outcome::Panicked(panic),
    }
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
