//! Whether the broker can be reached: told once when it changes, whoever notices.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::BrokerError;

/// What a worker's parts know together of the broker's absence.
#[derive(Debug, Default)]
pub(crate) struct Outage(AtomicBool);

impl Outage {
    /// Notes that a call failed.
    pub(crate) fn failed(&self, error: &BrokerError) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = %chain(error), "broker unreachable");
        }
    }

    /// Notes that a call went well.
    pub(crate) fn ended(&self) {
        // Read first: this is called for every batch, and almost always finds nothing to do.
        if self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("broker reachable again");
        }
    }
}

/// An error's text with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
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
