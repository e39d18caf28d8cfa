//! The commands that read how messages ended, and the scripts that keep it and look for messages.

use std::time::Duration;

use actor_core::MessageId;
use redis::Cmd;

use super::control::members;
use super::{Call, Source, delay_ms};
use crate::keys::{GROUP, Keys};
use crate::place::Place;

static KEEP_RESULT: Source = source!("keep_result");

/// How long a result is kept: no value that Redis takes lasts for no time.
pub(super) fn kept_ms(keep: Duration) -> u64 {
    delay_ms(keep).max(1)
}

/// What says how a message ended: its record, whether it ended as cancelled, and why it is dead.
pub(crate) fn ended(keys: &Keys, id: MessageId) -> [Cmd; 3] {
    [
        redis::cmd("GET").arg(keys.result(id)).take(),
        redis::cmd("ZSCORE").arg(&keys.cancelled).arg(format!("{id}:ended")).take(),
        redis::cmd("HGET").arg(&keys.dead_reasons).arg(id.to_string()).take(),
    ]
}

/// Keeps a record, unless there is one. Answers whether it did.
pub(crate) fn keep_result(keys: &Keys, id: MessageId, record: &[u8], keep: Duration) -> Call {
    KEEP_RESULT.call(&[&*keys.result(id)], (kept_ms(keep), record, keys.ended(id)))
}

/// What says whether a message is scheduled or dead, and how many lanes have messages that wait.
pub(crate) fn standing(keys: &Keys, id: MessageId) -> [Cmd; 3] {
    let mut scheduled = redis::cmd("ZMSCORE");
    scheduled.arg(&keys.scheduled).arg(members(id));
    [
        scheduled,
        redis::cmd("ZSCORE").arg(&keys.dead).arg(id.to_string()).take(),
        redis::cmd("HLEN").arg(&keys.lanes[5]).take(),
    ]
}

/// For how long an entry has been in flight.
pub(crate) fn in_flight(keys: &Keys, place: Place) -> Cmd {
    redis::cmd("XPENDING").arg((keys.ready(place.level), GROUP, place.id, place.id, 1)).take()
}
