//! How many runs may go on at once: of one queue, and over all queues of a worker.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One queue's slots, within those of the worker where it has a bound over all queues.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    own: Arc<Semaphore>,
    total: Option<Arc<Semaphore>>,
}

/// A place for one run. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Slot {
    _own: OwnedSemaphorePermit,
    _total: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(crate) fn new(count: usize, total: Option<Arc<Semaphore>>) -> Self {
        Self { own: Arc::new(Semaphore::new(count)), total }
    }

    pub(crate) fn try_acquire(&self) -> Option<Slot> {
        let own = Arc::clone(&self.own).try_acquire_owned().ok()?;
        let total = match &self.total {
            Some(total) => Some(Arc::clone(total).try_acquire_owned().ok()?),
            None => None,
        };
        Some(Slot { _own: own, _total: total })
    }

    /// Waits for a slot. Queues that wait for the worker's next are served in turns.
    pub(crate) async fn acquire(&self) -> Slot {
        let never_closed = "nobody closes it";
        let own = Arc::clone(&self.own).acquire_owned().await.expect(never_closed);
        let total = match &self.total {
            Some(total) => Some(Arc::clone(total).acquire_owned().await.expect(never_closed)),
            None => None,
        };
        Slot { _own: own, _total: total }
    }

    pub(crate) fn free(&self) -> usize {
        let total = self.total.as_ref().map_or(usize::MAX, |total| total.available_permits());
        self.own.available_permits().min(total)
    }
}
