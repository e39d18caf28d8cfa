//! The scripts that keep and fire schedules.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actor_core::MessageId;
use actor_core::schedule::{
    Change, Declared, DueSchedule, Fired, Firing, ListedSchedule, NewSchedule, ScheduleState, Then,
};
use bytes::Bytes;
use redis::{Cmd, Value};

use super::{Call, Source, gated, time, whole_ms};
use crate::keys::{Keys, Level};
use crate::slot::{list_name, listed_text};

static UPSERT: Source = source!("schedules", "upsert");
static DECLARE: Source = source!("schedules", "declare");
static DUE: Source = source!("bounded", "schedules", "due");
static FIRE: Source = source!("bounded", "gate", "into_lanes", "schedules", "fire");
static CHANGE_SCHEDULE: Source = source!("schedules", "change_schedule");
static LIST_SCHEDULES: Source = source!("bounded", "schedules", "list_schedules");

/// The score of a schedule that does not fire, from which on nothing is due.
const OFF: f64 = 1e15;

/// What a script answers of a schedule that is due: name, spec, revision, since when, tick.
type FoundOne = (String, Bytes, u64, String, String);

fn keys(keys: &Keys) -> Vec<&str> {
    let of = &keys.schedules;
    vec![&of.due, &of.specs, &of.states, &of.names, &of.declared, &of.clock, &keys.wake]
}

fn ms(time: SystemTime) -> u64 {
    whole_ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A schedule as it is stored: what decides on its ticks, and below it the rest.
fn spec(schedule: &NewSchedule) -> Vec<u8> {
    [schedule.timing.as_bytes(), b"\n", &schedule.body].concat()
}

fn read_spec(name: String, spec: &Bytes) -> Option<NewSchedule> {
    let end = spec.iter().position(|byte| *byte == b'\n')?;
    let timing = std::str::from_utf8(&spec[..end]).ok()?;
    Some(NewSchedule::new(name, timing, spec.slice(end + 1..)))
}

/// Answers for each: 1, or 0 where an actor declares one of its name.
pub(crate) fn upsert(of: &Keys, schedules: &[NewSchedule]) -> Call {
    let args: Vec<_> = schedules.iter().map(|schedule| (&*schedule.name, spec(schedule))).collect();
    UPSERT.call(&keys(of), args)
}

/// Answers the names of those that fire no more, and of those that were removed.
pub(crate) fn declare(of: &Keys, schedules: &[NewSchedule], begins: bool) -> Call {
    let args = (
        u8::from(begins),
        whole_ms(Declared::REFRESH * 2),
        whole_ms(Declared::UNDECLARED_AFTER),
        whole_ms(Declared::REMOVED_AFTER),
    );
    let mut call = DECLARE.call(&keys(of), args);
    for schedule in schedules {
        call.command.arg((&*schedule.name, spec(schedule)));
    }
    call
}

/// When the first schedule is due.
pub(crate) fn first_due(keys: &Keys) -> Cmd {
    redis::cmd("ZRANGE").arg((&keys.schedules.due, 0, 0, "WITHSCORES")).take()
}

/// How long it is until a [`first_due`] at this time, in ms since 1970; `None` where nothing will be due.
pub(crate) fn first_due_in(answer: &Value, now_ms: u64) -> Option<Duration> {
    fn score(value: &Value) -> Option<f64> {
        match value {
            Value::Array(parts) => parts.last().and_then(score),
            value => redis::from_redis_value_ref(value).ok(),
        }
    }
    let due_ms = score(answer).filter(|score| *score < OFF)?;
    Some(Duration::from_millis((due_ms - now_ms as f64).max(0.0) as u64))
}

pub(crate) fn due(of: &Keys, limit: usize) -> Call {
    DUE.call(&keys(of), limit)
}

/// What a [`due`] found.
pub(crate) struct FoundDue {
    pub(crate) now: SystemTime,
    /// Until the next is due.
    pub(crate) next: Option<Duration>,
    pub(crate) any: bool,
    /// A schedule that cannot be read as one is left out.
    pub(crate) schedules: Vec<DueSchedule>,
}

pub(crate) fn found_due((now_ms, next_ms, any, due): (u64, i64, bool, Vec<FoundOne>)) -> FoundDue {
    let read = |(name, spec, revision, since, tick): FoundOne| {
        let since = at(&since).unwrap_or(UNIX_EPOCH);
        Some(DueSchedule::new(read_spec(name, &spec)?, revision, at(&tick), since))
    };
    let schedules = due.into_iter().filter_map(read).collect();
    FoundDue { now: time(now_ms), next: u64::try_from(next_ms).ok().map(Duration::from_millis), any, schedules }
}

/// Answers for each: 1, 2, 0 or an error; and at the end ms until the next is due.
pub(crate) fn fire(of: &Keys, firings: &[Firing]) -> Call {
    let mut all = keys(of);
    all.extend([&*of.schedules.open, &of.scheduled]);
    all.extend(Level::ALL.map(|level| of.ready(level)));
    let mut call = FIRE.call(&gated(of, all), &[""; 0][..]);
    let text = |time: Option<SystemTime>| time.map(|time| ms(time).to_string()).unwrap_or_default();
    for firing in firings {
        let (next, due) = match &firing.then {
            Then::Next { tick, due } => (text(Some(*tick)), text(Some(*due))),
            Then::Park(why) => (String::new(), why.clone()),
            _ => (String::new(), "a newer library is needed".to_owned()),
        };
        let (messages, last) = match &firing.messages {
            Some((messages, last)) => (&messages[..], Some(*last)),
            None => (&[][..], None),
        };
        let it = (&*firing.name, firing.revision, text(firing.tick), u8::from(firing.unless_unsettled));
        call.command.arg(it).arg((next, due, text(last), messages.len()));
        for message in messages {
            let (level, id) = (Level::of(message.priority).place(), message.id.to_string());
            match &message.lane {
                None => call.command.arg((level, id, &*message.body, "")),
                Some(lane) => {
                    let list = list_name(message.priority, lane.key.as_str());
                    call.command.arg((level, id, listed_text(lane.cost, false, &message.body), list))
                }
            };
        }
    }
    call
}

pub(crate) fn fired(answer: &Value) -> Option<Fired> {
    match answer {
        Value::Int(1) => Some(Fired::Fired),
        Value::Int(2) => Some(Fired::Skipped),
        Value::Int(0) => Some(Fired::Stale),
        _ => None,
    }
}

/// Answers 1, or 0 where there is none of this name. `None` for a change that this version does not know.
pub(crate) fn change_schedule(of: &Keys, name: &str, change: Change) -> Option<Call> {
    let change = match change {
        Change::Pause => "pause",
        Change::Resume => "resume",
        Change::Remove => "remove",
        _ => return None,
    };
    Some(CHANGE_SCHEDULE.call(&keys(of), (name, change)))
}

/// Lists those after a name.
pub(crate) fn list_schedules(of: &Keys, after: Option<&str>, limit: usize) -> Call {
    let first = after.map_or_else(|| "-".to_owned(), |name| format!("({name}"));
    LIST_SCHEDULES.call(&keys(of), (first, "+", limit))
}

/// Lists the one of this name.
pub(crate) fn read_schedule(of: &Keys, name: &str) -> Call {
    let it = format!("[{name}");
    LIST_SCHEDULES.call(&keys(of), (&it, &it, 1))
}

/// What a listing answers: whether there is more, and the fields of each.
pub(crate) type Listing = (bool, Vec<Vec<Bytes>>);

/// The name of one in a listing.
pub(crate) fn listed_name(fields: &[Bytes]) -> Option<&str> {
    fields.first().and_then(|name| std::str::from_utf8(name).ok())
}

pub(crate) fn listed(fields: &[Bytes]) -> Option<ListedSchedule> {
    let text = |place: usize| fields.get(place).and_then(|field| std::str::from_utf8(field).ok());
    let time_at = |place| text(place).and_then(at);
    let state = match (time_at(8), text(7)?, text(4)?) {
        (Some(since), ..) => ScheduleState::Undeclared(since),
        (_, "", "1") => ScheduleState::Paused,
        (_, "", _) => ScheduleState::Active,
        (_, why, _) => ScheduleState::Parked(why.to_owned()),
    };
    let schedule = read_spec(text(0)?.to_owned(), fields.get(1)?)?;
    let mut listed = ListedSchedule::new(schedule, state, text(3)? == "1", time_at(5)?);
    if listed.state == ScheduleState::Active {
        listed.next_tick = time_at(6);
        listed.due = listed.next_tick.and(time_at(2));
    }
    (listed.last_tick, listed.last_fired) = (time_at(9), time_at(10));
    listed.last_message = text(11).and_then(|id| id.parse::<MessageId>().ok());
    Some(listed)
}

/// A time in ms since 1970; `None` for no time.
fn at(text: &str) -> Option<SystemTime> {
    text.parse().ok().map(time)
}
