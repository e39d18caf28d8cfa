//! What all clones of the broker share.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::clock::{Clock, Moment};
use super::queue::{Queue, Retention};
use crate::QueueName;
use crate::broker::Enqueue;
use crate::digest::Digest;
use crate::settlement::Consequence;
use crate::worker::panic::shielded;

/// The state of all clones. Every method of every clone takes the lock, and none holds it while it
/// waits.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) retention: Retention,
    pub(super) weighted: bool,
    pub(super) queues: HashMap<QueueName, Slot>,
    /// Wakes whoever waits for the end of a message.
    pub(super) ended: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct Slot {
    pub(super) queue: Queue,
    /// Wakes every claim that waits, since one of them may be stopped or dropped at that moment and
    /// would lose a wake-up meant for one.
    pub(super) changed: Arc<Notify>,
    pub(super) pruned: Digest,
}

pub(super) fn log_pruned(queue: &QueueName, pruned: Option<u64>) {
    if let Some(pruned) = pruned {
        shielded(|| tracing::warn!(%queue, pruned, "dead letters pruned: they were too many or too old"));
    }
}

impl Shared {
    /// Changes a queue as it is now. Returns also how many dead letters were pruned, where that is to be logged.
    pub(super) fn change<T>(
        &mut self,
        queue: &QueueName,
        work: impl FnOnce(&mut Slot, Moment) -> T,
    ) -> (T, Option<u64>) {
        let now = self.clock.now();
        let slot = self.slot(queue);
        slot.queue.tick(now);
        let value = work(slot, now);
        (value, slot.pruned.add(std::mem::take(&mut slot.queue.unlogged)))
    }

    /// Stores what follows from a settlement that was applied. Returns what wakes who waits for it.
    pub(super) fn follow(&mut self, consequences: &[Consequence]) -> Vec<Arc<Notify>> {
        let sends = consequences.iter().filter_map(|consequence| match consequence {
            Consequence::Send { queue, message } => Some((queue, &**message)),
            Consequence::EndTick(_) | Consequence::ForgetState(_) | Consequence::KeepResult { .. } => None,
        });
        let store = |(queue, message): (&QueueName, &Enqueue)| {
            let stored = self.change(queue, |slot, now| {
                slot.queue.enqueue(Enqueue::clone(message), now);
                Arc::clone(&slot.changed)
            });
            stored.0
        };
        sends.map(store).collect()
    }

    pub(super) fn slot(&mut self, queue: &QueueName) -> &mut Slot {
        // Not by `entry`, which would clone the name each time.
        if !self.queues.contains_key(queue) {
            let slot = self.queues.entry(queue.clone()).or_default();
            (slot.queue.retention, slot.queue.weighted) = (self.retention, self.weighted);
        }
        self.queues.get_mut(queue).expect("it was inserted where it was missing")
    }
}
