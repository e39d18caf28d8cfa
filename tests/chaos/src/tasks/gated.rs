//! Actors of a queue with limits.

use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::{Context, Failure, Limit, Priority, Queue, SendError, actor};
use fastrand::Rng;

use super::Site;

/// The queue's name.
pub(crate) const QUEUE: &str = "gated";
/// The queue of [`before`]. Its messages are sent to the queue with limits, as those are that were sent before it had any.
pub(crate) const BEFORE_QUEUE: &str = "before";
/// How many slots there are, over all workers.
pub(crate) const SLOTS: u32 = 8;
/// How many of them each key may have.
pub(crate) const SLOTS_OF_KEY: u32 = 2;
/// How many slots' worth of messages start a second.
pub(crate) const RATE: u32 = 200;
/// How many start at once after a pause.
pub(crate) const BURST: u32 = 20;
/// How long a limit elsewhere closes a lane.
pub(crate) const CLOSED: Duration = Duration::from_millis(300);
/// How many keys there are, and the lane of messages without one.
pub(crate) const KEYS: u64 = 6;

static GATED: Queue = Queue::new(QUEUE)
    .concurrency(SLOTS)
    .rate(RATE, Duration::from_secs(1))
    .burst(BURST)
    .per_key(Limit::new().concurrency(SLOTS_OF_KEY))
    .fair();

/// How a message ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    /// How often it fails before.
    pub(crate) fails: u32,
    /// Whether a limit elsewhere refuses its first run.
    pub(crate) refused: bool,
}

/// Waits, is refused or fails, and succeeds.
#[actor(queue = GATED, key = key, max_retries = 2, min_backoff = "50ms", max_backoff = "200ms")]
pub(crate) async fn gated(
    cx: &Context,
    key: u64,
    ms: u64,
    fails: u32,
    refused: bool,
    #[state] site: &Site,
) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::time::sleep(Duration::from_millis(ms)).await;
    if refused && cx.fencing_token() == 1 {
        run.refuse();
        return Err(Failure::rate_limited(CLOSED));
    }
    if cx.attempt() <= fails {
        run.fail();
        return Err(Failure::from(format!("not yet, of key {key}")));
    }
    run.succeed()
}

/// Always fails. It has no key.
#[actor(queue = GATED, max_retries = 1, min_backoff = "50ms", max_backoff = "200ms")]
pub(crate) async fn gated_fails(cx: &Context, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::task::yield_now().await;
    run.fail();
    Err(Failure::from("always_fails"))
}

/// Has no lane.
#[actor(queue = "before", max_retries = 2)]
pub(crate) async fn before(cx: &Context, #[state] site: &Site) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::task::yield_now().await;
    run.succeed()
}

/// Sends one random message, or a batch of one key.
pub(crate) async fn send(broker: &dyn Broker, rng: &mut Rng, long: bool) -> Result<(), SendError> {
    let (key, quick) = (rng.u64(0..KEYS), rng.u64(0..60));
    let slow = if long { rng.u64(200..1_500) } else { quick };
    let one = |ms, Ends { fails, refused }: Ends| gated.message(key, ms, fails, refused);
    let ends = Ends::default();
    let message = match rng.u32(0..100) {
        0..5 => return gated_fails.message().send_with(broker).await.map(drop),
        5..15 => {
            let calls = (0..rng.usize(5..20)).map(|_| (key, rng.u64(0..40), 0, false)).collect::<Vec<_>>();
            return gated.send_many_with(broker, calls).await.map(drop).map_err(|error| error.error);
        }
        15..25 => one(quick, Ends { fails: rng.u32(1..3), ..ends }),
        25..29 => one(quick, Ends { refused: true, ..ends }),
        29..39 => one(quick, ends).delay(Duration::from_millis(rng.u64(50..2_000))),
        39..44 => one(quick, ends).priority(if rng.bool() { Priority::High } else { Priority::Low }),
        // Up to more than all of the key's, and than all that there are.
        44..54 => one(quick, ends).cost(rng.u32(2..5)),
        54 => one(quick, ends).cost(SLOTS + 2),
        // Long enough to be frozen midway.
        55 => one(slow, Ends { fails: rng.u32(0..2), ..ends }),
        _ => one(quick, ends),
    };
    message.send_with(broker).await.map(drop)
}

/// Sends some of each kind at once: with a lane and without, and one of each key that is refused.
pub(crate) async fn burst(broker: &dyn Broker) {
    for _ in 0..4 {
        let calls = (0..KEYS).map(|key| (key, fastrand::u64(0..4), 0, false));
        let _ = gated.send_many_with(broker, calls).await;
        let _ = before.send_many_with(broker, std::iter::repeat_n((), 8)).await;
    }
    let _ = gated.send_many_with(broker, (0..KEYS).map(|key| (key, 0, 0, true))).await;
    let _ = gated.send_many_with(broker, (0..KEYS).map(|key| (key, 0, 0, false))).await;
}
