//! The scripts that find what is not as it must be, and the one that repairs it.

use super::{Call, Indexed, Source, holding};
use crate::keys::{GROUP, Keys, Level};

static ENTRIES: Source = source!("bounded", "audit_entries");
static IN_FLIGHT: Source = source!("bounded", "audit_in_flight");
static BARE: Source = source!("audit_bare");
static LOST: Source = source!("bounded", "audit_lost");
static TWICE: Source = source!("bounded", "audit_twice");
static BOTH: Source = source!("bounded", "audit_both");
static UNIQUE: Source = source!("unique", "audit_unique");
static HOLDS: Source = source!("bounded", "unique", "audit_holds");
static REPAIR: Source = source!("bounded", "unique", "repair");
static REPAIR_UNIQUE: Source = source!("unique", "repair_unique");

/// How much one call reads at most.
const PAGE: usize = 100;

/// Entries that nobody holds, from after this one on. As all audits, it answers where to go on,
/// empty at the end; how many it read; and the names that it found, of one kind or several.
pub(crate) fn audit_entries(keys: &Keys, level: Level, after: &str) -> Call {
    ENTRIES.call(&[keys.ready(level)], (GROUP, after, PAGE))
}

/// What is in flight and has no entry, from after this one on.
pub(crate) fn audit_in_flight(keys: &Keys, level: Level, after: &str) -> Call {
    IN_FLIGHT.call(&[keys.ready(level)], (GROUP, after, PAGE))
}

/// Members of an index without a value in a hash, from this rank on.
pub(crate) fn audit_bare(index: &str, hash: &str, rank: &str) -> Call {
    BARE.call(&[index, hash], (rank, PAGE))
}

/// Fields of a hash without a place in an index, from this cursor on.
pub(crate) fn audit_lost(index: &str, hash: &str, cursor: &str) -> Call {
    LOST.call(&[index, hash], (cursor, PAGE))
}

/// Ready messages that are scheduled too, and those that are dead letters too, from after this entry on.
pub(crate) fn audit_twice(keys: &Keys, level: Level, after: &str) -> Call {
    let members =
        [Level::High, Level::Normal, Level::Low].map(|level| [":", "+:"].map(|end| level.name().to_owned() + end));
    TWICE.call(&[keys.ready(level), &keys.scheduled_bodies, &keys.dead_bodies], (after, PAGE, members.as_flattened()))
}

/// Scheduled messages that are dead letters too, from this cursor on.
pub(crate) fn audit_both(keys: &Keys, cursor: &str) -> Call {
    BOTH.call(&[&keys.scheduled_bodies, &keys.dead_bodies], (cursor, PAGE))
}

/// Puts back into an index what has a body and no place in it, from this cursor on. Answers where to go on, empty at
/// the end, and how many were put back.
pub(crate) fn repair(keys: &Keys, indexed: Indexed, cursor: &str) -> Call {
    REPAIR.call(&holding(keys, indexed.keys(keys)), (cursor, PAGE))
}

/// Unique keys without a message, and those of what follows and is not scheduled, from this cursor on.
pub(crate) fn audit_unique(keys: &Keys, cursor: &str) -> Call {
    UNIQUE.call(&holding(keys, []), (GROUP, cursor, PAGE))
}

/// Entries whose messages hold a key that does not name them, from after this one on.
pub(crate) fn audit_holds(keys: &Keys, level: Level, after: &str) -> Call {
    HOLDS.call(&holding(keys, [keys.ready(level)]), (level.place(), after, PAGE))
}

/// Frees unique keys without a message, from this cursor on. Answers where to go on, empty at the end, and how many.
pub(crate) fn repair_unique(keys: &Keys, cursor: &str) -> Call {
    REPAIR_UNIQUE.call(&holding(keys, []), (GROUP, cursor, PAGE))
}
