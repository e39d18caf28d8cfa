//! Which messages may run beside one another, once their workers have died.
//!
//! A message whose worker died is a suspect. Suspects run beside one another, so that what a killed
//! worker held runs elsewhere soon; but one whose next crash would dead-letter it is isolated: it runs with no
//! other suspect beside it. So a poison message takes its neighbours along until then, and no further.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All permits together: an isolated suspect takes them all.
const ALL: u32 = 1 << 20;

/// The suspects that run on a worker, over all its queues.
#[derive(Debug)]
pub(crate) struct Suspects(Arc<Semaphore>);

/// The right to run a suspect, until it is dropped.
pub(crate) type Admission = OwnedSemaphorePermit;

impl Suspects {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ALL as usize)))
    }

    /// Waits until no isolated suspect runs.
    pub(crate) async fn until_none_is_isolated(&self) {
        // It is never closed.
        let _ = self.0.acquire().await;
    }

    /// Admits a suspect now, beside others or isolated; `None` where it may not run now.
    pub(crate) fn admit(&self, isolated: bool) -> Option<Admission> {
        let permits = if isolated { ALL } else { 1 };
        Arc::clone(&self.0).try_acquire_many_owned(permits).ok()
    }
}
