//! Whether the broker can be reached: logged once when it changes, whoever notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::field::display;

use crate::causes::chain;
use crate::{BrokerError, QueueName};

/// What one part of a worker knows of the broker's absence and of its refusals. Each part has connections and
/// permissions of its own: one may be cut off while the others work.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Whose part it is; `None` where it is the whole worker's.
    queue: Option<QueueName>,
    away: AtomicBool,
    refused: AtomicBool,
    worker: Arc<Absence>,
}

/// How many parts of a worker cannot reach the broker.
#[derive(Debug, Default)]
struct Absence {
    // Taken where a part's state changes, and never while something is logged.
    parts: Mutex<usize>,
    /// Whether the log's last word is that the broker is away. It changes under the lock.
    is_logged: AtomicBool,
}

impl Outage {
    /// The same worker's, for a part of its own.
    pub(crate) fn part(&self) -> Self {
        self.sharing(None)
    }

    /// The same worker's, for a part of its own that serves a queue.
    pub(crate) fn part_of(&self, queue: &QueueName) -> Self {
        self.sharing(Some(queue.clone()))
    }

    fn sharing(&self, queue: Option<QueueName>) -> Self {
        let (away, refused) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { queue, away, refused, worker: Arc::clone(&self.worker) }
    }

    /// Notes that a call failed.
    pub(crate) fn failed(&self, error: &BrokerError) {
        let queue = || self.queue.as_ref().map(display);
        if error.is_unavailable() {
            if self.away.swap(true, Ordering::Relaxed) {
                return;
            }
            let is_first = self.worker.count(|parts| *parts += 1);
            if is_first {
                tracing::warn!(queue = queue(), error = %chain(error), "broker unreachable");
            } else {
                tracing::debug!(queue = queue(), error = %chain(error), "broker unreachable");
            }
        } else if !self.refused.swap(true, Ordering::Relaxed) {
            tracing::error!(queue = queue(), error = %chain(error), "broker refuses");
        }
    }

    /// Notes that a call went well.
    pub(crate) fn ended(&self) {
        // Read first: this is called for every batch, and almost always finds nothing to do.
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            self.worker.count(|parts| *parts -= 1);
            tracing::debug!(queue = self.queue.as_ref().map(display), "this part reaches the broker again");
        }
        if self.worker.is_logged.load(Ordering::Relaxed) && self.worker.is_over() {
            tracing::info!("broker reachable again");
        }
        if self.refused.load(Ordering::Relaxed) && self.refused.swap(false, Ordering::Relaxed) {
            tracing::info!(queue = self.queue.as_ref().map(display), "broker refuses no longer");
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        // A part that has ended reaches nobody again.
        if *self.away.get_mut() {
            self.worker.count(|parts| *parts -= 1);
        }
    }
}

impl Absence {
    /// Counts a part; whether this is the first that is away.
    fn count(&self, change: impl FnOnce(&mut usize)) -> bool {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        *parts > 0 && !self.is_logged.swap(true, Ordering::Relaxed)
    }

    /// Whether every part reaches the broker again, asked by one that does.
    fn is_over(&self) -> bool {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        *parts == 0 && self.is_logged.swap(false, Ordering::Relaxed)
    }
}

/// The waits between tries while the broker is away: from 20 ms to about a second.
#[derive(Debug, Default)]
pub(crate) struct Backoff(u32);

impl Backoff {
    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let ceiling = Duration::from_millis(20 << self.0.min(5));
        self.0 += 1;
        // Half of it is random, so that many workers do not come back at one moment.
        ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        self.0 = 0;
    }
}

/// Completes at `instant`; never, where there is none.
pub(crate) async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
