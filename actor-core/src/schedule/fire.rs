//! Firing what is due: the patterns are read here, and the storage decides.

use super::builder::message;
use super::error::ScheduleError;
use super::plan::{Plan, Waiting};
use super::stored::Body;
use super::timing::{Timing, hash};
use super::{Due, DueSchedule, Fired, Firing, Overlap, Schedules, Then};
use crate::worker::panic::catch;
use crate::{BrokerError, MessageId, QueueName, wire};

/// How many bytes of messages one schedule stores in one step, about.
const MOST_BYTES: usize = 1 << 20;

/// Fires what is due. Returns the first error; what it struck is due again.
pub(crate) async fn fire(schedules: &dyn Schedules, queue: &QueueName, due: &Due) -> Result<(), BrokerError> {
    let now = wire::to_ms(due.now);
    let firings: Vec<Firing> = due.schedules.iter().map(|due| firing(queue, due, now)).collect();
    let answers = schedules.fire(queue, &firings).await;
    let mut failed = None;
    for (firing, answer) in firings.iter().zip(answers) {
        match answer {
            Ok(fired) => log(queue, firing, fired),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// How to move a schedule on. One that cannot be read is parked: it would be the same the next time.
fn firing(queue: &QueueName, due: &DueSchedule, now: u64) -> Firing {
    let why = match catch(|| read(queue, due, now)) {
        Ok(Ok(firing)) => return firing,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("reading it panicked: {panic}"),
    };
    Firing::new(due, Then::Park(why))
}

fn read(queue: &QueueName, due: &DueSchedule, now: u64) -> Result<Firing, ScheduleError> {
    let (timing, body) = (Timing::of_text(&due.timing)?, Body::read(&due.body)?);
    let skip = body.overlap == Overlap::Skip;
    let (tick, since) = (due.tick.map(wire::to_ms), wire::to_ms(due.since));
    let waiting =
        Waiting { timing: &timing, name: &due.name, overlap: body.overlap, catch_up: body.catch_up, tick, since };
    let Plan { ticks, mut next } = waiting.plan(now);
    let (mut messages, mut bytes, mut last) = (Vec::new(), 0, None);
    for tick in ticks {
        if bytes > MOST_BYTES {
            next = Some(tick);
            break;
        }
        let id = id_of_tick(queue, &due.name, tick);
        let (message, size) = message(&body, id, &due.name, wire::to_time(tick), wire::to_time(now), skip)?;
        messages.push(message);
        bytes += size;
        last = Some(wire::to_time(tick));
    }
    let then = match next {
        Some(tick) => Then::Next { tick: wire::to_time(tick), due: wire::to_time(timing.due(&due.name, tick)) },
        None => Then::Park("its pattern has no further tick".to_owned()),
    };
    let mut firing = Firing::new(due, then);
    if let Some(last) = last {
        firing = firing.messages(messages, last);
    }
    Ok(if skip { firing.unless_unsettled() } else { firing })
}

/// The identity of a tick's message: a UUID of version 7 of the tick's time, whose other bits are a hash of the queue
/// and the schedule. So the same tick has the same message, whoever fires it.
pub(super) fn id_of_tick(queue: &QueueName, name: &str, tick_ms: u64) -> MessageId {
    let parts = [queue.as_str().as_bytes(), name.as_bytes()];
    let mut rest = [0; 10];
    rest[..8].copy_from_slice(&hash(&parts, 0).to_be_bytes());
    rest[8..].copy_from_slice(&hash(&parts, 1).to_be_bytes()[..2]);
    uuid::Builder::from_unix_timestamp_millis(tick_ms, &rest).into_uuid().into()
}

fn log(queue: &QueueName, firing: &Firing, fired: Fired) {
    let schedule = &*firing.name;
    if fired == Fired::Stale {
        return;
    }
    if fired == Fired::Skipped {
        tracing::info!(%queue, schedule, "tick skipped: the message of the last one is not settled");
    } else if let Some((messages, _)) = &firing.messages {
        tracing::debug!(%queue, schedule, messages = messages.len(), "schedule fired");
    }
    if let Then::Park(reason) = &firing.then {
        tracing::error!(%queue, schedule, reason, "schedule parked: it fires no more until it is stored again or resumed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticks_message_has_one_identity_in_every_build() {
        let (mail, other) = (QueueName::declared("mail"), QueueName::declared("other"));
        let id = id_of_tick(&mail, "report:42", 1_722_999_000_000);
        assert_eq!(id.to_string(), "01912abe-4bc0-7272-be22-a361af3c53ab");
        assert_eq!(id.as_uuid().get_version_num(), 7);
        for another in [
            id_of_tick(&other, "report:42", 1_722_999_000_000),
            id_of_tick(&mail, "report:43", 1_722_999_000_000),
            id_of_tick(&mail, "report:42", 1_722_999_000_001),
        ] {
            assert_ne!(another, id);
        }
    }
}
