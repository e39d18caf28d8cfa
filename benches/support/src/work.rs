//! The measured actors. Each records its message's number in the worker's [`Tally`], and does nothing else.

use std::sync::Arc;
use std::time::Duration;

use actor_core::{Context, Limit, Queue, SendError, actor};

use crate::Tally;

/// The queue of [`noop`].
pub const QUEUE: &str = "bench";

/// About 100 bytes of arguments.
pub const TEXT: &str =
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// Does nothing. `text` only sets the size of the message.
#[actor(queue = "bench")]
pub async fn noop(n: u64, text: &str, #[state] tally: &Arc<Tally>) {
    let _ = text;
    tally.start(n);
}

/// The queue of [`returns`].
pub const RETURNS: &str = "bench-results";

/// Returns a number that is kept.
#[actor(queue = "bench-results", results = "30s")]
pub async fn returns(n: u64, text: &str, #[state] tally: &Arc<Tally>) -> Result<u64, String> {
    let _ = text;
    tally.start(n);
    Ok(n)
}

/// A queue with limits that no benchmark reaches.
pub static LIMITED: Queue = Queue::new("bench-limited").concurrency(100_000).per_key(Limit::new().concurrency(10_000));

/// The same in a queue with limits.
#[actor(queue = LIMITED, key = key)]
pub async fn limited(n: u64, key: u64, text: &str, #[state] tally: &Arc<Tally>) {
    let _ = (key, text);
    tally.start(n);
}

/// Does nothing with up to 100 messages at once.
#[actor(queue = "bench-batches", batch(max = 100, wait = "10ms"))]
pub async fn noop_batch(items: Vec<(u64, String)>, #[state] tally: &Arc<Tally>) {
    for (n, _) in items {
        tally.start(n);
    }
}

/// Does nothing, in a plain function: it runs on a thread of the worker.
#[actor(queue = "bench-sync")]
pub fn noop_sync(n: u64, text: &str, #[state] tally: &Arc<Tally>) {
    let _ = text;
    tally.start(n);
}

/// Has [`noop`] follow, in another queue.
#[actor(queue = "bench-chain")]
pub async fn followed(cx: &Context, n: u64, text: &str) -> Result<(), SendError> {
    noop.message(n, text).send_after(cx)?;
    Ok(())
}

/// Fails its first attempt, and is retried within a few milliseconds.
#[actor(queue = "bench-retries", max_retries = 3, min_backoff = "1ms", max_backoff = "1ms")]
pub async fn fails_once(cx: &Context, n: u64, text: &str, #[state] tally: &Arc<Tally>) -> Result<(), String> {
    let _ = text;
    if cx.attempt() == 1 {
        return Err("as always at first".to_owned());
    }
    tally.start(n);
    Ok(())
}

/// Waits for 10 ms, as for another service.
#[actor(queue = "bench-waits")]
pub async fn waits(n: u64, text: &str, #[state] tally: &Arc<Tally>) {
    let _ = text;
    tokio::time::sleep(Duration::from_millis(10)).await;
    tally.start(n);
}

/// Takes a second: slow, compared with a claim.
#[actor(queue = "bench-slow")]
pub async fn slow(n: u64, text: &str, #[state] tally: &Arc<Tally>) {
    let _ = text;
    tokio::time::sleep(Duration::from_secs(1)).await;
    tally.start(n);
}

/// Why [`fails`] fails.
pub const REASON: &str = "the bank is closed";

/// Fails, and is not retried.
#[actor(queue = "bench-fails", max_retries = 0)]
pub async fn fails(n: u64, text: &str) -> Result<(), String> {
    let _ = (n, text);
    Err(REASON.to_owned())
}
