//! Actors from whose runs something follows, and what follows.

use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::{Actor, Context, Failure, Message, MessageId, SendError, actor};
use fastrand::Rng;

use super::{Site, plain, spread};
use crate::history::What;
use crate::process::QUEUES;

/// The reason of [`doomed`].
pub(crate) const DOOM: &str = "doomed";

/// A run that sends after itself.
struct Sender<'a> {
    cx: &'a Context,
    site: &'a Site,
}

impl Sender<'_> {
    /// Sends a message after the run, and records it.
    fn after<A: Actor>(&self, queue: &str, message: Message<A>, delay: Duration) -> Result<(), Failure> {
        let id = message.delay(delay).send_after(self.cx)?;
        self.note(id, queue, delay, false);
        Ok(())
    }

    fn after_failure<A: Actor>(&self, queue: &str, message: Message<A>) -> Result<(), Failure> {
        let id = message.send_after_failure(self.cx)?;
        self.note(id, queue, Duration::ZERO, true);
        Ok(())
    }

    fn note(&self, id: MessageId, queue: &str, delay: Duration, failure: bool) {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let (of, token, queue) = (self.cx.id(), self.cx.fencing_token(), queue.to_owned());
        self.site.journal.note(&What::Follows { id, of, token, queue, delay_ms, failure });
    }

    /// Some to another queue, in their order, and some to its own, of which a few are scheduled.
    fn all(&self, spread: bool) -> Result<(), Failure> {
        let quick = || fastrand::u64(0..10);
        for _ in 0..fastrand::u32(1..4) {
            match spread {
                false => self.after(QUEUES[1], child.message(quick()), Duration::ZERO)?,
                true => {
                    let queue = spread::QUEUES[fastrand::usize(0..spread::QUEUES.len())];
                    let id = spread::send_after(self.cx, queue, quick())?;
                    self.note(id, queue, Duration::ZERO, false);
                }
            }
        }
        let delay = if fastrand::u32(0..4) == 0 { fastrand::u64(20..1_500) } else { 0 };
        self.after(QUEUES[0], plain.message(quick(), 0), Duration::from_millis(delay))?;
        self.after_failure(QUEUES[1], child.message(quick()))
    }
}

/// Follows from a run of another queue.
#[actor(queue = "threads", max_retries = 2, min_backoff = "50ms", max_backoff = "200ms")]
pub(crate) async fn child(cx: &Context, ms: u64, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::time::sleep(Duration::from_millis(ms)).await;
    run.succeed()
}

/// Sends after itself, waits, fails `fails` times, and succeeds. Also where its work was done before: which of its runs
/// counts is not known here.
#[actor(queue = "work", max_retries = 2, min_backoff = "50ms", max_backoff = "200ms")]
pub(crate) async fn parent(
    cx: &Context,
    ms: u64,
    fails: u32,
    spread: bool,
    #[state] site: &Site,
) -> Result<(), Failure> {
    let run = site.begin(cx)?;
    Sender { cx, site }.all(spread)?;
    let Some(run) = run else { return Ok(()) };
    tokio::time::sleep(Duration::from_millis(ms)).await;
    if cx.attempt() <= fails {
        run.fail();
        return Err(Failure::from("not yet"));
    }
    run.succeed()
}

/// Sends after itself, and always fails. It holds a thread.
#[actor(queue = "work", max_retries = 1, min_backoff = "50ms", max_backoff = "200ms")]
pub(crate) fn doomed(cx: &Context, spread: bool, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    Sender { cx, site }.all(spread)?;
    run.fail();
    Err(Failure::from(DOOM))
}

/// Sends one random message from whose run something follows.
pub(crate) async fn send(broker: &dyn Broker, rng: &mut Rng, long: bool, spread: bool) -> Result<(), SendError> {
    let quick = rng.u64(0..15);
    let slow = if long { rng.u64(200..3_000) } else { quick };
    match rng.u32(0..10) {
        0 => doomed.message(spread).send_with(broker).await.map(drop),
        1..3 => parent.message(quick, rng.u32(1..3), spread).send_with(broker).await.map(drop),
        // Long enough to be frozen midway.
        3 => parent.message(slow, 0, spread).send_with(broker).await.map(drop),
        _ => parent.message(quick, 0, spread).send_with(broker).await.map(drop),
    }
}
