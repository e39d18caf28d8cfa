//! What the testing kit needs of the broker: a clock that it holds, and what it waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::MemoryBroker;
use crate::QueueName;

impl MemoryBroker {
    /// Holds the clock, until the guard is dropped.
    pub(crate) fn hold(&self) -> HeldClock<'_> {
        self.lock().clock.hold();
        HeldClock(self)
    }

    /// How long it is until time alone lets a message be delivered from any of the queues.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let mut shared = self.lock();
        let now = shared.clock.now();
        let due = shared.queues.values_mut().filter_map(|slot| {
            slot.queue.tick(now);
            slot.queue.next_due().into_iter().chain(slot.queue.schedules.next_due()).min()
        });
        due.min().map(|due| now.until(due))
    }

    /// What wakes whoever waits for a change of this queue.
    pub(crate) fn changed(&self, queue: &QueueName) -> Arc<Notify> {
        self.with(queue, |slot, _| Arc::clone(&slot.changed))
    }
}

/// While it lives, the broker's time is only what a test adds to it.
pub(crate) struct HeldClock<'a>(&'a MemoryBroker);

impl Drop for HeldClock<'_> {
    fn drop(&mut self) {
        self.0.lock().clock.release();
    }
}
