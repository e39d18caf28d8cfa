//! How messages ended, and where they stand, in a [`MemoryBroker`].

use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::sleep;

use super::MemoryBroker;
use super::control::is_of;
use super::queue::Queue;
use crate::delivery::Wait;
use crate::inspect::State;
use crate::results::{Ended, Results, Standing};
use crate::{BrokerError, MessageId, QueueName};

#[async_trait]
impl Results for MemoryBroker {
    async fn read_result(&self, queue: &QueueName, id: MessageId) -> Result<Option<Ended>, BrokerError> {
        Ok(self.view(queue, |queue| queue.ended(id)))
    }

    async fn wait_for_result(
        &self,
        queue: &QueueName,
        id: MessageId,
        wait: &Wait,
    ) -> Result<Option<Ended>, BrokerError> {
        let mut limit = pin!(sleep(wait.limit()));
        let some_end = self.lock().ended.clone();
        loop {
            // Made before the record is looked for, so that no end is missed.
            let mut end = pin!(some_end.notified());
            end.as_mut().enable();
            let ended = self.view(queue, |queue| queue.ended(id));
            if ended.is_some() || wait.is_stopped() {
                return Ok(ended);
            }
            tokio::select! {
                () = end => {}
                () = wait.stopped() => {}
                () = &mut limit => return Ok(self.view(queue, |queue| queue.ended(id))),
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
        self.change(queue, |queue, now| {
            if queue.results.get(id).is_none() {
                queue.results.insert(id, record, now.after(keep));
            }
        });
        self.say_ended();
        Ok(())
    }

    async fn find_message(&self, queue: &QueueName, id: MessageId) -> Result<Standing, BrokerError> {
        Ok(self.view(queue, |queue| queue.standing(id)))
    }
}

impl MemoryBroker {
    /// Wakes whoever waits for the end of a message.
    pub(super) fn say_ended(&self) {
        let some_end = self.lock().ended.clone();
        some_end.notify_waiters();
    }
}

impl Queue {
    /// How a message ended, as far as that is kept.
    fn ended(&self, id: MessageId) -> Option<Ended> {
        if let Some(record) = self.results.get(id) {
            return Some(Ended::Recorded(record.clone()));
        }
        let is_it = is_of(id);
        if let Some(dead) = self.dead.values().find(|dead| is_it(&dead.body)) {
            return Some(Ended::Dead { reason: dead.reason.clone() });
        }
        // It is remembered for a day that it was cancelled in flight.
        (self.cancelled.contains_key(&id) && self.find(id).is_none()).then_some(Ended::Cancelled)
    }

    fn standing(&self, id: MessageId) -> Standing {
        let Some((state, name)) = self.find(id) else { return Standing::Nowhere };
        match state {
            State::Scheduled => Standing::Scheduled { until: name.key.moment().time() },
            State::Waiting => Standing::Waiting,
            State::Ready => Standing::Ready,
            State::InFlight => match self.in_flight.get(&name.key) {
                Some(in_flight) => Standing::InFlight { since: in_flight.since.time() },
                None => Standing::Pending,
            },
            State::Dead => Standing::Dead,
        }
    }
}
