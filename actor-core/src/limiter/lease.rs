//! The lease of a permit, as far as this process knows it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::LEASE;
use super::line::Line;
use super::seam::Held;

/// A permit of a concurrent limiter that is asked for, held or being released.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) limiter: &'static str,
    pub(super) held: Held,
    /// Where others of this process wait for it.
    pub(super) line: Arc<Line>,
    // Locked for moments only, by the keeper and whoever asks.
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    Asked,
    /// The storage was asked at this time, and said that it is held.
    Held(Instant),
    /// The storage said that it is not held any more.
    Lost,
    Leaving,
}

impl Lease {
    pub(super) fn new(limiter: &'static str, held: Held, line: Arc<Line>) -> Self {
        Self { limiter, held, line, known: Mutex::new(Known::Asked) }
    }

    /// Whether it is held for certain: this host's clock says that the lease cannot have ended.
    pub(super) fn is_held(&self) -> bool {
        matches!(*self.known(), Known::Held(renewed) if renewed.elapsed() < LEASE)
    }

    /// Whether it is to be renewed.
    pub(super) fn is_kept(&self) -> bool {
        matches!(*self.known(), Known::Held(_))
    }

    /// The storage, asked at this time, granted it.
    pub(super) fn granted(&self, asked: Instant) {
        *self.known() = Known::Held(asked);
    }

    /// The storage, asked at this time, said that it is held.
    pub(super) fn renewed(&self, asked: Instant) {
        if let Known::Held(renewed) = &mut *self.known() {
            *renewed = asked;
        }
    }

    /// The storage said that it is not held. Whether that is a loss: what is being released is not.
    pub(super) fn lost(&self) -> bool {
        let mut known = self.known();
        let is_loss = matches!(*known, Known::Held(_));
        if is_loss {
            *known = Known::Lost;
        }
        is_loss
    }

    /// It is released from here on.
    pub(super) fn leave(&self) {
        *self.known() = Known::Leaving;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
