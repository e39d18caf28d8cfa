//! Storing messages: ready ones by plain `XADD`, scheduled ones and those that wait in lanes by a script.

use actor_core::BrokerError;
use actor_core::broker::{Enqueue, Enqueued};
use actor_core::failpoint::pass;
use redis::{Cmd, Value};

use crate::connection::ANSWER;
use crate::error::RequestError;
use crate::keys::{Level, MESSAGE};
use crate::link::Route;
use crate::queue::Queue;
use crate::request::{Answer, Request, fitting};
use crate::script::{self, Enter};

/// How many messages go to Redis at a time, at most: the memory that they take here is bounded by this.
pub(crate) const CHUNK_MESSAGES: usize = 1_000;
/// What one call of a script takes at most, so that it does not hold up the server.
const CALL_MESSAGES: usize = 100;
/// The same of messages for lanes: those of one lane go in one step, so that more at a time cost less.
const CALL_LANED: usize = 250;

pub(crate) type Answers = Vec<Result<Enqueued, RequestError>>;

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
        && Way::of(message) == Way::Ready
    {
        pass("enqueue_one.unsent");
        let answer = connections.command(&add(queue, message), ANSWER).await?;
        pass("enqueue_one.answered");
        return match answer {
            Value::BulkString(_) => Ok(vec![Ok(Enqueued::Stored)]),
            _ => Err(connections.strange("to XADD")),
        };
    }
    let name = match messages.iter().map(Way::of).max() {
        Some(Way::Unique) => "unique",
        Some(Way::Scheduled) => "schedule",
        Some(Way::Lane) => "enter",
        _ => "enqueue",
    };
    let mut request = Request::with_capacity(name, messages.len() + 1);
    let part = Part::put(&mut request, queue, announcement, messages);
    match connections.request(&request, ANSWER).await {
        Ok(answers) => Ok(part.read(connections, answers)),
        Err(error) => {
            queue.forget_announcement();
            Err(error)
        }
    }
}

/// How a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Ready,
    Lane,
    Scheduled,
    Unique,
}

impl Way {
    fn of(message: &Enqueue) -> Self {
        if message.unique.is_some() || message.idempotency.is_some() {
            return Self::Unique;
        }
        match (message.delay.is_zero(), &message.lane) {
            (false, _) => Self::Scheduled,
            (true, Some(_)) => Self::Lane,
            (true, None) => Self::Ready,
        }
    }
}

/// Messages to one queue in a request, and where their answers stand: those of the ready ones before those in lanes,
/// these before those of the scheduled ones, and those last of which another may stand for one.
pub(crate) struct Part<'a> {
    queue: &'a Queue,
    messages: &'a [Enqueue],
    laned: Vec<&'a Enqueue>,
    delayed: Vec<&'a Enqueue>,
    unique: Vec<&'a Enqueue>,
    is_announced: bool,
    len: usize,
}

impl<'a> Part<'a> {
    /// Adds what stores the messages to a request.
    pub(crate) fn put(
        request: &mut Request,
        queue: &'a Queue,
        announcement: Option<Cmd>,
        messages: &'a [Enqueue],
    ) -> Self {
        let before = request.len();
        let is_announced = announcement.is_some();
        if let Some(announcement) = announcement {
            request.command(announcement);
        }
        let of = |way| messages.iter().filter(move |message| Way::of(message) == way);
        for message in of(Way::Ready) {
            request.command(add(queue, message));
        }
        let (laned, delayed): (Vec<_>, Vec<_>) = (of(Way::Lane).collect(), of(Way::Scheduled).collect());
        let unique: Vec<_> = of(Way::Unique).collect();
        if messages.iter().any(|message| message.lane.is_some()) {
            queue.set_gated();
        }
        for batch in laned.chunks(CALL_LANED) {
            let messages = batch.iter().filter_map(|Enqueue { priority, body, lane, .. }| {
                let lane = lane.as_ref()?;
                Some(Enter { priority: *priority, key: lane.key.as_str(), cost: lane.cost, body })
            });
            request.call(script::enter(&queue.keys, messages));
        }
        for batch in delayed.chunks(CALL_MESSAGES) {
            request.call(script::schedule(&queue.keys, batch.iter().copied()));
        }
        for batch in unique.chunks(CALL_MESSAGES) {
            request.call(script::store(&queue.keys, queue.is_gated(), batch.iter().copied()));
        }
        Self { queue, messages, laned, delayed, unique, is_announced, len: request.len() - before }
    }

    /// How many answers are its own.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the answers of those in lanes begin, those of the scheduled ones, and those of the last.
    fn batches_at(&self, first: usize) -> (usize, usize, usize) {
        let laned_at = first + self.messages.len() - self.laned.len() - self.delayed.len() - self.unique.len();
        let delayed_at = laned_at + self.laned.len().div_ceil(CALL_LANED);
        (laned_at, delayed_at, delayed_at + self.delayed.len().div_ceil(CALL_MESSAGES))
    }

    /// Where the answer to each message stands among its own.
    pub(crate) fn places(&self) -> Vec<usize> {
        let first = usize::from(self.is_announced);
        let (laned_at, delayed_at, unique_at) = self.batches_at(first);
        let mut ready = first..;
        let mut laned = (0..).map(|at| laned_at + at / CALL_LANED);
        let mut later = (0..).map(|at| delayed_at + at / CALL_MESSAGES);
        let mut unique = (0..).map(|at| unique_at + at / CALL_MESSAGES);
        let place = |message: &Enqueue| match Way::of(message) {
            Way::Ready => ready.next(),
            Way::Lane => laned.next(),
            Way::Scheduled => later.next(),
            Way::Unique => unique.next(),
        };
        self.messages.iter().filter_map(place).collect()
    }

    /// Reads its own answers.
    pub(crate) fn read(self, connections: Route<'_>, mut answers: Vec<Answer>) -> Answers {
        let first = usize::from(self.is_announced);
        if self.is_announced && answers[0].as_ref().is_err_and(|error| !error.is_lasting_refusal()) {
            self.queue.forget_announcement();
        }
        let (laned_at, delayed_at, unique_at) = self.batches_at(first);
        let unique = answers.split_off(unique_at);
        let delayed = answers.split_off(delayed_at);
        let laned = answers.split_off(laned_at);
        let mut ready = answers.into_iter().skip(first);
        let each = |(answer, batch): (Answer, &[&Enqueue])| connections.each(answer, batch.len());
        let mut laned = laned.into_iter().zip(self.laned.chunks(CALL_LANED)).flat_map(each);
        let mut later = delayed.into_iter().zip(self.delayed.chunks(CALL_MESSAGES)).flat_map(each);
        let mut unique = unique.into_iter().zip(self.unique.chunks(CALL_MESSAGES)).flat_map(each);
        let mut next = |message: &Enqueue| match Way::of(message) {
            Way::Ready => ready.next(),
            Way::Lane => laned.next(),
            Way::Scheduled => later.next(),
            Way::Unique => unique.next(),
        };
        let answer = |message: &Enqueue| match next(message) {
            Some(Ok(answer)) if Way::of(message) == Way::Unique => {
                script::stored(&answer).ok_or_else(|| connections.strange("to a unique message"))
            }
            Some(Ok(Value::BulkString(_) | Value::Int(1))) => Ok(Enqueued::Stored),
            Some(Err(error)) => Err(error),
            _ => Err(connections.strange("to XADD or a script that stores")),
        };
        self.messages.iter().map(answer).collect()
    }
}

fn add(queue: &Queue, message: &Enqueue) -> Cmd {
    let key = queue.keys.ready(Level::of(message.priority));
    let mut add = Cmd::with_capacity(5, key.len() + message.body.len() + 8);
    add.arg("XADD").arg(key).arg("*").arg(MESSAGE).arg(&*message.body);
    add
}
