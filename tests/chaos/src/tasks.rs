//! The actors. Each fails, waits, blocks or dies in its own way, and records its runs.

pub(crate) mod following;
pub(crate) mod gated;
pub(crate) mod sole;
pub(crate) mod spread;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actor_core::{BatchContext, Cancellation, Context, Failure, MessageId, actor};
use serde::{Deserialize, Serialize};

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

    fn obey(mut self) {
        self.how = How::Cancelled;
    }

    fn fail(mut self) {
        self.how = How::Failed;
    }

    fn refuse(mut self) {
        self.how = How::Refused;
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
        cx.progress(cx.attempt().into(), fails.into());
        // Some of it is stored before the message is settled.
        tokio::time::sleep(Duration::from_millis(5)).await;
        run.fail();
        return Err(Failure::from("not yet"));
    }
    run.succeed()
}

/// A message of [`batched`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) ms: u64,
    /// How often it fails.
    pub(crate) fails: u32,
    /// Whether it kills its worker, with all of its batch.
    pub(crate) kills: bool,
}

/// Waits as long as the longest, fails those that fail, and succeeds with the others.
#[actor(
    queue = "work",
    max_retries = 4,
    min_backoff = "100ms",
    max_backoff = "1s",
    results = "1m",
    batch(max = 20, wait = "20ms")
)]
pub(crate) async fn batched(cx: &BatchContext, items: Vec<Item>, #[state] site: &Site) -> Vec<Result<(), Failure>> {
    let runs: Vec<_> = cx.items().iter().map(|cx| site.begin(cx)).collect();
    tokio::time::sleep(Duration::from_millis(items.iter().map(|item| item.ms).max().unwrap_or_default())).await;
    if items.iter().any(|item| item.kills) {
        std::process::abort();
    }
    let ends = runs.into_iter().zip(items).zip(cx.items()).map(|((run, item), cx)| {
        let Some(run) = run? else { return Ok(()) };
        if cx.attempt() <= item.fails {
            run.fail();
            return Err(Failure::from("not yet"));
        }
        run.succeed()
    });
    ends.collect()
}

/// What a schedule sends each second. It records its tick.
#[actor(queue = "work", max_retries = 4, min_backoff = "100ms", max_backoff = "1s")]
pub(crate) async fn ticked(cx: &Context, #[state] site: &Site) -> Result<(), Failure> {
    if let Some(tick) = cx.scheduled_for() {
        let since = tick.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or_default();
        site.journal.note(&What::Ticked { at, id: cx.id() });
    }
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::task::yield_now().await;
    run.succeed()
}

/// Always fails.
#[actor(queue = "work", max_retries = 2, min_backoff = "50ms", max_backoff = "200ms", results = "1m")]
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

/// Runs until its message is cancelled, or this time is over.
#[actor(queue = "work", max_retries = 2, min_backoff = "50ms", max_backoff = "200ms")]
pub(crate) async fn obedient(cx: &Context, ms: u64, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::select! {
        Cancellation::Requested = cx.cancelled() => {
            run.obey();
            Err(Failure::from("it was cancelled"))
        }
        () = tokio::time::sleep(Duration::from_millis(ms)) => run.succeed(),
    }
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
