//! What a broker keeps of a message beside it while the message goes on: how far its run has come, and what later attempts
//! need of earlier ones.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::delivery::{Consumer, Receipt};
use crate::{BrokerError, MessageId, QueueName};

/// A broker that keeps named fields of messages.
///
/// They stand beside the message, whatever becomes of it, until nothing was written to them for as long as the last write
/// said, or its end has them [forgotten](crate::settlement::Consequence::ForgetState).
///
/// # Cancel safety
///
/// [`set`](Self::set) may or may not have happened when its future is dropped. [`get`](Self::get) has no effect.
#[async_trait]
pub trait States: Send + Sync {
    /// Sets fields of a message, while it is delivered to `consumer` by this receipt, and keeps all its fields for `keep` from
    /// now. Returns whether the message is still held: if not, nothing was changed.
    ///
    /// # Errors
    ///
    /// The storage could not be reached, or refused. The same call may be tried again.
    async fn set(
        &self,
        consumer: &Consumer,
        receipt: &Receipt,
        id: MessageId,
        fields: &[(String, Bytes)],
        keep: Duration,
    ) -> Result<bool, BrokerError>;

    /// The fields of a message, in no order; none where there is nothing.
    ///
    /// # Errors
    ///
    /// The storage could not be reached, or refused.
    async fn get(&self, queue: &QueueName, id: MessageId) -> Result<Vec<(String, Bytes)>, BrokerError>;
}
