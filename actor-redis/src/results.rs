//! How messages ended: a string for each, which expires, and a channel that says that it is there.
//!
//! Whoever waits for a message subscribes to its channel, on a connection that all share who wait in this process. What a
//! lost connection may have missed is found by looking: once subscribed, and every two seconds.

mod find;
mod listener;
mod waiters;

use std::pin::pin;
use std::time::Duration;

use actor_core::delivery::Wait;
use actor_core::results::{Ended, Results, Standing};
use actor_core::{BrokerError, MessageId, QueueName};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};

pub(crate) use self::waiters::Waiters;
use crate::broker::RedisBroker;
use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::queue::Queue;
use crate::request::Request;
use crate::script;

/// How often who waits looks by itself.
const LOOK: Duration = Duration::from_secs(2);

#[async_trait]
impl Results for RedisBroker {
    async fn read_result(&self, queue: &QueueName, id: MessageId) -> Result<Option<Ended>, BrokerError> {
        Ok(self.ended(&self.inner().queues.get(queue), id).await?)
    }

    async fn wait_for_result(
        &self,
        queue: &QueueName,
        id: MessageId,
        wait: &Wait,
    ) -> Result<Option<Ended>, BrokerError> {
        let queue = self.inner().queues.get(queue);
        if wait.limit().is_zero() {
            return Ok(self.ended(&queue, id).await?);
        }
        let mut limit = pin!(sleep(wait.limit()));
        // It is subscribed to while the record is looked for.
        let waiting = self.inner().waiters.wait(self, &queue, queue.keys.ended(id).into());
        loop {
            // Made before the look, so that nothing is missed after it.
            let mut told = pin!(waiting.told());
            told.as_mut().enable();
            let looked = Instant::now();
            let ended = self.ended(&queue, id).await?;
            if ended.is_some() || wait.is_stopped() {
                return Ok(ended);
            }
            tokio::select! {
                // That it is subscribed to, that it has ended, or that the subscription is lost.
                () = told => {}
                () = sleep_until(looked + LOOK.mul_f64(0.75 + fastrand::f64() / 4.0)) => waiting.ensure(self, &queue),
                () = wait.stopped() => {}
                () = &mut limit => return Ok(self.ended(&queue, id).await?),
            }
        }
    }

    async fn keep_result(
        &self,
        queue: &QueueName,
        id: MessageId,
        record: Bytes,
        keep: Duration,
    ) -> Result<(), BrokerError> {
        let queue = self.inner().queues.get(queue);
        let call = script::keep_result(&queue.keys, id, &record, keep);
        let _: u64 = self.inner().commands.to(&queue).run(Request::calling("cancel", call)).await?;
        Ok(())
    }

    async fn find_message(&self, queue: &QueueName, id: MessageId) -> Result<Standing, BrokerError> {
        let queue = self.inner().queues.get(queue);
        Ok(self.at(&queue).standing(id).await?)
    }
}

impl RedisBroker {
    /// How a message ended, as far as that is kept.
    async fn ended(&self, queue: &Queue, id: MessageId) -> Result<Option<Ended>, RequestError> {
        let connections = self.inner().commands.to(queue);
        let request = Request::of("inspect", script::ended(&queue.keys, id).into_iter());
        let answers = connections.request(&request, ANSWER).await?;
        let [record, cancelled, reason] =
            <[_; 3]>::try_from(answers).map_err(|_| connections.strange("of a result"))?;
        if let Some(record) = connections.parse::<Option<Vec<u8>>>(record?)? {
            return Ok(Some(Ended::Recorded(record.into())));
        }
        if connections.parse::<Option<f64>>(cancelled?)?.is_some() {
            return Ok(Some(Ended::Cancelled));
        }
        let reason = connections.parse::<Option<Vec<u8>>>(reason?)?;
        Ok(reason.map(|reason| Ended::Dead { reason: String::from_utf8_lossy(&reason).into_owned() }))
    }
}
