//! What is kept of messages beside them: a hash for each message that has any.

use std::time::Duration;

use actor_core::delivery::{Consumer, Receipt};
use actor_core::state::States;
use actor_core::{BrokerError, MessageId, QueueName};
use async_trait::async_trait;
use bytes::Bytes;

use crate::broker::RedisBroker;
use crate::place::Place;
use crate::request::Request;
use crate::script;

#[async_trait]
impl States for RedisBroker {
    async fn set(
        &self,
        consumer: &Consumer,
        receipt: &Receipt,
        id: MessageId,
        fields: &[(String, Bytes)],
        keep: Duration,
    ) -> Result<bool, BrokerError> {
        // A receipt that this broker did not make holds nothing.
        let Some(place) = Place::of(receipt).filter(|_| !fields.is_empty()) else { return Ok(false) };
        let queue = self.inner().queues.get(&consumer.queue);
        let call = script::set_state(&queue.keys, consumer.worker.as_str(), place, id, fields, keep);
        Ok(self.inner().commands.to(&queue).run(Request::calling("set_state", call)).await?)
    }

    async fn get(&self, queue: &QueueName, id: MessageId) -> Result<Vec<(String, Bytes)>, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let fields: Vec<(String, Vec<u8>)> =
            self.inner().commands.to(&queue).ask(&script::get_state(&queue.keys, id)).await?;
        Ok(fields.into_iter().map(|(name, value)| (name, value.into())).collect())
    }
}
