//! Storing messages: ready ones by plain `XADD`, scheduled ones by a script.

use actor_core::BrokerError;
use actor_core::broker::{Enqueue, Enqueued};
use actor_core::failpoint::pass;
use redis::{Cmd, Value};

use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::keys::{Level, MESSAGE};
use crate::link::Route;
use crate::queue::Queue;
use crate::request::{Request, fitting};
use crate::script;

/// How many messages go to Redis at a time, at most: the memory that they take here is bounded by this.
const CHUNK_MESSAGES: usize = 1_000;
/// What one call of a script takes at most, so that it does not hold up the server.
const CALL_MESSAGES: usize = 100;

type Answers = Vec<Result<Enqueued, RequestError>>;

/// Stores messages. The answers stand in their order; none is sent twice. `announcement`, where there is one, has to
/// go with them.
pub(crate) async fn enqueue(
    connections: Route<'_>,
    queue: &Queue,
    mut announcement: Option<Cmd>,
    messages: Vec<Enqueue>,
) -> Vec<Result<Enqueued, BrokerError>> {
    let mut answers = Answers::with_capacity(messages.len());
    let mut rest = messages.as_slice();
    while !rest.is_empty() {
        let sizes = rest.iter().take(CHUNK_MESSAGES).map(|message| message.body.len());
        let (chunk, after) = rest.split_at(fitting(sizes));
        rest = after;
        match store(connections, queue, announcement.take(), chunk).await {
            Ok(stored) => answers.extend(stored),
            Err(error) => answers.extend(chunk.iter().map(|_| Err(error.clone()))),
        }
    }
    answers.into_iter().map(|answer| answer.map_err(BrokerError::from)).collect()
}

async fn store(
    connections: Route<'_>,
    queue: &Queue,
    announcement: Option<Cmd>,
    messages: &[Enqueue],
) -> Result<Answers, RequestError> {
    if let ([message], None) = (messages, &announcement)
        && message.delay.is_zero()
    {
        pass("enqueue_one.unsent");
        let answer = connections.command(&add(queue, message), ANSWER).await?;
        pass("enqueue_one.answered");
        return match answer {
            Value::BulkString(_) => Ok(vec![Ok(Enqueued::Stored)]),
            _ => Err(connections.strange("to XADD")),
        };
    }
    let name = if messages.iter().all(|message| message.delay.is_zero()) { "enqueue" } else { "schedule" };
    let mut request = Request::with_capacity(name, messages.len() + 1);
    if let Some(announcement) = announcement {
        request.command(announcement);
    }
    let first = request.len();
    for message in messages.iter().filter(|message| message.delay.is_zero()) {
        request.command(add(queue, message));
    }
    let calls = request.len();
    let delayed: Vec<_> = messages.iter().filter(|message| !message.delay.is_zero()).collect();
    for batch in delayed.chunks(CALL_MESSAGES) {
        request.call(script::schedule(&queue.keys, batch.iter().copied()));
    }
    let mut answers = match connections.request(&request, ANSWER).await {
        Ok(answers) => answers,
        Err(error) => {
            queue.forget_announcement();
            return Err(error);
        }
    };
    if first > 0 && answers[0].as_ref().is_err_and(|error| !error.is_lasting_refusal()) {
        queue.forget_announcement();
    }
    // From here: the answers of the messages that are ready, then those of the scheduled ones.
    let batches = answers.split_off(calls);
    let mut ready = answers.into_iter().skip(first);
    let batches = batches.into_iter().zip(delayed.chunks(CALL_MESSAGES));
    let mut later = batches.flat_map(|(answer, batch)| connections.each(answer, batch.len()));
    let answer = |message: &Enqueue| match if message.delay.is_zero() { ready.next() } else { later.next() } {
        Some(Ok(Value::BulkString(_) | Value::Int(1))) => Ok(Enqueued::Stored),
        Some(Err(error)) => Err(error),
        _ => Err(connections.strange("to XADD or schedule")),
    };
    Ok(messages.iter().map(answer).collect())
}

fn add(queue: &Queue, message: &Enqueue) -> Cmd {
    let key = queue.keys.ready(Level::of(message.priority));
    let mut add = Cmd::with_capacity(5, key.len() + message.body.len() + 8);
    add.arg("XADD").arg(key).arg("*").arg(MESSAGE).arg(&*message.body);
    add
}
