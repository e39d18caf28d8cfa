//! What Redis delivered to a consumer, with what the consumer group knows of it.

use redis::Value;

use crate::entry::{Entry, EntryId};
use crate::keys::Level;
use crate::place::{Holds, Place};

/// A message that is in flight here.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) place: Place,
    pub(super) body: bytes::Bytes,
    pub(super) count: DeliveryCount,
    /// Whether a worker has died with it, as this entry or as one before it.
    pub(super) suspect: bool,
    /// What it holds.
    pub(super) holds: Holds,
    /// Whether it is known here that the message was cancelled.
    pub(super) cancelled: bool,
}

impl Delivered {
    /// What an entry of this level is, delivered so often.
    pub(super) fn new(level: Level, Entry { id, body, suspect, holds }: Entry, count: DeliveryCount) -> Self {
        let suspect = suspect || count.crashes > 0;
        Self { place: Place { level, id }, body, count, suspect, holds, cancelled: false }
    }

    /// Reads level, entry, delivery count, fields, and whether it was cancelled, where that is said.
    pub(super) fn read(entry: Value) -> Option<Self> {
        let Value::Array(mut parts) = entry else { return None };
        let cancelled = parts.len() > 4 && parts.pop().is_some();
        let [level, id, count, fields] = <[Value; 4]>::try_from(parts).ok()?;
        let (Value::Int(level), Value::BulkString(id), Value::Int(count)) = (level, id, count) else { return None };
        let level = Level::at(u8::try_from(level).ok()?)?;
        let entry = Entry::of_fields(EntryId::parse(&id)?, fields)?;
        Some(Self { cancelled, ..Self::new(level, entry, DeliveryCount::read(count)) })
    }
}

/// What an entry's delivery count holds: 1, its crashes, and 2^32 for each delivery that ended with a worker that
/// had begun to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DeliveryCount {
    pub(super) crashes: u32,
    pub(super) interruptions: u32,
}

impl DeliveryCount {
    pub(super) fn read(count: i64) -> Self {
        let count = u64::try_from(count).unwrap_or_default();
        let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self { crashes: low.saturating_sub(1), interruptions: u32::try_from(count >> 32).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_count_holds_crashes_and_interruptions() {
        for (count, crashes, interruptions) in
            [(1, 0, 0), (3, 2, 0), (1 << 32 | 1, 0, 1), (2 << 32 | 4, 3, 2), (0, 0, 0), (-1, 0, 0)]
        {
            assert_eq!(DeliveryCount::read(count), DeliveryCount { crashes, interruptions });
        }
    }
}
