//! Keeping schedules, and firing what is due.

use std::time::Instant;

use actor_core::delivery::Wait;
use actor_core::inspect::{Cursor, Page};
use actor_core::schedule::{
    Change, Declared, Due, Fired, Firing, ListedSchedule, NewSchedule, ScheduleListing, Schedules,
};
use actor_core::{BrokerError, QueueName};
use async_trait::async_trait;
use redis::{FromRedisValue, Value};

use crate::broker::RedisBroker;
use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::queue::Queue;
use crate::request::{Request, fitting};
use crate::script::{self, Call};

/// How many schedules one page lists at most.
const LONGEST_PAGE: usize = 1_000;
/// What one call of a script takes at most.
const AT_ONCE: usize = 64;

#[async_trait]
impl Schedules for RedisBroker {
    async fn upsert(&self, queue: &QueueName, schedules: &[NewSchedule]) -> Vec<Result<(), BrokerError>> {
        let queue = self.inner().queues.get(queue);
        let mut answers = Vec::with_capacity(schedules.len());
        let mut rest = schedules;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(fitting(rest.iter().map(size)).min(AT_ONCE));
            rest = after;
            match self.call::<Vec<u8>>(&queue, "upsert", script::upsert(&queue.keys, part)).await {
                Ok(stored) => answers.extend(part.iter().zip(stored).map(|(new, stored)| is_stored(new, stored > 0))),
                Err(error) => answers.extend(part.iter().map(|_| Err(error.clone().into()))),
            }
        }
        // A worker of this process learns of it at once.
        queue.ticks.forget();
        self.list_queue(&queue).await;
        answers
    }

    async fn declare(
        &self,
        queue: &QueueName,
        schedules: &[NewSchedule],
        begins: bool,
    ) -> Result<Declared, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let (mut found, mut rest) = (Declared::default(), schedules);
        loop {
            let (part, after) = rest.split_at(fitting(rest.iter().map(size)).min(AT_ONCE).min(rest.len()));
            rest = after;
            let call = script::declare(&queue.keys, part, begins);
            let (undeclared, removed): (Vec<String>, Vec<String>) = self.call(&queue, "declare", call).await?;
            found.undeclared.extend(undeclared);
            found.removed.extend(removed);
            if rest.is_empty() {
                break;
            }
        }
        if begins {
            queue.ticks.forget();
        }
        Ok(found)
    }

    async fn due(&self, queue: &QueueName, max: usize, wait: &Wait) -> Result<Due, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let deadline = Instant::now().checked_add(wait.limit());
        let mut known = queue.ticks.watch();
        loop {
            let ask_at = known.borrow_and_update().map(|known| known.ask_at());
            let is_last = wait.is_stopped() || deadline.is_some_and(|deadline| deadline <= Instant::now());
            if is_last || ask_at.is_none_or(|at| at <= Instant::now()) {
                let call = script::due(&queue.keys, max);
                let found = script::found_due(self.call(&queue, "due", call).await?);
                queue.ticks.set(found.next);
                if is_last || max == 0 || !found.schedules.is_empty() {
                    return Ok(Due::new(found.schedules, found.now, found.any));
                }
                known.mark_unchanged();
                continue;
            }
            tokio::select! {
                // An error would mean that the queue is gone, which this broker holds.
                _ = known.changed() => {}
                () = at(ask_at) => {}
                () = at(deadline) => {}
                () = wait.stopped() => {}
            }
        }
    }

    async fn fire(&self, queue: &QueueName, firings: &[Firing]) -> Vec<Result<Fired, BrokerError>> {
        let queue = self.inner().queues.get(queue);
        let mut answers = Vec::with_capacity(firings.len());
        let mut rest = firings;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(fitting(rest.iter().map(weight)).min(AT_ONCE));
            rest = after;
            answers.extend(self.fire_part(&queue, part).await.into_iter().map(|answer| Ok(answer?)));
        }
        answers
    }

    async fn list_schedules(&self, queue: &QueueName, page: Page) -> Result<ScheduleListing, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let after = page.after.as_ref().map(Cursor::as_str);
        let call = script::list_schedules(&queue.keys, after, page.limit.clamp(1, LONGEST_PAGE));
        let (more, found): script::Listing = self.call(&queue, "inspect", call).await?;
        let last = found.last().filter(|_| more).and_then(|last| script::listed_name(last));
        let next = last.map(Cursor::new);
        Ok(ScheduleListing::new(found.iter().filter_map(|one| script::listed(one)).collect(), next))
    }

    async fn read_schedule(&self, queue: &QueueName, name: &str) -> Result<Option<ListedSchedule>, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let call = script::read_schedule(&queue.keys, name);
        let (_, found): script::Listing = self.call(&queue, "inspect", call).await?;
        Ok(found.iter().find_map(|one| script::listed(one)))
    }

    async fn change_schedule(&self, queue: &QueueName, name: &str, change: Change) -> Result<bool, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let call = script::change_schedule(&queue.keys, name, change);
        let call = call.ok_or(RequestError::Unsupported("this change of a schedule"))?;
        let found = self.call(&queue, "inspect", call).await?;
        queue.ticks.forget();
        Ok(found)
    }
}

impl RedisBroker {
    async fn call<T: FromRedisValue>(&self, queue: &Queue, name: &'static str, call: Call) -> Result<T, RequestError> {
        self.inner().commands.to(queue).run(Request::calling(name, call)).await
    }

    async fn fire_part(&self, queue: &Queue, firings: &[Firing]) -> Vec<Result<Fired, RequestError>> {
        let connections = self.inner().commands.to(queue);
        let request = Request::calling("fire", script::fire(&queue.keys, firings));
        let answer = connections.request(&request, ANSWER).await.map(|mut answers| answers.pop());
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(connections.strange("to a script")),
            Err(error) => Err(error),
        };
        let answer = answer.map(|answer| match answer {
            Value::Array(mut parts) if parts.len() == firings.len() + 1 => {
                if let Some(Value::Int(next_ms)) = parts.pop() {
                    let next = u64::try_from(next_ms).ok().map(std::time::Duration::from_millis);
                    queue.ticks.set(next);
                }
                Value::Array(parts)
            }
            strange => strange,
        });
        if answer.is_err() {
            queue.ticks.forget();
        }
        let read = |part: Value| script::fired(&part).ok_or_else(|| connections.strange("to a firing"));
        connections.each(answer, firings.len()).map(|part| part.and_then(read)).collect()
    }

    /// Has the queue listed, also where nobody ever sends to it.
    async fn list_queue(&self, queue: &Queue) {
        let inner = self.inner();
        if let Some(announcement) = queue.first_announcement(inner.queues.namespace()) {
            // Whoever may not read or write the set of queues is only not listed.
            if inner.commands.to_set(&inner.queues).ask::<Value>(&announcement).await.is_err() {
                queue.forget_announcement();
            }
        }
    }
}

fn is_stored(new: &NewSchedule, stored: bool) -> Result<(), BrokerError> {
    let declared = || BrokerError::refused(format!("an actor declares the schedule `{}`", new.name));
    if stored { Ok(()) } else { Err(declared()) }
}

fn size(schedule: &NewSchedule) -> usize {
    schedule.name.len() + schedule.timing.len() + schedule.body.len()
}

fn weight(firing: &Firing) -> usize {
    firing.messages.iter().flat_map(|(messages, _)| messages).map(|message| message.body.len()).sum()
}

/// Completes at this time; never, where there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
