//! Actors whose messages are unique, each in another way.

use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::{Context, Failure, SendError, actor};
use fastrand::Rng;

use super::{Site, plain};

/// So few that messages of one key meet all the time.
const KEYS: u64 = 12;

async fn run(cx: &Context, site: &Site, ms: u64, fails: u32) -> Result<(), Failure> {
    let Some(run) = site.begin(cx)? else { return Ok(()) };
    tokio::time::sleep(Duration::from_millis(ms)).await;
    if cx.attempt() <= fails {
        run.fail();
        return Err(Failure::from("not yet"));
    }
    run.succeed()
}

/// What is sent while another one is there is dropped.
#[actor(queue = "work", unique(by = key), max_retries = 9, min_backoff = "50ms", max_backoff = "200ms")]
pub(crate) async fn sole(cx: &Context, key: u64, ms: u64, fails: u32, #[state] site: &Site) -> Result<(), Failure> {
    let _ = key;
    run(cx, site, ms, fails).await
}

/// The newest takes the place of one that waits.
#[actor(
    queue = "work",
    unique(by = key, on_conflict = "replace"),
    max_retries = 9,
    min_backoff = "50ms",
    max_backoff = "200ms"
)]
pub(crate) async fn latest(cx: &Context, key: u64, ms: u64, fails: u32, #[state] site: &Site) -> Result<(), Failure> {
    let _ = key;
    run(cx, site, ms, fails).await
}

/// One more follows the one in flight.
#[actor(
    queue = "work",
    unique(by = key, on_conflict = "run_again"),
    max_retries = 9,
    min_backoff = "50ms",
    max_backoff = "200ms"
)]
pub(crate) async fn again(cx: &Context, key: u64, ms: u64, fails: u32, #[state] site: &Site) -> Result<(), Failure> {
    let _ = key;
    run(cx, site, ms, fails).await
}

/// A debounce.
#[actor(
    queue = "work",
    unique(by = key, on_conflict = "postpone", max_wait = "2s"),
    max_retries = 9,
    min_backoff = "50ms",
    max_backoff = "200ms"
)]
pub(crate) async fn debounced(
    cx: &Context,
    key: u64,
    ms: u64,
    fails: u32,
    #[state] site: &Site,
) -> Result<(), Failure> {
    let _ = key;
    run(cx, site, ms, fails).await
}

/// Another one may wait beside the run.
#[actor(
    queue = "work",
    unique(by = key, until = "started", on_conflict = "replace"),
    max_retries = 9,
    min_backoff = "50ms",
    max_backoff = "200ms"
)]
pub(crate) async fn started(cx: &Context, key: u64, ms: u64, fails: u32, #[state] site: &Site) -> Result<(), Failure> {
    let _ = key;
    run(cx, site, ms, fails).await
}

/// Sends one random message that is unique, or has an idempotency key that others have too.
pub(crate) async fn send(broker: &dyn Broker, rng: &mut Rng, long: bool) -> Result<(), SendError> {
    let key = rng.u64(0..KEYS);
    // Long enough to be frozen midway, and to be recovered and still run when that one goes on.
    let is_long = long && rng.u32(0..10) == 0;
    let ms = if is_long { rng.u64(200..3_500) } else { rng.u64(0..60) };
    let fails = if rng.u32(0..if is_long { 2 } else { 6 }) == 0 { rng.u32(1..3) } else { 0 };
    let delay = Duration::from_millis(if rng.u32(0..4) == 0 { rng.u64(20..800) } else { 0 });
    match rng.u32(0..6) {
        0 => sole.message(key, ms, fails).delay(delay).send_with(broker).await.map(drop),
        1 => latest.message(key, ms, fails).delay(delay).send_with(broker).await.map(drop),
        2 => again.message(key, ms, fails).delay(delay).send_with(broker).await.map(drop),
        3 => debounced.message(key, ms, fails).delay(delay).send_with(broker).await.map(drop),
        4 => started.message(key, ms, fails).delay(delay).send_with(broker).await.map(drop),
        // The next ones of this second have the same key.
        _ => {
            let second = crate::clock::now_us() / 1_000_000;
            let order = format!("{second}-{}", rng.u32(0..4));
            plain.message(ms.min(20), 0).idempotency_key(order).send_with(broker).await.map(drop)
        }
    }
}
