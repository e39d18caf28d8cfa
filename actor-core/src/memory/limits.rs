//! Changing and reading the limits of a [`MemoryBroker`]'s queues.

use std::num::NonZeroU32;

use async_trait::async_trait;

use super::gate::Gate;
use super::{LONGEST_PAGE, MemoryBroker};
use crate::control::{LaneListing, LimitControl, LimitOf, QueueLimits};
use crate::inspect::{Cursor, Page};
use crate::{BrokerError, Key, Limit, QueueName};

#[async_trait]
impl LimitControl for MemoryBroker {
    async fn set_limit(&self, queue: &QueueName, of: &LimitOf, limit: Option<Limit>) -> Result<(), BrokerError> {
        self.change_gate(queue, |gate| match of {
            LimitOf::Queue => gate.set(false, limit),
            LimitOf::EachKey => gate.set(true, limit),
            LimitOf::Key(key) => gate.set_own(key, |own| own.limit = limit),
        })
    }

    async fn set_weight(&self, queue: &QueueName, key: &Key, weight: Option<NonZeroU32>) -> Result<(), BrokerError> {
        self.change_gate(queue, |gate| gate.set_own(key, |own| own.weight = weight))
    }

    async fn pause_lane(&self, queue: &QueueName, key: &Key) -> Result<(), BrokerError> {
        self.change_gate(queue, |gate| gate.set_own(key, |own| own.paused = true))
    }

    async fn resume_lane(&self, queue: &QueueName, key: &Key) -> Result<(), BrokerError> {
        self.change_gate(queue, |gate| gate.set_own(key, |own| own.paused = false))
    }

    async fn limits(&self, queue: &QueueName) -> Result<QueueLimits, BrokerError> {
        self.known(queue)?;
        Ok(self.view(queue, |queue| queue.gate.limits()))
    }

    async fn lanes(&self, queue: &QueueName, page: Page) -> Result<LaneListing, BrokerError> {
        self.known(queue)?;
        let after = page.after.as_ref().map(|cursor| Key::new(cursor.as_str())).transpose();
        let after = after.map_err(|_| BrokerError::refused("the cursor is not one of this broker's"))?;
        let limit = page.limit.clamp(1, LONGEST_PAGE);
        let mut lanes: Vec<_> =
            self.view(queue, |queue| queue.gate.lanes_after(after.as_ref()).take(limit + 1).collect());
        let is_last = lanes.len() <= limit;
        lanes.truncate(limit);
        let next = lanes.last().filter(|_| !is_last).map(|last| Cursor::new(last.key.as_str()));
        Ok(LaneListing::new(lanes, next))
    }
}

impl MemoryBroker {
    fn change_gate(&self, queue: &QueueName, change: impl FnOnce(&mut Gate)) -> Result<(), BrokerError> {
        self.known(queue)?;
        self.change_and_wake(queue, |in_memory, _| {
            if !in_memory.gate.has_lanes() {
                return Err(BrokerError::without_lanes(queue));
            }
            change(&mut in_memory.gate);
            Ok(())
        })
    }
}
