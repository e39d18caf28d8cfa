//! The scripts that read and repair.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actor_core::MessageId;
use actor_core::inspect::Counts;
use actor_core::wire::{self, Revived};

use super::{Call, Source, before_ready, dead, gated, holding};
use crate::entry::EntryId;
use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;
use crate::slot::list_name;

static COUNT: Source = source!("count");
static REPLAY: Source = source!("own_keys", "cancelled", "unique", "gate", "members", "into_lanes", "replay");
static DELETE: Source = source!("bounded", "unique", "gate", "free_slots", "drop_slots", "delete");
static REMOVE: Source = source!("unique", "members", "remove");
static PURGE: Source = source!("unique", "members", "purge");
static LIST_ENTRIES: Source = source!("bounded", "list_entries");
static LIST_IN_FLIGHT: Source = source!("bounded", "list_in_flight");
static LIST_INDEX: Source = source!("bounded", "list_index");

pub(crate) fn count(keys: &Keys) -> Call {
    let before = [&*keys.workers, &keys.scheduled, &keys.dead, &keys.dead_pruned, &keys.gate, &keys.outboxes];
    COUNT.call(&before_ready(keys, &before), (GROUP, &keys.outbox_prefix))
}

/// What a [`count`] found.
pub(crate) fn counted(answer: (u64, u64, u64, u64, bool, u64, u64, u64, u64)) -> Counts {
    let (ready, delivered, scheduled, dead, paused, pruned, since_ms, waiting, outgoing) = answer;
    let mut counts = Counts::new(ready, delivered, scheduled, dead);
    counts.waiting = waiting;
    counts.outgoing = outgoing;
    counts.paused = paused;
    counts.pruned = pruned;
    counts.pruned_since = (pruned > 0).then(|| time(since_ms));
    counts
}

/// A time in ms since 1970.
pub(crate) fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

/// A dead letter, and what becomes of it: a message, or nothing where there is only an index of it.
pub(crate) struct Replay {
    pub(crate) member: Vec<u8>,
    pub(crate) message: Option<Revived>,
}

impl Replay {
    /// The message's id, where it is made new and has one.
    fn id(&self) -> Option<MessageId> {
        wire::id(&self.message.as_ref()?.body)
    }
}

/// Answers how many were dead, and are ready now; how many stay dead, since another message holds their key; and the first
/// that does.
pub(crate) fn replay(keys: &Keys, dead_letters: &[Replay]) -> Call {
    let before = before_ready(keys, &[&dead(keys)[..], &[&keys.cancelled]].concat());
    let results: Vec<String> = dead_letters.iter().filter_map(Replay::id).map(|id| keys.result(id)).collect();
    let mut all = holding(keys, gated(keys, before));
    all.extend(results.iter().map(String::as_str));
    let mut call = REPLAY.call(&all, GROUP);
    let mut own = 0;
    for dead_letter in dead_letters {
        let Replay { member, message } = dead_letter;
        let Some(Revived { priority, lane, unique, body, .. }) = message else {
            call.command.arg((&**member, "", "", "", "", "", "", ""));
            continue;
        };
        let result = dead_letter.id().map(|_| {
            own += 1;
            own
        });
        let result = result.map_or_else(String::new, |own| own.to_string());
        let list = lane.as_ref().map(|lane| list_name(*priority, lane.key.as_str())).unwrap_or_default();
        let cost = lane.as_ref().map_or(1, |lane| lane.cost);
        let (key, id) = unique.as_ref().map(|(id, unique)| (unique.key.as_str(), id.to_string())).unwrap_or_default();
        call.command.arg((&**member, Level::of(*priority).place(), &**body, list, cost, key, id, result));
    }
    call.command.arg(results.len());
    call
}

/// Deletes what is ready from one entry to another. Answers how many it deleted, and the last entry that it saw.
pub(crate) fn delete(keys: &Keys, level: Level, from: &str, to: EntryId, limit: usize) -> Call {
    DELETE.call(&holding(keys, gated(keys, [keys.ready(level)])), (level.place(), GROUP, from, to, limit))
}

/// Messages that stand in a sorted set by time, and beside it what belongs to them.
#[derive(Clone, Copy)]
pub(crate) enum Indexed {
    Scheduled,
    Dead,
}

impl Indexed {
    pub(super) fn keys(self, keys: &Keys) -> Vec<&str> {
        match self {
            Self::Scheduled => vec![&keys.scheduled, &keys.scheduled_bodies, &keys.scheduled_lanes],
            Self::Dead => dead(keys).to_vec(),
        }
    }

    /// The sorted set, and the hashes of what a listing shows.
    fn listed(self, keys: &Keys) -> Vec<&str> {
        let shown = match self {
            Self::Scheduled => 2,
            Self::Dead => 3,
        };
        self.keys(keys).into_iter().take(shown).collect()
    }

    /// The sorted set.
    pub(crate) fn index(self, keys: &Keys) -> &str {
        self.keys(keys)[0]
    }

    /// The hashes of bodies, and of dead letters' reasons.
    pub(crate) fn hashes(self, keys: &Keys) -> Vec<&str> {
        self.listed(keys).split_off(1)
    }
}

/// Removes a member of an index with all that belongs to it. Answers how many were there.
pub(crate) fn remove(keys: &Keys, indexed: Indexed, member: &str) -> Call {
    REMOVE.call(&holding(keys, indexed.keys(keys)), member)
}

/// The same for several members.
pub(crate) fn remove_all(keys: &Keys, indexed: Indexed, members: &[String]) -> Call {
    REMOVE.call(&holding(keys, indexed.keys(keys)), members)
}

/// Removes the first of an index with all that belongs to them. Answers how many there were.
pub(crate) fn purge(keys: &Keys, indexed: Indexed, limit: usize) -> Call {
    PURGE.call(&holding(keys, indexed.keys(keys)), limit)
}

/// Lists what stands in an index from a rank on. Answers whether there may be more, and for each message: member,
/// score, body, and of a dead letter its reason.
pub(crate) fn list_index(keys: &Keys, indexed: Indexed, rank: usize, limit: usize) -> Call {
    LIST_INDEX.call(&indexed.listed(keys), (rank, limit))
}

/// Lists entries of a ready stream after this one, or those that nobody has read. Answers whether there may be more,
/// and the entries: id and fields.
pub(crate) fn list_entries(keys: &Keys, level: Level, after: Option<EntryId>, limit: usize) -> Call {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    LIST_ENTRIES.call(&[keys.ready(level)], (GROUP, after, limit))
}

/// Reads these entries. Answers for as many of them as one answer holds, from the first: the entry, or nothing.
pub(crate) fn list_in_flight(keys: &Keys, places: impl Iterator<Item = Place>) -> Call {
    LIST_IN_FLIGHT.call(&before_ready(keys, &[]), places.collect::<Vec<_>>())
}
