//! Cancelling, deleting and rescheduling messages, in bounded steps.

mod find;
mod page;

use std::time::Duration;

use actor_core::control::{Cancelled, Change, Changed, Control, Deleted, Filter, LimitControl, Rescheduled};
use actor_core::inspect::Cursor;
use actor_core::{BrokerError, MessageId, QueueName};
use async_trait::async_trait;
use redis::Value;

pub(crate) use self::find::Sought;
use crate::broker::RedisBroker;
use crate::error::RequestError;
use crate::inspect::Inspector;
use crate::request::Request;
use crate::script::{self, CancelStep, Due, Indexed, Withdrawn};

#[async_trait]
impl Control for RedisBroker {
    async fn cancel(&self, queue: &QueueName, id: MessageId) -> Result<Cancelled, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let cancelled = self.at(&queue).cancel(id).await?;
        self.known(&queue, cancelled != Cancelled::NotFound).await?;
        Ok(cancelled)
    }

    async fn delete_by_id(&self, queue: &QueueName, id: MessageId) -> Result<Deleted, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let deleted = self.at(&queue).delete_by_id(id).await?;
        self.known(&queue, deleted != Deleted::NotFound).await?;
        Ok(deleted)
    }

    async fn reschedule(&self, queue: &QueueName, id: MessageId, delay: Duration) -> Result<Rescheduled, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let rescheduled = self.at(&queue).reschedule(id, delay).await?;
        self.known(&queue, rescheduled != Rescheduled::NotFound).await?;
        Ok(rescheduled)
    }

    async fn change_page(
        &self,
        queue: &QueueName,
        change: Change,
        filter: &Filter,
        after: Option<&Cursor>,
    ) -> Result<Changed, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let changed = self.at(&queue).change_page(change, filter, after).await?;
        self.known(&queue, changed != Changed::default()).await?;
        Ok(changed)
    }

    fn limit_control(&self) -> Option<&dyn LimitControl> {
        Some(self)
    }
}

impl Inspector<'_> {
    /// The note comes first: from then on whatever would store the message again ends it. So it can only be where it
    /// was, or be delivered, while it is looked for.
    async fn cancel(&self, id: MessageId) -> Result<Cancelled, RequestError> {
        let cancel = Request::calling("cancel", script::cancel(self.keys, id));
        let step = self.connections.run::<Value>(cancel).await?;
        match script::cancelled(&step).ok_or_else(|| self.connections.strange("to cancel"))? {
            CancelStep::Removed => return Ok(Cancelled::Removed),
            CancelStep::Dead => return Ok(Cancelled::NotFound),
            CancelStep::Noted => {}
        }
        let forget = || Request::calling("cancel", script::forget_cancelled(self.keys, id));
        if self.withdraw_waiting_by_id(id).await? {
            self.connections.run::<bool>(forget()).await?;
            return Ok(Cancelled::Removed);
        }
        if let Some(found) = self.find(id).await? {
            // What is in flight is noted again: the first worker of the queue may have begun since.
            match self.withdraw("cancel", &[(found.place, Some(id))]).await?[..] {
                [Withdrawn::Removed] => return Ok(Cancelled::Removed),
                [Withdrawn::InFlight] => return Ok(Cancelled::Requested),
                _ => {}
            }
        }
        // It has ended, perhaps just now and because of the note, or never was.
        let has_ended = self.connections.run::<bool>(forget()).await?;
        Ok(if has_ended { Cancelled::Removed } else { Cancelled::NotFound })
    }

    async fn delete_by_id(&self, id: MessageId) -> Result<Deleted, RequestError> {
        let mut request = Request::calling("inspect", script::remove_scheduled(self.keys, id));
        request.call(script::remove(self.keys, Indexed::Dead, &id.to_string()));
        for answer in self.connections.request(&request, crate::connection::ANSWER).await? {
            if self.connections.parse::<u64>(answer?)? > 0 {
                return Ok(Deleted::Removed);
            }
        }
        if self.withdraw_waiting_by_id(id).await? {
            return Ok(Deleted::Removed);
        }
        let Some(found) = self.find(id).await? else { return Ok(Deleted::NotFound) };
        if found.in_flight {
            return Ok(Deleted::InFlight);
        }
        Ok(match self.withdraw("inspect", &[(found.place, None)]).await?[..] {
            [Withdrawn::Removed] => Deleted::Removed,
            [Withdrawn::InFlight] => Deleted::InFlight,
            _ => Deleted::NotFound,
        })
    }

    async fn reschedule(&self, id: MessageId, delay: Duration) -> Result<Rescheduled, RequestError> {
        let due = Due { after: delay, at: None };
        let (scheduled, ..): (u64, u64, String) = self.run(script::due_by_id(self.keys, &due, id)).await?;
        if scheduled > 0 {
            return Ok(Rescheduled::Moved);
        }
        let dead = redis::cmd("ZSCORE").arg(&self.keys.dead).arg(id.to_string()).take();
        if self.connections.ask::<Option<f64>>(&dead).await?.is_some() {
            return Ok(Rescheduled::Dead);
        }
        if let Some(message) = self.find_in_lanes(id).await? {
            if delay.is_zero() {
                return Ok(Rescheduled::Moved);
            }
            let postpone = script::postpone_waiting(self.keys, &due, &[(message, id.to_string())]);
            let (moved, _): (u64, String) = self.run(postpone).await?;
            if moved > 0 {
                return Ok(Rescheduled::Moved);
            }
        }
        let Some(found) = self.find(id).await? else { return Ok(Rescheduled::NotFound) };
        if found.in_flight {
            return Ok(Rescheduled::InFlight);
        }
        if delay.is_zero() {
            return Ok(Rescheduled::Moved);
        }
        let message = (found.place, id.to_string());
        let (moved, _): (u64, String) = self.run(script::postpone(self.keys, &due, &[message])).await?;
        // What has gone since was delivered.
        Ok(if moved > 0 { Rescheduled::Moved } else { Rescheduled::InFlight })
    }

    /// Removes ready messages, each unless it is in flight.
    async fn withdraw(
        &self,
        name: &'static str,
        messages: &[(crate::place::Place, Option<MessageId>)],
    ) -> Result<Vec<Withdrawn>, RequestError> {
        let answer =
            self.connections.run::<Value>(Request::calling(name, script::withdraw(self.keys, messages))).await?;
        let withdrawn = script::withdrawn(&answer).filter(|each| each.len() == messages.len());
        withdrawn.ok_or_else(|| self.connections.strange("to withdraw"))
    }
}
