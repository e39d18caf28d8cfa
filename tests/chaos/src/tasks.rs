//! The actors. Each fails, waits, blocks or dies in its own way, and records its runs.

pub(crate) mod sole;
pub(crate) mod spread;

use std::sync::Arc;
use std::time::Duration;

use actor_core::{Context, Failure, MessageId, actor};

use crate::history::{How, Journal, What};
use crate::ledger::{Answer, Client};

/// What a worker gives its actors: a history, and the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) journal: Arc<Journal>,
    pub(crate) ledger: Arc<Client>,
}

/// A run, which records its end even if it is dropped.
struct Run<'a> {
    site: &'a Site,
    id: MessageId,
    token: u64,
    how: How,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.site.journal.note(&What::End { id: self.id, token: self.token, how: self.how });
    }
}

impl Site {
    /// Records that a run began. `Ok(None)` if its work was done before.
    fn begin(&self, cx: &Context) -> Result<Option<Run<'_>>, Failure> {
        self.journal.note(&What::Start {
            id: cx.id(),
            actor: cx.actor().to_owned(),
            attempt: cx.attempt(),
            crashes: cx.crashes(),
            token: cx.fencing_token(),
        });
        let mut run = Run { site: self, id: cx.id(), token: cx.fencing_token(), how: How::Dropped };
        match self.ledger.begin(run.id, run.token) {
            Answer::Granted => Ok(Some(run)),
            Answer::Done => {
                run.how = How::DoneBefore;
                Ok(None)
            }
            Answer::Stale => run.stale(),
        }
    }
}

impl Run<'_> {
    fn stale<T>(mut self) -> Result<T, Failure> {
        self.how = How::Stale;
        Err(Failure::from("another run of this message has a newer token"))
    }

    /// Requests the effect, and succeeds if it is granted.
    fn succeed(mut self) -> Result<(), Failure> {
        match self.site.ledger.commit(self.id, self.token) {
            Answer::Granted => self.how = How::Done,
            Answer::Done => self.how = How::DoneBefore,
            Answer::Stale => return self.stale(),
        }
        Ok(())
    }

    fn fail(mut self) {
        self.how = How::Failed;
    }
}

/// The wait that `patient` asks for.
pub(crate) const PATIENCE: Duration = Duration::from_millis(700);

/// Waits, fails `fails` times, and succeeds.
#[actor(queue = "work", max_retries = 4, min_backoff = "100ms", max_backoff = "1s")]
pub(crate) async fn plain(cx: &Context, ms: u64, fails: u32, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    if cx.attempt() <= fails {
        run.fail();
        return Err(Failure::from("not yet"));
    }
    run.succeed()
}

/// Always fails.
#[actor(queue = "work", max_retries = 2, min_backoff = "50ms", max_backoff = "200ms")]
pub(crate) async fn always_fails(cx: &Context, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::task::yield_now().await;
    run.fail();
    Err(Failure::from("always_fails"))
}

/// Chooses the time of its retry.
#[actor(queue = "work", max_retries = 2)]
pub(crate) async fn patient(cx: &Context, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::task::yield_now().await;
    if cx.attempt() == 1 {
        run.fail();
        return Err(Failure::retry_in(PATIENCE, "scheduled"));
    }
    run.succeed()
}

/// Panics once.
#[actor(queue = "work", max_retries = 2, min_backoff = "50ms", max_backoff = "200ms")]
pub(crate) async fn jumpy(cx: &Context, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::task::yield_now().await;
    if cx.attempt() == 1 {
        run.fail();
        panic!("boo");
    }
    run.succeed()
}

/// Holds a thread, and ignores its cancellation: a worker that lost its lease still runs it.
#[actor(queue = "threads", max_retries = 3, min_backoff = "100ms", max_backoff = "500ms")]
pub(crate) fn stubborn(cx: &Context, ms: u64, fails: u32, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    std::thread::sleep(Duration::from_millis(ms));
    if cx.attempt() <= fails {
        run.fail();
        return Err(Failure::from("not yet"));
    }
    run.succeed()
}

/// The queue that [`newest`] is declared for. Its messages are sent to the queue that all workers serve, where they
/// wait for a worker that has its state, as if an older program lacked the actor.
pub(crate) const NEWEST_QUEUE: &str = "newest";

/// The state that only workers of the newest version have: how long a run takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewestState(pub(crate) Duration);

/// The newest actor.
#[actor(queue = "newest", max_retries = 2)]
pub(crate) async fn newest(
    cx: &Context,
    #[state] site: &Site,
    #[state] newest_state: &NewestState,
) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::time::sleep(newest_state.0).await;
    run.succeed()
}

/// Blocks its runtime.
#[actor(queue = "work", max_retries = 3)]
#[allow(clippy::unused_async)] // Blocking is the point.
pub(crate) async fn hog(cx: &Context, ms: u64, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    std::thread::sleep(Duration::from_millis(ms));
    run.succeed()
}

/// Kills its worker.
#[actor(queue = "work", max_retries = 3)]
#[allow(clippy::unused_async)] // Unreachable.
pub(crate) async fn poison(cx: &Context, #[state] site: &Site) -> Result<(), Failure> {
    let Some(_run) = site.begin(cx)? else { return Ok(()) };
    std::process::abort()
}

/// Allocates until its worker dies.
#[actor(queue = "work", max_retries = 3)]
pub(crate) async fn leaky(cx: &Context, #[state] site: &Site) -> Result<(), Failure> {
    let Some(_run) = site.begin(cx)? else { return Ok(()) };
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        // Writing makes the kernel really allocate it.
        kept.push(vec![1; 8 << 20]);
        tokio::task::yield_now().await;
    }
}
