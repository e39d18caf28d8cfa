//! The scripts that read and repair.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actor_core::inspect::Counts;
use bytes::Bytes;
use redis::Value;

use super::{Call, Source, before_ready, dead, integers};
use crate::entry::EntryId;
use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;

static COUNT: Source = source!("count");
static REPLAY: Source = source!("pruned", "replay");
static DELETE: Source = source!("bounded", "delete");
static REMOVE: Source = source!("pruned", "remove");
static PURGE: Source = source!("pruned", "purge");
static LIST_ENTRIES: Source = source!("bounded", "list_entries");
static LIST_IN_FLIGHT: Source = source!("bounded", "list_in_flight");
static LIST_INDEX: Source = source!("bounded", "list_index");

pub(crate) fn count(keys: &Keys) -> Call {
    let mut call = COUNT.call(&before_ready(keys, &[&keys.workers, &keys.scheduled, &keys.dead, &keys.dead_pruned]));
    call.arg(GROUP);
    call
}

/// What a [`count`] found.
pub(crate) fn counted(answer: &Value) -> Option<Counts> {
    let numbers = integers::<7>(answer)?.map(|number| u64::try_from(number).unwrap_or_default());
    let [ready, delivered, scheduled, dead, paused, pruned, since_ms] = numbers;
    let mut counts = Counts::new(ready, delivered, scheduled, dead);
    counts.paused = paused == 1;
    counts.pruned = pruned;
    counts.pruned_since = (pruned > 0).then(|| time(since_ms));
    Some(counts)
}

/// A time in ms since 1970.
pub(crate) fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

/// A dead letter made new.
pub(crate) struct Replay {
    pub(crate) member: Vec<u8>,
    pub(crate) level: Level,
    pub(crate) body: Bytes,
}

/// Answers how many were dead, and are ready now.
pub(crate) fn replay(keys: &Keys, messages: &[Replay]) -> Call {
    let mut call = REPLAY.call(&before_ready(keys, &dead(keys)));
    for Replay { member, level, body } in messages {
        call.arg(&**member).arg(level.place()).arg(&**body);
    }
    call
}

/// Deletes what is ready from one entry to another.
pub(crate) fn delete(keys: &Keys, level: Level, from: &str, to: &str, limit: usize) -> Call {
    let mut call = DELETE.call(&[keys.ready(level)]);
    call.arg(GROUP).arg(from).arg(to).arg(limit);
    call
}

/// How many a [`delete`] deleted, and the last entry that it saw.
pub(crate) fn deleted(answer: &Value) -> Option<(u64, Option<EntryId>)> {
    let Value::Array(parts) = answer else { return None };
    let [Value::Int(count), Value::BulkString(last)] = parts.as_slice() else { return None };
    Some((u64::try_from(*count).ok()?, EntryId::parse(last)))
}

/// Messages that stand in a sorted set by time, and beside it what belongs to them.
#[derive(Clone, Copy)]
pub(crate) enum Indexed {
    Scheduled,
    Dead,
}

impl Indexed {
    fn keys(self, keys: &Keys) -> Vec<&str> {
        match self {
            Self::Scheduled => vec![&keys.scheduled, &keys.scheduled_bodies],
            Self::Dead => dead(keys).to_vec(),
        }
    }

    /// The sorted set.
    pub(crate) fn index(self, keys: &Keys) -> &str {
        self.keys(keys)[0]
    }

    /// The hash of bodies.
    pub(crate) fn bodies(self, keys: &Keys) -> &str {
        self.keys(keys)[1]
    }

    /// The hashes of bodies, and of dead letters' reasons.
    pub(crate) fn hashes(self, keys: &Keys) -> Vec<&str> {
        self.keys(keys).into_iter().skip(1).take(2).collect()
    }
}

/// Removes members of an index with all that belongs to them. Answers how many were there.
pub(crate) fn remove(keys: &Keys, indexed: Indexed, members: &[Vec<u8>]) -> Call {
    let mut call = REMOVE.call(&indexed.keys(keys));
    call.arg(members);
    call
}

/// Removes the first of an index with all that belongs to them. Answers how many there were.
pub(crate) fn purge(keys: &Keys, indexed: Indexed, limit: usize) -> Call {
    let mut call = PURGE.call(&indexed.keys(keys));
    call.arg(limit);
    call
}

/// Lists what stands in an index from a rank on, as [`Part`] reads it: member, score, body, and of a dead
/// letter its reason.
pub(crate) fn list_index(keys: &Keys, indexed: Indexed, rank: usize, limit: usize) -> Call {
    let mut of = vec![indexed.index(keys)];
    of.extend(indexed.hashes(keys));
    let mut call = LIST_INDEX.call(&of);
    call.arg(rank).arg(limit);
    call
}

/// Lists entries of a ready stream after this one, or those that nobody has read, as [`Part`] reads it: id and
/// fields.
pub(crate) fn list_entries(keys: &Keys, level: Level, after: Option<EntryId>, limit: usize) -> Call {
    let mut call = LIST_ENTRIES.call(&[keys.ready(level)]);
    call.arg(GROUP);
    match after {
        Some(id) => call.arg(id),
        None => call.arg(""),
    };
    call.arg(limit);
    call
}

/// A part of a listing.
pub(crate) struct Part {
    /// Whether there may be more.
    pub(crate) more: bool,
    pub(crate) lines: Vec<Value>,
}

pub(crate) fn listed(answer: Value) -> Option<Part> {
    let Value::Array(parts) = answer else { return None };
    let [Value::Int(more), Value::Array(lines)] = <[Value; 2]>::try_from(parts).ok()? else { return None };
    Some(Part { more: more == 1, lines })
}

/// Reads these entries. Answers for as many of them as one answer holds, from the first: the entry, or nothing.
pub(crate) fn list_in_flight(keys: &Keys, places: impl Iterator<Item = Place>) -> Call {
    let mut call = LIST_IN_FLIGHT.call(&before_ready(keys, &[]));
    for Place { level, id } in places {
        call.arg(level.place()).arg(id);
    }
    call
}
