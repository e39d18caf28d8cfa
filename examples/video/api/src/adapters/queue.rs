//! The API's adapter to the queue: it sends, says how far a message is, and counts.

use std::error::Error;
use std::time::Duration;

use actor_core::control::ControlError;
use actor_core::inspect::Counts;
use actor_core::results::{ResultError, Status};
use actor_core::{BrokerError, Inspect, MessageId, SendError};
use actor_redis::RedisBroker;
use uuid::Uuid;
use video_tasks::{Report, process_video};

/// The queue of videos to process.
#[derive(Clone)]
pub(crate) struct VideoQueue {
    broker: RedisBroker,
}

impl VideoQueue {
    /// Installs Redis as the broker of `send`. Connects at the first use, so that the API starts while Redis is down.
    pub(crate) fn connect(redis_url: &str) -> Result<Self, Box<dyn Error>> {
        let broker = RedisBroker::builder(redis_url)?.connect_lazy()?;
        actor_core::install(broker.clone())?;
        Ok(Self { broker })
    }

    /// Sends the message that has a worker process a video.
    pub(crate) async fn enqueue_video_processing(&self, video_id: Uuid) -> Result<MessageId, SendError> {
        Ok(process_video.send(video_id).await?.id())
    }

    /// How far the processing of a video is.
    pub(crate) async fn status(&self, message_id: MessageId) -> Result<Status, ControlError> {
        process_video.status(message_id).await
    }

    /// The report that a worker returned, without waiting for it.
    pub(crate) async fn report(&self, message_id: MessageId) -> Result<Report, ResultError> {
        process_video.result(message_id, Duration::ZERO).await
    }

    /// How many messages the queue holds.
    pub(crate) async fn counts(&self) -> Result<Counts, BrokerError> {
        match self.broker.counts(&process_video.queue()).await {
            // Nothing was ever sent.
            Err(error) if error.is_no_such_queue() => Ok(Counts::default()),
            counts => counts,
        }
    }
}
