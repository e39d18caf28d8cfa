//! The seam between who waits for a result and the storage that keeps it.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;

use crate::delivery::Wait;
use crate::{BrokerError, MessageId, QueueName};

/// A broker that keeps how messages ended, as [`KeepResult`](crate::settlement::Consequence::KeepResult) says it, and knows
/// where a message stands.
///
/// A record is kept until its time is over, a later one of the same message replaces it, or the message's dead letter is
/// replayed. The broker does not know what is in it.
///
/// # Errors
///
/// Each method fails if the storage could not be reached or refused. The same call may be made again.
///
/// # Cancel safety
///
/// [`keep_result`](Self::keep_result) may or may not have happened when its future is dropped. The others have no effect, and leave
/// nothing behind.
#[async_trait]
pub trait Results: Send + Sync {
    /// How a message ended, as far as that is kept. `None` while it has not, and where nothing is kept of it.
    async fn read_result(&self, queue: &QueueName, id: MessageId) -> Result<Option<Ended>, BrokerError>;

    /// The same, once there is anything, or after `wait`. It costs no connection of its own: all that wait at one time in a
    /// process share one.
    async fn wait_for_result(
        &self,
        queue: &QueueName,
        id: MessageId,
        wait: &Wait,
    ) -> Result<Option<Ended>, BrokerError>;

    /// Keeps a record of a message that ended without a run, unless there is one, for `keep` from now.
    async fn keep_result(
        &self,
        queue: &QueueName,
        id: MessageId,
        record: Bytes,
        keep: std::time::Duration,
    ) -> Result<(), BrokerError>;

    /// Where a message stands. It is looked for where a message of its id and age usually is: the work is bounded, however
    /// many messages there are.
    ///
    /// A message that passes from one state to another meanwhile may not be found.
    async fn find_message(&self, queue: &QueueName, id: MessageId) -> Result<Standing, BrokerError>;
}

/// How a message ended, as a broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// There is a record of it.
    Recorded(Bytes),
    /// It was [cancelled](crate::Control::cancel) in flight, and there is no record.
    Cancelled,
    /// It is a dead letter, and there is no record.
    Dead {
        /// Why.
        reason: String,
    },
}

/// Where a message stands, as a broker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It is scheduled: for its time, for a retry, or until a worker can run it.
    Scheduled {
        /// When it is ready, by the storage's clock.
        until: SystemTime,
    },
    /// It waits in its lane, for the limits of its queue.
    Waiting,
    /// It is ready.
    Ready,
    /// It is in flight.
    InFlight {
        /// When it was delivered, by the storage's clock.
        since: SystemTime,
    },
    /// It is a dead letter.
    Dead,
    /// It may wait or be in flight: there are more messages than one call looks at.
    Pending,
    /// It is in no state.
    Nowhere,
}
