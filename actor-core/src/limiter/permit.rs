//! What was acquired of a limiter.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::error::LimiterError;
use super::hub::Hub;
use super::lease::Lease;
use super::seam::Holder;

/// What was acquired of a [`Limiter`](super::Limiter).
///
/// One of a concurrent limiter is held until it is dropped or [released](Self::release). Its lease is renewed from a
/// thread of the library's own, also while user code blocks the runtime. Dropping it never blocks: the same thread releases
/// it. A program that ends right after leaves it to the end of its lease.
///
/// What was acquired of a bucket or a window is used, and dropping it gives nothing back.
#[must_use = "a permit of a concurrent limiter is released when it is dropped"]
pub struct Permit(Option<Leased>);

/// A lease, with what keeps it.
struct Leased {
    hub: Arc<Hub>,
    lease: Arc<Lease>,
}

impl Permit {
    /// Of a bucket or a window.
    pub(super) fn used() -> Self {
        Self(None)
    }

    /// One that is being asked for.
    pub(super) fn asked(hub: Arc<Hub>, lease: Arc<Lease>) -> Asked {
        Asked(Self(Some(Leased { hub, lease })))
    }

    /// Whether it is held for certain.
    ///
    /// It is not where the process stood still, or could not reach the storage, for longer than the
    /// [lease](super::LEASE): others may have acquired it. It is again where it could be renewed afterwards. If the storage
    /// says that it is not held any more, that is logged as a warning, and it stays so. What was acquired of a bucket or a
    /// window is never lost.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.as_ref().is_none_or(|leased| leased.lease.is_held())
    }

    /// Releases it, and waits until it is released. Others may then acquire it at once.
    ///
    /// # Errors
    ///
    /// The storage could not be reached. It is tried again as after a drop.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves the permit to be released as after a drop.
    pub async fn release(mut self) -> Result<(), LimiterError> {
        if let Some(Leased { hub, lease }) = &self.0 {
            lease.leave();
            let released = hub.limiters().release(lease.limiter, std::slice::from_ref(&lease.held)).await;
            released.map_err(|error| LimiterError::broker(lease.limiter, error))?;
        }
        if let Some(Leased { hub, lease }) = self.0.take() {
            hub.released(&lease);
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(Leased { hub, lease }) = self.0.take() {
            Hub::release(&hub, lease);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limiter = self.0.as_ref().map(|leased| leased.lease.limiter);
        f.debug_struct("Permit").field("concurrent", &limiter).field("is_held", &self.is_held()).finish()
    }
}

/// A permit that is being asked for. Dropped, it is released, in case that it was granted.
#[derive(Debug)]
pub(super) struct Asked(Permit);

impl Asked {
    pub(super) fn holder(&self) -> Holder {
        self.0.0.as_ref().expect("it has a lease until it is forgotten").lease.held.holder
    }

    /// It was granted to who asked at this time.
    pub(super) fn granted(self, asked: Instant) -> Permit {
        if let Some(leased) = &self.0.0 {
            leased.lease.granted(asked);
        }
        self.0
    }

    /// It was refused: there is nothing to release.
    pub(super) fn forget(mut self) {
        if let Some(Leased { hub, lease }) = self.0.0.take() {
            hub.forget(&lease);
        }
    }
}
