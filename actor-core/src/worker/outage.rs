//! Whether the broker can be reached: logged once when it changes, whoever notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::field::display;

use super::repeats::InFull;
use super::stall::Pulse;
use crate::causes::chain;
use crate::{BrokerError, QueueName};

/// How many outages and refusals are logged each minute.
const MOST_LOGGED: u32 = 10;

/// What one part of a worker knows of the broker's absence and of its refusals. Each part has connections and
/// permissions of its own: one may be cut off while the others work.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Whose part it is; `None` where it is the whole worker's.
    queue: Option<QueueName>,
    away: AtomicBool,
    refused: AtomicBool,
    worker: Arc<Absence>,
    /// What is known of the runtime that it runs on, where user code may block that.
    pulse: Option<Arc<Pulse>>,
}

/// How many parts of a worker cannot reach the broker.
#[derive(Debug, Default)]
struct Absence {
    // Locked where a part's state changes, and never while something is logged.
    parts: Mutex<usize>,
    // Locked for a moment by whoever is to log.
    in_full: Mutex<InFull>,
    /// Whether the log's last word is that the broker is away. It changes under the lock.
    is_logged: AtomicBool,
}

impl Outage {
    /// A worker's, whose parts are on the runtime.
    pub(crate) fn on_the_runtime(pulse: &Arc<Pulse>) -> Self {
        Self::new(None, Some(pulse), &Arc::default())
    }

    /// The same worker's, for a part of its own.
    pub(crate) fn part(&self) -> Self {
        Self::new(None, self.pulse.as_ref(), &self.worker)
    }

    /// The same worker's, for a part of its own on a thread that nobody blocks.
    pub(crate) fn on_a_thread(&self) -> Self {
        Self::new(None, None, &self.worker)
    }

    /// The same worker's, for a part of its own that serves a queue.
    pub(crate) fn part_of(&self, queue: &QueueName) -> Self {
        Self::new(Some(queue.clone()), self.pulse.as_ref(), &self.worker)
    }

    fn new(queue: Option<QueueName>, pulse: Option<&Arc<Pulse>>, worker: &Arc<Absence>) -> Self {
        let (away, refused) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { queue, away, refused, worker: Arc::clone(worker), pulse: pulse.cloned() }
    }

    /// Notes that a call failed.
    pub(crate) fn failed(&self, error: &BrokerError) {
        let queue = || self.queue.as_ref().map(display);
        if error.is_unavailable() {
            if self.pulse.as_ref().is_some_and(|pulse| pulse.stands_still()) {
                tracing::debug!(queue = queue(), error = %chain(error), "no answer while the runtime was blocked");
                return;
            }
            let was_away = self.away.swap(true, Ordering::Relaxed);
            if was_away && self.worker.is_logged.load(Ordering::Relaxed) {
                return;
            }
            if self.worker.count(|parts| *parts += usize::from(!was_away)) {
                tracing::warn!(queue = queue(), error = %chain(error), "broker unreachable");
            } else if !was_away {
                tracing::debug!(queue = queue(), error = %chain(error), "broker unreachable");
            }
        } else if !self.refused.load(Ordering::Relaxed) && self.worker.may_log() {
            self.refused.store(true, Ordering::Relaxed);
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
    /// Counts a part; whether it is news that one is away.
    fn count(&self, change: impl FnOnce(&mut usize)) -> bool {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        let is_news = *parts > 0 && !self.is_logged.load(Ordering::Relaxed) && self.may_log();
        self.is_logged.fetch_or(is_news, Ordering::Relaxed);
        is_news
    }

    /// Whether one more change may be logged: a broker that comes and goes is not logged each time.
    fn may_log(&self) -> bool {
        let mut in_full = self.in_full.lock().unwrap_or_else(PoisonError::into_inner);
        in_full.may_log(MOST_LOGGED, Instant::now().into_std())
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A broker that comes and goes a hundred times, and is away then. How many lines are logged of it.
    fn lines(error: &BrokerError) -> usize {
        let lines = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&lines);
        let writer = move || {
            written.fetch_add(1, Ordering::Relaxed);
            std::io::empty()
        };
        let logging = tracing_subscriber::fmt().with_writer(writer).with_max_level(tracing::Level::INFO).finish();
        tracing::subscriber::with_default(logging, || {
            let outage = Outage::default();
            for _ in 0..100 {
                outage.failed(error);
                outage.failed(error);
                outage.ended();
            }
            outage.failed(error);
        });
        lines.load(Ordering::Relaxed)
    }

    #[test]
    fn a_broker_that_comes_and_goes_does_not_fill_the_log() {
        // Its end is logged of each outage that is.
        assert_eq!(lines(&BrokerError::unavailable("it is away")), 20);
        assert_eq!(lines(&BrokerError::refused("it is read-only")), 20);
    }
}
