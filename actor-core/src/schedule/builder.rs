//! Schedules that a program stores at run time, and what actors declare.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::error::ScheduleError;
use super::stored::Body;
use super::timing::{Timing, Written, whole_ms};
use super::{CatchUp, ListedSchedule, NewSchedule, Overlap, ScheduleState};
use crate::actor::Actor;
use crate::broker::{Broker, Enqueue};
use crate::inspect::{DecodeError, StoredMessage};
use crate::install::installed;
use crate::message::Outgoing;
use crate::wire::{self, Tick};
use crate::{BrokerError, Durability, Message, MessageId, QueueName, SendError};

/// The longest name, in bytes.
const LONGEST_NAME: usize = 256;

/// A schedule that a program stores at run time: a message for each tick of a pattern.
///
/// It lives in the queue of the message's actor, until it is [removed](super::Change::Remove). A schedule of the same
/// name in the same queue is replaced; it keeps its next tick where pattern, time zone and jitter are as before. Any
/// worker of the queue fires it, if its program has the feature `cron`. `docs/schedules.md` has the rules.
///
/// ```
/// use actor_core::schedule::{CatchUp, Overlap};
/// use actor_core::{MemoryBroker, Schedule, actor};
///
/// #[actor(queue = "reports")]
/// async fn report(account: u64) {
///     println!("the report of {account}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// actor_core::install(MemoryBroker::new())?;
/// Schedule::new("report:42", "0 6 * * *")
///     .timezone("Europe/Berlin")
///     .overlap(Overlap::Skip)
///     .catch_up(CatchUp::Last)
///     .upsert(report.message(42))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a schedule does nothing until it is stored with `upsert`"]
pub struct Schedule {
    name: String,
    written: Written,
    overlap: Overlap,
    catch_up: CatchUp,
}

impl Schedule {
    /// A schedule of this name (1 to 256 bytes, no control characters) by this cron pattern: five fields, from minutes
    /// to days of the week, or six with seconds before them, or a nickname as `@daily`.
    pub fn new(name: impl Into<String>, pattern: impl Into<String>) -> Self {
        let written = Written { pattern: pattern.into(), timezone: "UTC".to_owned(), jitter_ms: 0 };
        Self { name: name.into(), written, overlap: Overlap::default(), catch_up: CatchUp::default() }
    }

    /// Reads the pattern in this time zone of the IANA database, as in `Europe/Berlin`. Default: `UTC`.
    pub fn timezone(mut self, name: impl Into<String>) -> Self {
        self.written.timezone = name.into();
        self
    }

    /// What happens at a tick while the last message is not settled. Default: [`Overlap::Allow`].
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// What becomes of missed ticks. Default: [`CatchUp::Last`].
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.catch_up = catch_up;
        self
    }

    /// Stores each message up to so much later than its tick, in whole milliseconds: by how much follows from the name
    /// and the tick. Keep it shorter than the time between two ticks. Default: none.
    pub fn jitter(mut self, most: Duration) -> Self {
        self.written.jitter_ms = whole_ms(most);
        self
    }

    /// Stores the schedule through the installed broker, in place of the one of this name.
    ///
    /// Each tick stores this message anew, with its settings and headers, an identity and a time of its own, and
    /// without a trace. Hooks of [`on_send`](crate::on_send) see it once, now. It may be repeated at any time.
    ///
    /// # Errors
    ///
    /// See [`ScheduleError`].
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it completes may or may not have stored the schedule.
    pub fn upsert<A: Actor>(
        self,
        message: Message<A>,
    ) -> impl Future<Output = Result<(), ScheduleError>> + Send + 'static {
        // The broker is looked up here, not at the first poll: the future may be polled on another thread.
        let broker = installed();
        let call = message.into_call();
        async move {
            let broker: Arc<dyn Broker> = broker.ok_or_else(|| ScheduleError::message(SendError::not_installed()))?;
            self.store(&*broker, call).await
        }
    }

    /// Stores the schedule through `broker`.
    ///
    /// # Errors
    ///
    /// As [`upsert`](Self::upsert).
    ///
    /// # Cancel safety
    ///
    /// As [`upsert`](Self::upsert).
    pub async fn upsert_with<A: Actor>(self, broker: &dyn Broker, message: Message<A>) -> Result<(), ScheduleError> {
        self.store(broker, message.into_call()).await
    }

    async fn store(self, broker: &dyn Broker, call: Outgoing) -> Result<(), ScheduleError> {
        let schedules = broker.schedules().ok_or_else(ScheduleError::unsupported)?;
        let queue = call.def.queue_name();
        let new = self.encode(broker, call)?;
        let answer = schedules.upsert(&queue, &[new]).await.pop();
        answer.unwrap_or_else(|| Err(BrokerError::unknown("the broker gave no answer"))).map_err(ScheduleError::broker)
    }

    fn encode(self, broker: &dyn Broker, call: Outgoing) -> Result<NewSchedule, ScheduleError> {
        let Self { name, written, overlap, catch_up } = self;
        if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(ScheduleError::name(&name));
        }
        let timing = Timing::read(&written)?;
        if timing.next(wire::to_ms(broker.now())).is_none() {
            return Err(ScheduleError::never(&written.pattern));
        }
        let Enqueue { body, delay, durability, idempotency, .. } =
            call.encode(broker).map_err(ScheduleError::message)?;
        if !delay.is_zero() {
            return Err(ScheduleError::setting("delay"));
        }
        if durability.is_some_and(|durability| durability != Durability::Stored) {
            return Err(ScheduleError::setting("durability"));
        }
        if idempotency.is_some() {
            return Err(ScheduleError::setting("idempotency_key"));
        }
        let timing = serde_json::to_string(&written).expect("texts and numbers always serialize");
        let message = wire::template(&body);
        Ok(NewSchedule::new(name, timing, Body::new(overlap, catch_up, &message).write()))
    }
}

/// The schedule that an actor declares, for its queue.
#[cfg(feature = "worker")]
pub(crate) fn declared(
    def: &'static crate::actor::ActorDef,
    broker: &dyn Broker,
) -> Option<Result<NewSchedule, ScheduleError>> {
    let cron = def.cron?;
    let schedule = Schedule::new(def.name, cron.pattern)
        .timezone(cron.timezone)
        .overlap(cron.overlap)
        .catch_up(cron.catch_up)
        .jitter(cron.jitter);
    Some(schedule.encode(broker, Outgoing::new(def, crate::args::ArgWriter::new())))
}

/// Stores the message of a schedule now, beside its ticks, whatever its state: also where it is paused, and while the
/// last message is not settled. Returns the message's identity.
///
/// # Errors
///
/// There is no such schedule, it cannot be read, or the broker did not store the message.
///
/// # Cancel safety
///
/// A future dropped before it completes may or may not have stored the message.
pub async fn run_now(broker: &dyn Broker, queue: &QueueName, name: &str) -> Result<MessageId, ScheduleError> {
    let schedules = broker.schedules().ok_or_else(ScheduleError::unsupported)?;
    let found = schedules.read_schedule(queue, name).await.map_err(ScheduleError::broker)?;
    let found = found.ok_or_else(|| ScheduleError::unknown_name(name))?;
    let (id, now) = (MessageId::new(), broker.now());
    let (message, _) = message(&Body::read(&found.body)?, id, name, now, now, false)?;
    match broker.enqueue(queue, vec![message]).await.pop() {
        Some(Ok(_)) => Ok(id),
        Some(Err(error)) => Err(ScheduleError::message(SendError::broker(id, error))),
        None => Err(ScheduleError::message(SendError::broker(id, crate::send::unanswered()))),
    }
}

/// A schedule's message for a tick, and its size.
pub(super) fn message(
    body: &Body<'_>,
    id: MessageId,
    name: &str,
    tick: SystemTime,
    now: SystemTime,
    skip: bool,
) -> Result<(Enqueue, usize), ScheduleError> {
    let tick = Tick { schedule: name.into(), at: wire::to_ms(tick), skip };
    let (priority, body): (_, Bytes) = wire::of_schedule(body.message(), id, now, &tick)
        .map_err(|why| ScheduleError::stored(format!("its message cannot be read: {why:?}")))?;
    let (size, lane) = (body.len(), wire::lane(&body));
    Ok((Enqueue { lane, ..Enqueue::new(id, priority, body) }, size))
}

impl ListedSchedule {
    /// The pattern and the name of its time zone.
    ///
    /// # Errors
    ///
    /// What is stored is not a schedule of this version.
    pub fn pattern(&self) -> Result<(String, String), ScheduleError> {
        let written: Written =
            serde_json::from_str(&self.timing).map_err(|error| ScheduleError::stored(error.to_string()))?;
        Ok((written.pattern, written.timezone))
    }

    /// What happens while the last message is not settled, and what becomes of missed ticks.
    ///
    /// # Errors
    ///
    /// What is stored is not a schedule of this version.
    pub fn options(&self) -> Result<(Overlap, CatchUp), ScheduleError> {
        Body::read(&self.body).map(|body| (body.overlap, body.catch_up))
    }

    /// The message that it stores at each tick, but for its identity and times.
    ///
    /// # Errors
    ///
    /// What is stored is not a schedule or a message of this version.
    pub fn message(&self) -> Result<StoredMessage, DecodeError> {
        let body = Body::read(&self.body).map_err(|error| DecodeError::because(error.to_string()))?;
        StoredMessage::decode(body.message())
    }

    /// When it is due next, so often: none while it does not fire.
    ///
    /// # Errors
    ///
    /// The pattern cannot be read by this version.
    pub fn next_runs(&self, count: usize) -> Result<Vec<SystemTime>, ScheduleError> {
        let timing = Timing::of_text(&self.timing)?;
        if self.state != ScheduleState::Active {
            return Ok(Vec::new());
        }
        let first = self.next_tick.map_or_else(|| timing.next(wire::to_ms(self.since)), |tick| Some(wire::to_ms(tick)));
        let ticks = std::iter::successors(first, |tick| timing.next(*tick));
        Ok(ticks.map(|tick| wire::to_time(timing.due(&self.name, tick))).take(count).collect())
    }
}
