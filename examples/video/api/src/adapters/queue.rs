//! The API's adapter to the queue: one call sends, another counts.

use std::error::Error;

use actor_core::inspect::Counts;
use actor_core::{BrokerError, Inspect, MessageId, SendError};
use actor_redis::RedisBroker;
use uuid::Uuid;
use video_tasks::process_video;

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

    /// How many messages the queue holds.
    pub(crate) async fn counts(&self) -> Result<Counts, BrokerError> {
        match self.broker.counts(&process_video.queue()).await {
            // Nothing was ever sent.
            Err(error) if error.is_no_such_queue() => Ok(Counts::default()),
            counts => counts,
        }
    }
}
