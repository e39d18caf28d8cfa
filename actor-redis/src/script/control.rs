//! The scripts that cancel, delete and reschedule.

use std::time::Duration;

use actor_core::{MessageId, Priority};
use redis::Value;

use super::{
    CHECK_EVERY, Call, Forms, Held, Source, before_ready, delay_ms, gated, holding, scheduled_member, whole_ms,
};
use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;

static CANCEL: Source = source!("cancelled", "unique", "cancel");
static FORGET_CANCELLED: Source = source!("forget_cancelled");
static END_CANCELLED: Source = source!("cancelled", "end_cancelled");
static END_CANCELLED_FREEING: Source = freeing!("end_cancelled");
static END_CANCELLED_FOLLOWING: Source = following!("end_cancelled");
static SEEK: Source = source!("cancelled", "bounded", "seek");
static WITHDRAW: Source = source!("cancelled", "unique", "gate", "free_slots", "drop_slots", "withdraw");
static DUE: Source = source!("unique", "due_at");
static POSTPONE: Source = source!("unique", "gate", "free_slots", "drop_slots", "postpone");
static SEARCH_LANES: Source = source!("cancelled", "bounded", "unique", "gate", "search_lanes");
static FIND_WAITING: Source = source!("bounded", "unique", "gate", "in_lane", "find_waiting");
static WITHDRAW_WAITING: Source = source!("bounded", "unique", "gate", "in_lane", "withdraw_waiting");
static POSTPONE_WAITING: Source = source!("bounded", "unique", "gate", "in_lane", "postpone_waiting");

/// The members of `scheduled` that a message may have.
pub(super) fn members(id: MessageId) -> Vec<String> {
    let priorities = [Priority::High, Priority::Normal, Priority::Low];
    let marks = [(false, false), (true, false), (false, true), (true, true)];
    let each = priorities.into_iter().flat_map(|priority| marks.map(|marks| (priority, marks)));
    each.map(|(priority, (suspect, holds))| scheduled_member(priority, suspect, holds, id)).collect()
}

/// Cancels what is scheduled, else notes it as cancelled.
pub(crate) fn cancel(keys: &Keys, id: MessageId) -> Call {
    let before =
        [&*keys.scheduled, &keys.scheduled_bodies, &keys.scheduled_lanes, &keys.dead, &keys.workers, &keys.cancelled];
    CANCEL.call(&holding(keys, before), (id.to_string(), members(id)))
}

/// What a [`cancel`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelStep {
    Removed,
    Dead,
    Noted,
}

pub(crate) fn cancelled(answer: &Value) -> Option<CancelStep> {
    match answer {
        Value::BulkString(word) if word == b"removed" => Some(CancelStep::Removed),
        Value::BulkString(word) if word == b"dead" => Some(CancelStep::Dead),
        Value::BulkString(word) if word == b"noted" => Some(CancelStep::Noted),
        _ => None,
    }
}

/// Forgets that a message was noted as cancelled. Answers whether it has ended because of that.
pub(crate) fn forget_cancelled(keys: &Keys, id: MessageId) -> Call {
    FORGET_CANCELLED.call(&[&keys.cancelled], id.to_string())
}

/// A message in flight that was cancelled.
pub(crate) struct Cancelled<'a> {
    pub(crate) place: Place,
    pub(crate) id: MessageId,
    pub(crate) held: Option<Held<'a>>,
}

/// Ends messages that this worker holds and that were cancelled. Answers as the settling calls do.
pub(crate) fn end_cancelled(keys: &Keys, worker: &str, messages: &[Cancelled<'_>]) -> Call {
    let held: Vec<_> = messages.iter().map(|message| message.held.clone()).collect();
    let before = before_ready(keys, &[&keys.cancelled]);
    let forms = Forms { plain: &END_CANCELLED, freeing: &END_CANCELLED_FREEING, following: &END_CANCELLED_FOLLOWING };
    let mut call = forms.call(keys, before, &held, (worker, GROUP));
    for Cancelled { place, id, .. } in messages {
        call.command.arg((*place, id.to_string()));
    }
    call.with_held(keys, &held)
}

/// Removes a message by its id where it is scheduled. Answers how many were there.
pub(crate) fn remove_scheduled(keys: &Keys, id: MessageId) -> Call {
    super::remove_all(keys, super::Indexed::Scheduled, &members(id))
}

/// Looks for a message among the entries of a stream. Answers its entry, whether it is in flight, and the entry after
/// which to go on.
pub(crate) fn seek(keys: &Keys, level: Level, id: MessageId, from: &str, to: &str, limit: usize) -> Call {
    SEEK.call(&[keys.ready(level)], (GROUP, id.to_string(), from, to, limit))
}

/// Removes ready messages, each with its id where what is in flight is to be noted as cancelled.
pub(crate) fn withdraw(keys: &Keys, messages: &[(Place, Option<MessageId>)]) -> Call {
    let before = before_ready(keys, &[&keys.workers, &keys.cancelled]);
    let mut call = WITHDRAW.call(&holding(keys, gated(keys, before)), GROUP);
    for (place, id) in messages {
        call.command.arg((*place, id.map(|id| id.to_string()).unwrap_or_default()));
    }
    call
}

/// What became of a message that was to be withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withdrawn {
    Removed,
    InFlight,
    Gone,
}

pub(crate) fn withdrawn(answer: &Value) -> Option<Vec<Withdrawn>> {
    let Value::Array(words) = answer else { return None };
    let read = |word: &Value| match word {
        Value::BulkString(word) if word == b"removed" => Some(Withdrawn::Removed),
        Value::BulkString(word) if word == b"in flight" => Some(Withdrawn::InFlight),
        Value::BulkString(word) if word == b"gone" => Some(Withdrawn::Gone),
        _ => None,
    };
    words.iter().map(read).collect()
}

/// When messages are to be due: so long from now, or where an earlier call has said when that is, then.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) after: Duration,
    /// In ms since 1970, by the server's clock.
    pub(crate) at: Option<String>,
}

/// Has scheduled messages become due then. Answers how many there are, how many of them moved, and when they are due.
pub(crate) fn due_at(keys: &Keys, due: &Due, members: &[String]) -> Call {
    let args = (whole_ms(CHECK_EVERY), delay_ms(due.after), due.at.as_deref().unwrap_or_default(), members);
    DUE.call(&holding(keys, [&*keys.scheduled, &keys.wake]), args)
}

/// The same by a message's id.
pub(crate) fn due_by_id(keys: &Keys, at: &Due, id: MessageId) -> Call {
    due_at(keys, at, &members(id))
}

/// Schedules ready messages. Answers how many moved, and when they are due.
pub(crate) fn postpone(keys: &Keys, due: &Due, messages: &[(Place, String)]) -> Call {
    let before = before_ready(keys, &[&keys.scheduled, &keys.scheduled_bodies, &keys.scheduled_lanes]);
    let at = due.at.as_deref().unwrap_or_default();
    let args = (GROUP, whole_ms(CHECK_EVERY), delay_ms(due.after), at);
    let mut call = POSTPONE.call(&holding(keys, gated(keys, before)), args);
    for (place, id) in messages {
        call.command.arg((*place, id));
    }
    call
}

/// A message in its lane: where it stood when it was listed, and the hash of its text.
#[derive(Clone, Debug)]
pub(crate) struct InLane {
    pub(crate) key: String,
    pub(crate) letter: String,
    pub(crate) place: u64,
    pub(crate) hash: String,
}

impl InLane {
    fn args(&self) -> (&str, &str, u64, &str) {
        (&self.key, &self.letter, self.place, &self.hash)
    }
}

/// How far a search of the lanes has come: where it scans on, the lane, the letter of its list, and the place in it.
pub(crate) type LanesAt = [String; 4];

/// Goes through what waits in lanes, or looks for one message of it. Answers where to go on, and as
/// [`list_lanes`](super::list_lanes) the messages.
pub(crate) fn search_lanes(keys: &Keys, at: &LanesAt, limit: usize, only: Option<MessageId>) -> Call {
    let id = only.map(|id| id.to_string()).unwrap_or_default();
    SEARCH_LANES.call(&holding(keys, gated(keys, [])), (at, limit, id))
}

/// Answers the text of a message in its lane; nothing where it has moved on.
pub(crate) fn find_waiting(keys: &Keys, message: &InLane) -> Call {
    FIND_WAITING.call(&holding(keys, gated(keys, [])), message.args())
}

/// Deletes messages that wait. Answers how many were there.
pub(crate) fn withdraw_waiting(keys: &Keys, messages: &[InLane]) -> Call {
    let mut call = WITHDRAW_WAITING.call(&holding(keys, gated(keys, [])), &[] as &[&str]);
    for message in messages {
        call.command.arg(message.args());
    }
    call
}

/// Schedules messages that wait. Answers how many moved, and when they are due.
pub(crate) fn postpone_waiting(keys: &Keys, due: &Due, messages: &[(InLane, String)]) -> Call {
    let before = [&*keys.scheduled, &keys.scheduled_bodies, &keys.scheduled_lanes];
    let at = due.at.as_deref().unwrap_or_default();
    let args = (whole_ms(CHECK_EVERY), delay_ms(due.after), at);
    let mut call = POSTPONE_WAITING.call(&holding(keys, gated(keys, before)), args);
    for (message, id) in messages {
        call.command.arg((message.args(), id));
    }
    call
}
