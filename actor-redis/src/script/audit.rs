//! The scripts that find what is not as it must be, and the one that repairs it.

use redis::Value;

use super::{Call, Indexed, Source};
use crate::keys::{GROUP, Keys, Level};

static ENTRIES: Source = source!("bounded", "audit_entries");
static IN_FLIGHT: Source = source!("bounded", "audit_in_flight");
static BARE: Source = source!("audit_bare");
static LOST: Source = source!("bounded", "audit_lost");
static TWICE: Source = source!("bounded", "audit_twice");
static BOTH: Source = source!("bounded", "audit_both");
static REPAIR: Source = source!("bounded", "repair");

/// How much one call reads at most.
const PAGE: usize = 100;

/// Entries that nobody holds, from after this one on. Answers a [`Found`] of one kind, as all audits but one do.
pub(crate) fn audit_entries(keys: &Keys, level: Level, after: &str) -> Call {
    let mut call = ENTRIES.call(&[keys.ready(level)]);
    call.arg(GROUP).arg(after).arg(PAGE);
    call
}

/// What is in flight and has no entry, from after this one on.
pub(crate) fn audit_in_flight(keys: &Keys, level: Level, after: &str) -> Call {
    let mut call = IN_FLIGHT.call(&[keys.ready(level)]);
    call.arg(GROUP).arg(after).arg(PAGE);
    call
}

/// Members of an index without a value in a hash, from this rank on.
pub(crate) fn audit_bare(index: &str, hash: &str, rank: &str) -> Call {
    let mut call = BARE.call(&[index, hash]);
    call.arg(rank).arg(PAGE);
    call
}

/// Fields of a hash without a place in an index, from this cursor on.
pub(crate) fn audit_lost(index: &str, hash: &str, cursor: &str) -> Call {
    let mut call = LOST.call(&[index, hash]);
    call.arg(cursor).arg(PAGE);
    call
}

/// Ready messages that are scheduled too, and those that are dead letters too, from after this entry on.
pub(crate) fn audit_twice(keys: &Keys, level: Level, after: &str) -> Call {
    let mut call = TWICE.call(&[keys.ready(level), &keys.scheduled_bodies, &keys.dead_bodies]);
    call.arg(after).arg(PAGE);
    for level in [Level::High, Level::Normal, Level::Low] {
        call.arg(format!("{}:", level.name())).arg(format!("{}+:", level.name()));
    }
    call
}

/// Scheduled messages that are dead letters too, from this cursor on.
pub(crate) fn audit_both(keys: &Keys, cursor: &str) -> Call {
    let mut call = BOTH.call(&[&keys.scheduled_bodies, &keys.dead_bodies]);
    call.arg(cursor).arg(PAGE);
    call
}

/// What one page of an audit found, of so many kinds.
pub(crate) struct Found<const N: usize> {
    /// Where to go on; empty at the end.
    pub(crate) next: String,
    pub(crate) read: u64,
    pub(crate) names: [Vec<String>; N],
}

pub(crate) fn found<const N: usize>(answer: &Value) -> Option<Found<N>> {
    let Value::Array(parts) = answer else { return None };
    let [next, read, kinds @ ..] = parts.as_slice() else { return None };
    let names = kinds.iter().map(|kind| redis::from_redis_value_ref(kind).ok()).collect::<Option<Vec<_>>>()?;
    Some(Found {
        next: redis::from_redis_value_ref(next).ok()?,
        read: redis::from_redis_value_ref(read).ok()?,
        names: names.try_into().ok()?,
    })
}

/// Puts back into an index what has a body and no place in it, from this cursor on.
pub(crate) fn repair(keys: &Keys, indexed: Indexed, cursor: &str) -> Call {
    let mut call = REPAIR.call(&[indexed.index(keys), indexed.bodies(keys)]);
    call.arg(cursor).arg(PAGE);
    call
}

/// Where to go on, empty at the end, and how many were put back.
pub(crate) fn repaired(answer: &Value) -> Option<(String, u64)> {
    redis::from_redis_value_ref(answer).ok()
}
