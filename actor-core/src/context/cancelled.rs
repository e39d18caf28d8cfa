//! The messages of which a worker has learned that they were cancelled.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{MessageId, QueueName};

/// How many a worker remembers of a queue, the last ones. It learns of each while the message is in flight, or was a
/// moment before.
const MOST: usize = 16_384;

/// What a worker's session knows of cancelled messages. Written by its heartbeat, read by its runs.
#[derive(Debug, Default)]
pub(crate) struct CancelledMessages {
    /// Whether there is any: each message asks this, and nothing more where there is none.
    any: AtomicBool,
    // Never held over an await.
    by_queue: Mutex<HashMap<QueueName, Known>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    ids: HashSet<MessageId>,
    in_order: VecDeque<MessageId>,
}

impl CancelledMessages {
    /// Learns that these were cancelled, and wakes the runs that wait for it.
    pub(crate) fn learn(&self, queue: &QueueName, ids: impl IntoIterator<Item = MessageId>) {
        let mut by_queue = self.lock();
        let known = by_queue.entry(queue.clone()).or_default();
        for id in ids {
            if known.ids.insert(id) {
                known.in_order.push_back(id);
            }
            if known.in_order.len() > MOST
                && let Some(first) = known.in_order.pop_front()
            {
                known.ids.remove(&first);
            }
        }
        let any = !known.ids.is_empty();
        drop(by_queue);
        if any {
            self.any.store(true, Ordering::Release);
            self.changed.notify_waiters();
        }
    }

    pub(crate) fn contains(&self, queue: &QueueName, id: MessageId) -> bool {
        self.any.load(Ordering::Acquire) && self.lock().get(queue).is_some_and(|known| known.ids.contains(&id))
    }

    /// Completes once this message is cancelled.
    pub(crate) async fn until(&self, queue: &QueueName, id: MessageId) {
        loop {
            // Made before it is asked, so that no change is missed.
            let changed = self.changed.notified();
            if self.contains(queue, id) {
                return;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueName, Known>> {
        // Nothing panics while it is held.
        self.by_queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered() {
        let (known, mail): (_, QueueName) = (CancelledMessages::default(), "mail".parse().unwrap());
        let ids: Vec<_> = (0..=MOST).map(|_| MessageId::new()).collect();
        known.learn(&mail, ids.iter().copied());
        assert!(!known.contains(&mail, ids[0]));
        assert!(known.contains(&mail, ids[1]) && known.contains(&mail, ids[MOST]));
        assert!(!known.contains(&"other".parse().unwrap(), ids[1]));
    }
}
