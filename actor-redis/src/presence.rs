//! Which connections cannot be made, so that an outage is logged once and so is its end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// For how long a failure counts of a connection that nobody has tried to make since: longer than the pauses
/// of whoever needs it, which are half a minute where a worker looks for the dead.
const COUNTS: Duration = Duration::from_secs(60);

/// What all connections to one server share about its absence.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// Whether its absence was logged, and not yet its end.
    logged: AtomicBool,
    // Locked by whoever connects, and by every request while an absence is logged.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether it ever was there: until then its absence is the caller's error, and no change.
    met: bool,
    next: u64,
    /// The connections that could not be made, and when they were last tried.
    away: BTreeMap<u64, Instant>,
}

/// A connection that could not be made. It counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Away {
    presence: Arc<Presence>,
    number: u64,
}

impl Drop for Away {
    fn drop(&mut self) {
        self.presence.lock().away.remove(&self.number);
    }
}

impl Presence {
    /// A connection could not be made, again or for the first time.
    pub(crate) fn failed(self: &Arc<Self>, address: &str, error: &Error, again: Option<Away>) -> Away {
        let mut known = self.lock();
        let away = again.unwrap_or_else(|| {
            known.next += 1;
            Away { presence: Arc::clone(self), number: known.next }
        });
        known.away.insert(away.number, Instant::now());
        let is_news = known.met && !self.logged.swap(true, Ordering::Relaxed);
        drop(known);
        if is_news {
            tracing::warn!(address, %error, "redis is away");
        }
        away
    }

    /// A connection was made.
    pub(crate) fn connected(&self, address: &str) {
        self.lock().met = true;
        self.used(address);
    }

    /// A connection stands. Costs nothing where no absence is logged.
    pub(crate) fn used(&self, address: &str) {
        if !self.logged.load(Ordering::Relaxed) {
            return;
        }
        let mut known = self.lock();
        known.away.retain(|_, tried| tried.elapsed() < COUNTS);
        let is_over = known.away.is_empty() && self.logged.swap(false, Ordering::Relaxed);
        drop(known);
        if is_over {
            tracing::info!(address, "redis is connected again");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
