//! The scripts of a queue's gate: messages that wait in lanes, and what those hold that went.

use actor_core::Priority;
use redis::Value;

use super::{Call, Follows, Forms, Source, before_ready, holding};
use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;
use crate::slot::{Slot, list_name, listed_text};

static ENTER: Source = source!("gate", "into_lanes", "enter");
static GRANT: Source = source!("unique", "gate", "grant");
static LIST_LANES: Source = source!("bounded", "unique", "gate", "list_lanes");
static PURGE_LANES: Source = source!("bounded", "unique", "gate", "purge_lanes");
static RECOUNT: Source = source!("gate", "recount");
static AUDIT_LANES: Source = source!("gate", "audit_lanes");
static DONE: Source = freeing!("done");
static DONE_FOLLOWING: Source = following!("done");
static LIMITED: Source = freeing!("limited" with "into_lanes");

/// How often slots are counted again.
const RECOUNTED_EVERY_MS: u64 = 60_000;
/// How many lanes one call of an audit looks at.
const LANES_AT_ONCE: usize = 200;

/// The keys of a script, and those of the gate behind them.
pub(super) fn gated<'a>(keys: &'a Keys, before: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<&str> = before.into_iter().collect();
    all.push(&keys.gate);
    all.extend(keys.lanes.iter().map(String::as_str));
    all.extend([&*keys.workers, &keys.wake]);
    all
}

/// What a settled message held, and how long it ran.
#[derive(Clone, Debug)]
pub(crate) struct Held<'a> {
    pub(crate) slot: Option<Slot<'a>>,
    pub(crate) ran_us: u64,
    /// Its unique key; empty where it has none.
    pub(crate) unique: &'a str,
    /// Where the message is.
    pub(crate) place: Place,
    /// What follows where it is settled.
    pub(crate) follows: Vec<Follows<'a>>,
}

/// Adds to a call what its messages hold, in their order.
pub(super) fn write_held<'a>(call: &mut Call, held: &[Option<Held<'a>>]) {
    let mut keys: Vec<&'a str> = Vec::new();
    for held in held {
        let Some(Held { slot, ran_us, unique, place, .. }) = held else {
            call.command.arg((0, 0, 0, 0, 0, ""));
            continue;
        };
        // Few: a batch has some dozen messages.
        let mut at = |key: &'a str| match keys.iter().position(|known| *known == key) {
            Some(at) => at + 1,
            None => {
                keys.push(key);
                keys.len()
            }
        };
        match slot {
            Some(slot) => call.command.arg((at(slot.key), slot.cost, ran_us, slot.charged)),
            None => call.command.arg((0, 0, 0, 0)),
        };
        match unique {
            &"" => call.command.arg((0, "")),
            key => call.command.arg((at(key), format!("{}:{}", place.level.place(), place.id))),
        };
    }
    call.command.arg(&keys).arg(keys.len()).arg(held.len());
}

/// A message for its lane.
pub(crate) struct Enter<'a> {
    pub(crate) priority: Priority,
    pub(crate) key: &'a str,
    pub(crate) cost: u32,
    pub(crate) body: &'a [u8],
}

/// Answers 1, or one value for each message: 1, or an error.
pub(crate) fn enter<'a>(keys: &Keys, messages: impl Iterator<Item = Enter<'a>>) -> Call {
    let mut call = ENTER.call(&gated(keys, []), &[] as &[&str]);
    for Enter { priority, key, cost, body } in messages {
        call.command.arg((list_name(priority, key), listed_text(cost, false, body)));
    }
    call
}

/// Lets so many go at most.
pub(crate) fn grant(keys: &Keys, limit: usize) -> Call {
    let [high, normal, low] = [Level::High, Level::Normal, Level::Low].map(|level| keys.ready(level));
    GRANT.call(&holding(keys, gated(keys, [high, normal, low])), (limit, GROUP))
}

/// What a [`grant`] found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) count: u64,
    /// The time until more may go, where time alone lets them.
    pub(crate) next: Option<std::time::Duration>,
}

pub(crate) fn granted(answer: &Value) -> Option<Granted> {
    let (count, next_ms, _) = redis::from_redis_value_ref::<(u64, i64, u64)>(answer).ok()?;
    Some(Granted { count, next: u64::try_from(next_ms).ok().map(std::time::Duration::from_millis) })
}

/// A message as a listing of lanes has it: key, letter, place, hash, text.
pub(crate) type InList = (String, String, u64, String, Vec<u8>);
/// What a [`list_lanes`] answers: where to go on, and the messages.
pub(crate) type ListedLanes = ([String; 3], Vec<InList>);

/// Lists messages from a lane on.
pub(crate) fn list_lanes(keys: &Keys, cursor: &str, lane: &str, skip: &str, limit: usize) -> Call {
    LIST_LANES.call(&holding(keys, gated(keys, [])), (cursor, lane, skip, limit))
}

/// Answers how many messages were deleted, and how many lanes are left.
pub(crate) fn purge_lanes(keys: &Keys, lanes: usize) -> Call {
    PURGE_LANES.call(&holding(keys, gated(keys, [])), lanes)
}

/// How much is counted again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recount {
    /// What can be read in about a millisecond, if nobody has done so within a minute, to be put right.
    Now,
    /// All of it, for a person.
    All { repairs: bool },
}

/// What a [`recount`] answers: whether all was read, how many entries were, and for each difference: the key (empty for the
/// whole queue), what was believed, and what is held.
pub(crate) type Recounted = (bool, u64, Vec<(String, u64, u64)>);

/// Counts the slots that are held.
pub(crate) fn recount(keys: &Keys, recount: Recount) -> Call {
    let args = match recount {
        Recount::Now => (2_000, 1 << 20, RECOUNTED_EVERY_MS.to_string(), 1),
        Recount::All { repairs } => (100_000, 8 << 20, String::new(), u8::from(repairs)),
    };
    RECOUNT.call(&gated(keys, before_ready(keys, &[])), args)
}

/// Lanes that are not as the gate believes, from here on. As all audits, it answers where to go on, how many it read, and
/// the names of those that it found, of two kinds.
pub(crate) fn audit_lanes(keys: &Keys, which: &str, from: &str, repairs: bool) -> Call {
    AUDIT_LANES.call(&gated(keys, []), (which, from, LANES_AT_ONCE, u8::from(repairs)))
}

/// Ends messages that hold slots. All settling calls answer one value for each message: 1, 0 or an error.
pub(crate) fn done(keys: &Keys, messages: &[(Place, Option<Held<'_>>)]) -> Call {
    let held: Vec<_> = messages.iter().map(|(_, held)| held.clone()).collect();
    let forms = Forms { plain: &DONE, freeing: &DONE, following: &DONE_FOLLOWING };
    let mut call = forms.call(keys, before_ready(keys, &[]), &held, GROUP);
    for (place, _) in messages {
        call.command.arg(*place);
    }
    call.with_held(keys, &held)
}

/// A message that goes back to the front of its lane.
pub(crate) struct Limited<'a> {
    pub(crate) place: Place,
    pub(crate) id: actor_core::MessageId,
    pub(crate) held: Held<'a>,
    pub(crate) slot: Slot<'a>,
    pub(crate) priority: Priority,
    pub(crate) suspect: bool,
    pub(crate) body: &'a [u8],
    pub(crate) after: std::time::Duration,
}

pub(crate) fn limited(keys: &Keys, worker: &str, messages: &[Limited<'_>]) -> Call {
    let mut call = LIMITED.call(&holding(keys, gated(keys, before_ready(keys, &[&keys.cancelled]))), (worker, GROUP));
    for Limited { place, id, held, slot, priority, suspect, body, after } in messages {
        let (name, after) = (list_name(*priority, slot.key), super::delay_ms(*after));
        if held.unique.is_empty() {
            call.command.arg((*place, name, listed_text(slot.cost, *suspect, body), after, ("", "", "")));
        } else {
            let text = format!("{}{}", if *suspect { "+" } else { "" }, slot.cost);
            call.command.arg((*place, name, text, after, (held.unique, id.to_string(), *body)));
        }
    }
    let held: Vec<_> = messages.iter().map(|limited| Some(limited.held.clone())).collect();
    write_held(&mut call, &held);
    call
}
