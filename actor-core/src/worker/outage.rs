//! Whether the broker can be reached: logged once when the first part of a worker misses it, and once when the
//! last one has it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::panic::shielded;
use crate::causes::chain;
use crate::{BrokerError, QueueName};

/// What one part of a worker knows of the broker's absence, which is logged once for all of them, and of the
/// broker's refusals, which are its own.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    shared: Arc<Shared>,
    /// Whose calls these are, where they are those of one queue.
    queue: Option<QueueName>,
    away: AtomicBool,
    refused: AtomicBool,
}

#[derive(Debug, Default)]
struct Shared {
    /// How many parts miss it. A server that takes only some connections is away for some parts alone.
    away: AtomicUsize,
    logged: AtomicBool,
}

impl Outage {
    /// The same absence, for another part, which may be one queue's.
    pub(crate) fn part(&self, queue: Option<&QueueName>) -> Self {
        let (away, refused) = Default::default();
        Self { shared: Arc::clone(&self.shared), queue: queue.cloned(), away, refused }
    }

    /// Notes that a call failed.
    pub(crate) fn failed(&self, error: &BrokerError) {
        let queue = self.queue.as_ref().map(tracing::field::display);
        if error.is_unavailable() {
            if !self.away.swap(true, Ordering::Relaxed) {
                self.shared.away.fetch_add(1, Ordering::Relaxed);
            }
            if !self.shared.logged.swap(true, Ordering::Relaxed) {
                shielded(|| tracing::warn!(queue, error = %chain(error), "broker unreachable"));
            }
        } else if !self.refused.swap(true, Ordering::Relaxed) {
            shielded(|| tracing::error!(queue, error = %chain(error), "broker refuses"));
        }
    }

    /// Notes that a call went well.
    pub(crate) fn ended(&self) {
        // Read first: this is called for every batch, and almost always finds nothing to do.
        if self.shared.logged.load(Ordering::Relaxed) {
            self.is_back();
            let is_last = self.shared.away.load(Ordering::Relaxed) == 0;
            if is_last && self.shared.logged.swap(false, Ordering::Relaxed) {
                shielded(|| tracing::info!("broker reachable again"));
            }
        }
        if self.refused.load(Ordering::Relaxed) && self.refused.swap(false, Ordering::Relaxed) {
            let queue = self.queue.as_ref().map(tracing::field::display);
            shielded(|| tracing::info!(queue, "broker refuses no longer"));
        }
    }

    fn is_back(&self) {
        if self.away.swap(false, Ordering::Relaxed) {
            self.shared.away.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        self.is_back();
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
    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a log").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_terminal_ends_no_part_of_the_worker() {
        let closed = || -> std::io::Empty { panic!("the terminal is closed") };
        let listening = tracing_subscriber::fmt().with_writer(closed).finish();
        tracing::subscriber::with_default(listening, || {
            let outage = Outage::default();
            for error in [BrokerError::unavailable("it is away"), BrokerError::refused("it is read-only")] {
                outage.failed(&error);
                outage.ended();
            }
        });
    }

    #[test]
    fn an_absence_for_some_parts_is_logged_once_until_all_have_it_again() {
        let log = Log::default();
        let written = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || written.clone()).finish();
        let count = |words: &str| String::from_utf8_lossy(&log.0.lock().expect("a log")).matches(words).count();
        tracing::subscriber::with_default(subscriber, || {
            let worker = Outage::default();
            let (mail, video): (QueueName, QueueName) =
                ("mail".parse().expect("a name"), "video".parse().expect("a name"));
            let parts = [worker.part(None), worker.part(Some(&mail)), worker.part(Some(&video))];
            let error = BrokerError::unavailable("it is full");
            for _ in 0..3 {
                parts[1].failed(&error);
                parts[2].failed(&error);
                parts[0].ended();
                parts[1].ended();
            }
            assert_eq!((count("broker unreachable"), count("queue=mail"), count("reachable again")), (1, 1, 0));
            // One that ends misses it no longer.
            let [heartbeat, mail, video] = parts;
            drop((mail, video));
            heartbeat.ended();
        });
        assert_eq!((count("broker unreachable"), count("reachable again")), (1, 1));
    }
}
