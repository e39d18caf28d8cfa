//! What a [`MemoryBroker`] keeps of messages beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryBroker;
use crate::delivery::{Consumer, Receipt};
use crate::state::States;
use crate::{BrokerError, MessageId, QueueName};

/// The fields of one message.
pub(super) type Fields = BTreeMap<String, Bytes>;

#[async_trait]
impl States for MemoryBroker {
    async fn set(
        &self,
        consumer: &Consumer,
        receipt: &Receipt,
        id: MessageId,
        fields: &[(String, Bytes)],
        keep: Duration,
    ) -> Result<bool, BrokerError> {
        Ok(self.change(&consumer.queue, |queue, now| {
            if !queue.is_held(&consumer.worker, receipt) {
                return false;
            }
            let mut all = queue.states.remove(id).unwrap_or_default();
            all.extend(fields.iter().cloned());
            queue.states.insert(id, all, now.after(keep));
            true
        }))
    }

    async fn get(&self, queue: &QueueName, id: MessageId) -> Result<Vec<(String, Bytes)>, BrokerError> {
        let fields = |fields: &Fields| fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(self.view(queue, |queue| queue.states.get(id).map(fields).unwrap_or_default()))
    }
}
