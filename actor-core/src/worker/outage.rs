//! Whether the broker can be reached: told once when it changes, whoever notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::panic::shielded;
use crate::BrokerError;
use crate::causes::chain;

/// What one part of a worker knows of the broker's absence, which it shares with all the others, and
/// of the broker's refusals, which are its own.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    away: Arc<AtomicBool>,
    refused: AtomicBool,
}

impl Outage {
    /// The same absence, for another part.
    pub(crate) fn part(&self) -> Self {
        Self { away: Arc::clone(&self.away), refused: AtomicBool::new(false) }
    }

    /// Notes that a call failed.
    pub(crate) fn failed(&self, error: &BrokerError) {
        if error.is_unavailable() {
            if !self.away.swap(true, Ordering::Relaxed) {
                shielded(|| tracing::warn!(error = %chain(error), "broker unreachable"));
            }
        } else if !self.refused.swap(true, Ordering::Relaxed) {
            shielded(|| tracing::error!(error = %chain(error), "broker refuses"));
        }
    }

    /// Notes that a call went well.
    pub(crate) fn ended(&self) {
        // Read first: this is called for every batch, and almost always finds nothing to do.
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            shielded(|| tracing::info!("broker reachable again"));
        }
        if self.refused.load(Ordering::Relaxed) && self.refused.swap(false, Ordering::Relaxed) {
            shielded(|| tracing::info!("broker refuses no longer"));
        }
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
}
