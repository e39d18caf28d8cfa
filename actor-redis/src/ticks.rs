//! When a queue's next schedule is due, as well as this process knows: every worker's check for scheduled messages also
//! reads it, so that waiting for a schedule asks for nothing.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::script::CHECK_EVERY;

/// How long what is known stands: longer than two checks of an idle worker are apart.
const STANDS: Duration = CHECK_EVERY.saturating_add(Duration::from_secs(5));

/// What is known of a queue's schedules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    asked: Instant,
    /// When the next is due.
    next: Option<Instant>,
}

impl Known {
    /// When to ask, if nothing new is known until then.
    pub(crate) fn ask_at(&self) -> Instant {
        let stale = self.asked + STANDS;
        self.next.map_or(stale, |next| next.min(stale))
    }
}

/// The same, for whoever waits.
#[derive(Debug, Default)]
pub(crate) struct Ticks(watch::Sender<Option<Known>>);

impl Ticks {
    /// Takes note of how long it is until the next is due.
    pub(crate) fn set(&self, wait: Option<Duration>) {
        let asked = Instant::now();
        let next = wait.and_then(|wait| asked.checked_add(wait));
        self.0.send_replace(Some(Known { asked, next }));
    }

    /// Nothing is known any more.
    pub(crate) fn forget(&self) {
        self.0.send_replace(None);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Option<Known>> {
        self.0.subscribe()
    }
}
