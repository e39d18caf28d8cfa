//! Outboxes: what follows from runs of one queue and belongs to another waits there, until it is stored where it belongs.
//!
//! An outbox is a stream, and the other queue knows which of its entries was the last to arrive. A relay reads from the oldest
//! entry on, has the other queue store what has not arrived yet, and only then deletes. So any number of relays may do the
//! same at once, or die at any step: each message arrives once, and in the order of the outbox.

use std::sync::Arc;

use actor_core::outbox::{Outbox, Outboxes};
use actor_core::{BrokerError, QueueName};
use async_trait::async_trait;
use redis::Value;

use crate::announce;
use crate::broker::RedisBroker;
use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::queue::Queue;
use crate::request::{Answer, Request};
use crate::script::{self, Outgoing};

/// How many messages are relayed at once.
const AT_ONCE: usize = 128;

#[async_trait]
impl Outboxes for RedisBroker {
    async fn list_outboxes(&self, queue: &QueueName) -> Result<Vec<Outbox>, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let request = Request::calling("inspect", script::outboxes(&queue.keys));
        let found: Vec<(String, u64)> = self.inner().commands.to(&queue).run(request).await?;
        // What is no name was put there by someone else.
        let outbox = |(to, messages): (String, _)| Some(Outbox::new(to.parse().ok()?, messages));
        Ok(found.into_iter().filter_map(outbox).collect())
    }

    async fn relay(&self, from: &QueueName, to: &QueueName) -> Result<u64, BrokerError> {
        let (from, to) = (self.inner().queues.get(from), self.inner().queues.get(to));
        let mut stored = 0;
        loop {
            let outgoing = self.read_outbox(&from, &to).await?;
            let (arrived, new, refused) = self.arrive(&from, &to, &outgoing).await?;
            stored += new;
            let left = self.sent(&from, &to, &outgoing[..arrived]).await?;
            match refused {
                Some(error) => return Err(error.into()),
                None if left == 0 => return Ok(stored),
                None => {}
            }
        }
    }
}

impl RedisBroker {
    async fn read_outbox(&self, from: &Queue, to: &Queue) -> Result<Vec<Outgoing>, RequestError> {
        let connections = self.inner().commands.to(from);
        let request = Request::calling("outbox", script::outbox(&from.keys, &to.name, AT_ONCE));
        let answer = connections.request(&request, ANSWER).await?.pop().unwrap_or(Ok(Value::Nil))?;
        script::read_outbox(&answer).ok_or_else(|| connections.strange("of an outbox"))
    }

    /// Stores what has not arrived yet. Returns how many have arrived now, how many of them by this call, and why the next
    /// one was refused, where it was.
    async fn arrive(
        &self,
        from: &Queue,
        to: &Arc<Queue>,
        outgoing: &[Outgoing],
    ) -> Result<(usize, u64, Option<RequestError>), BrokerError> {
        if outgoing.is_empty() {
            return Ok((0, 0, None));
        }
        if outgoing.iter().any(Outgoing::is_laned) {
            to.set_gated();
        }
        let (with_it, apart) = announce::first(self, to);
        let mut request = Request::new("arrive");
        if let Some(announcement) = with_it {
            request.command(announcement);
        }
        request.call(script::arrive(&to.keys, to.is_gated(), &from.name, outgoing));
        let answer = self.confirmed(to, &request).await;
        if answer.is_err() {
            to.forget_announcement();
        }
        if let Some(apart) = apart {
            announce::listed(apart).await;
        }
        let connections = self.inner().commands.to(to);
        let (before, mut answers) = script::arrived(answer??).ok_or_else(|| connections.strange("to an arrival"))?;
        let refused = answers.pop_if(|last| connections.read(last.clone()).is_err());
        let new = answers.len();
        Ok((before + new, new as u64, refused.and_then(|last| connections.read(last).err())))
    }

    /// Sends a request that stores. Its last answer, once that is as durable as this broker's messages are.
    async fn confirmed(&self, to: &Arc<Queue>, request: &Request) -> Result<Answer, BrokerError> {
        let mut answers = match self.inner().durable.by_default() {
            None => self.inner().commands.to(to).request(request, ANSWER).await?,
            Some(need) => self.inner().durable.request(to, request, need).await?,
        };
        Ok(answers.pop().unwrap_or(Ok(Value::Nil)))
    }

    async fn sent(&self, from: &Queue, to: &Queue, arrived: &[Outgoing]) -> Result<u64, RequestError> {
        let request = Request::calling("sent", script::sent(&from.keys, &to.name, arrived));
        self.inner().commands.to(from).run(request).await
    }
}
