//! What a run keeps of its message beside it, while it holds the message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Context;
use crate::delivery::{Consumer, Receipt};
use crate::state::States;
use crate::{Broker, BrokerError, MessageId};

/// The state of a run's message, and the right to change it.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    broker: Arc<dyn Broker>,
    consumer: Consumer,
    receipt: Receipt,
    id: MessageId,
}

impl Kept {
    /// Sets fields of it. Answers whether the message is still held: if not, nothing was changed.
    pub(crate) async fn set(&self, fields: &[(String, Bytes)], keep: Duration) -> Result<bool, BrokerError> {
        match self.states() {
            Some(states) => states.set(&self.consumer, &self.receipt, self.id, fields, keep).await,
            None => Ok(false),
        }
    }

    fn states(&self) -> Option<&dyn States> {
        self.broker.states()
    }
}

impl Context {
    /// What this run may keep of its message; `None` in a context without a worker, and where the broker keeps nothing.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let home = self.0.worker.home.as_ref().filter(|home| home.broker.states().is_some())?;
        Some(Kept {
            broker: Arc::clone(&home.broker),
            consumer: Consumer::new(home.worker.clone(), self.queue().clone()),
            receipt: self.0.run.receipt.clone()?,
            id: self.id(),
        })
    }
}
