//! Where a delivered message stands, and the receipt that names it so, with what the message holds.

use actor_core::delivery::Receipt;
use bytes::{BufMut, Bytes, BytesMut};
use redis::{RedisWrite, ToRedisArgs};

use crate::entry::EntryId;
use crate::keys::Level;

/// A level's place, and an entry's two numbers.
pub(crate) const RECEIPT_BYTES: usize = 17;
/// Beside the level's place: a worker has died with the message.
const SUSPECT: u8 = 0x80;

/// What comes before the length of a unique key behind these. No slot begins so.
const HOLDS_KEY: u8 = 0;

/// What a message holds: of its queue's limits, and a unique key. Each is empty where it holds none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holds {
    pub(crate) slot: Bytes,
    pub(crate) unique: Bytes,
}

/// Where an in-flight message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) level: Level,
    pub(crate) id: EntryId,
}

impl Place {
    /// The receipt of what stands here. It says whether the message is a suspect, so that what becomes of the
    /// message keeps it. The receipts of one read share a buffer.
    pub(crate) fn receipt(self, suspect: bool, holds: &Holds, buffer: &mut BytesMut) -> Receipt {
        buffer.put_u8(self.level.place() | if suspect { SUSPECT } else { 0 });
        buffer.put_u128(self.id.0);
        // A key has at most a kibibyte.
        if let Ok(length @ 1..) = u16::try_from(holds.unique.len()) {
            buffer.put_u8(HOLDS_KEY);
            buffer.put_u16(length);
            buffer.put_slice(&holds.unique);
        }
        buffer.put_slice(&holds.slot);
        Receipt::new(buffer.split())
    }

    /// `None` for a receipt that this broker did not make.
    pub(crate) fn of(receipt: &Receipt) -> Option<Self> {
        let (level, id) = receipt.as_bytes().split_first()?;
        let id = id.first_chunk()?;
        Some(Self { level: Level::at(*level & !SUSPECT)?, id: EntryId(u128::from_be_bytes(*id)) })
    }
}

// As scripts take it: the level, and the entry.
impl ToRedisArgs for Place {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        (self.level.place(), self.id).write_redis_args(out);
    }
}

/// The unique key and the slot that a receipt's message holds; each empty where it holds none.
pub(crate) fn held(receipt: &Receipt) -> (&[u8], &[u8]) {
    let held = receipt.as_bytes().get(RECEIPT_BYTES..).unwrap_or_default();
    if let [HOLDS_KEY, high, low, rest @ ..] = held {
        return rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))).unwrap_or_default();
    }
    (&[], held)
}

/// Whether a worker has died with a receipt's message.
pub(crate) fn is_suspect(receipt: &Receipt) -> bool {
    receipt.as_bytes().first().is_some_and(|level| level & SUSPECT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_names_its_place_and_no_foreign_receipt_does() {
        let place = Place { level: Level::Low, id: EntryId(7 << 64 | 3) };
        for suspect in [false, true] {
            for (unique, slot) in [("", ""), ("", "1 0 key"), ("reindex:17", ""), ("a b", "1 0 key")] {
                let holds = Holds { slot: Bytes::from_static(slot.as_bytes()), unique: unique.into() };
                let receipt = place.receipt(suspect, &holds, &mut BytesMut::new());
                assert_eq!((Place::of(&receipt), is_suspect(&receipt)), (Some(place), suspect));
                assert_eq!(held(&receipt), (unique.as_bytes(), slot.as_bytes()));
            }
        }
        for foreign in [&b""[..], b"8 bytes.", &[0xff; RECEIPT_BYTES]] {
            assert_eq!(Place::of(&Receipt::new(foreign.to_vec())), None);
        }
    }
}
