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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_run_together_and_one_on_its_last_delivery_is_isolated() {
        let suspects = Suspects::new();
        let first = suspects.admit(false).unwrap();
        let second = suspects.admit(false).unwrap();
        assert!(suspects.admit(true).is_none(), "a last allowed delivery beside two suspects");
        drop((first, second));
        let last = suspects.admit(true).unwrap();
        assert!(suspects.admit(false).is_none(), "a suspect beside a last allowed delivery");
        assert!(suspects.admit(true).is_none(), "two last deliveries at once");
        drop(last);
        assert!(suspects.admit(true).is_some());
    }
}
