//! An entry of a ready stream: its id, and what its fields hold.

use std::fmt;

use bytes::Bytes;
use redis::{RedisWrite, ToRedisArgs, Value};

use crate::keys::{MESSAGE, SLOT, SUSPECT, UNIQUE};
use crate::place::Holds;

/// Two numbers of 64 bits, and the dash between them.
const LONGEST_ID: usize = 20 + 1 + 20;

/// A stream entry's id: milliseconds, and a number within the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(pub(crate) u128);

impl EntryId {
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self(u128::from(ms.parse::<u64>().ok()?) << 64 | u128::from(seq.parse::<u64>().ok()?)))
    }

    /// The id of an entry as Redis sends it.
    pub(crate) fn of(entry: &Value) -> Option<Self> {
        let Value::Array(parts) = entry else { return None };
        let Value::BulkString(id) = parts.first()? else { return None };
        Self::parse(id)
    }

    /// Writes it to the end of `text`, and returns what it wrote.
    fn write(self, text: &mut [u8; LONGEST_ID]) -> &[u8] {
        let mut at = write_digits(text, LONGEST_ID, self.0 as u64) - 1;
        text[at] = b'-';
        at = write_digits(text, at, self.ms());
        &text[at..]
    }

    /// When the entry was added, in milliseconds since 1970.
    pub(crate) fn ms(self) -> u64 {
        // The upper half always fits.
        (self.0 >> 64) as u64
    }
}

/// Writes a number's digits so that they end at `end`, and returns where they begin.
fn write_digits(text: &mut [u8], end: usize, mut number: u64) -> usize {
    let mut at = end;
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return at;
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms(), self.0 as u64)
    }
}

impl ToRedisArgs for EntryId {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        // Without the machinery of `fmt`, which costs more than all else about a settlement.
        let mut text = [0; LONGEST_ID];
        out.write_arg(self.write(&mut text));
    }
}

impl redis::ToSingleRedisArg for EntryId {}

/// An entry of a ready stream.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    /// A message, or what a foreign producer put in place of one. The worker says what it is.
    pub(crate) body: Bytes,
    /// Whether a worker has died with it, as an entry before this one.
    pub(crate) suspect: bool,
    /// What it holds, as a script wrote it.
    pub(crate) holds: Holds,
}

impl Entry {
    /// Reads `[id, [field, value, ..]]`. `None` where the entry is gone.
    pub(crate) fn read(value: Value) -> Option<Self> {
        let id = EntryId::of(&value)?;
        let Value::Array(mut parts) = value else { return None };
        Self::of_fields(id, parts.pop()?)
    }

    /// The same of an entry whose fields are `[field, value, ..]`.
    pub(crate) fn of_fields(id: EntryId, fields: Value) -> Option<Self> {
        let Value::Array(mut fields) = fields else { return None };
        if let [Value::BulkString(field), Value::BulkString(value)] = fields.as_mut_slice()
            && field == MESSAGE
        {
            return Some(Self { id, body: std::mem::take(value).into(), suspect: false, holds: Holds::default() });
        }
        let suspect = matches!(fields.get(2), Some(Value::BulkString(field)) if field == SUSPECT);
        // The last of the fields in this order, so that what a foreign producer writes is none.
        let slot = last(&mut fields, SLOT);
        let unique = last(&mut fields, UNIQUE);
        Some(Self { id, body: foreign(fields), suspect, holds: Holds { slot, unique } })
    }
}

/// Takes the value of a field, where that is the last.
fn last(fields: &mut Vec<Value>, name: &[u8]) -> Bytes {
    match fields.as_mut_slice() {
        [.., Value::BulkString(field), Value::BulkString(value)] if field == name => {
            let value = std::mem::take(value);
            fields.truncate(fields.len() - 2);
            value.into()
        }
        _ => Bytes::new(),
    }
}

/// The message in an entry of an unknown shape: its message field, else all that it holds, so that
/// a person sees in the dead letter what was sent.
fn foreign(fields: Vec<Value>) -> Bytes {
    let mut texts = fields.into_iter().map(|field| match field {
        Value::BulkString(bytes) => bytes,
        _ => Vec::new(),
    });
    let mut all = Vec::new();
    while let (Some(field), Some(value)) = (texts.next(), texts.next()) {
        if field == MESSAGE {
            return value.into();
        }
        if !all.is_empty() {
            all.push(b' ');
        }
        all.extend_from_slice(&field);
        all.push(b' ');
        all.extend_from_slice(&value);
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(texts: &[&str]) -> Value {
        Value::Array(texts.iter().map(|text| Value::BulkString(text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn an_id_reads_as_it_is_written() {
        for text in ["0-1", "1700000000000-0", "18446744073709551615-18446744073709551615"] {
            let id = EntryId::parse(text.as_bytes()).expect("an id");
            assert_eq!(id.to_string(), text);
            assert_eq!(id.to_redis_args(), [text.as_bytes()]);
        }
        for text in ["", "1", "a-b", "1-2-3", "-1"] {
            assert_eq!(EntryId::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_entry_of_any_shape_is_a_message() {
        for (texts, message) in [
            (&["m", "{}"] as &[&str], "{}"),
            (&["from", "me", "m", "{}"], "{}"),
            (&["body", "{}", "x", "y"], "body {} x y"),
            (&["m", "{}", "suspect", "1"], "{}"),
        ] {
            let entry = Entry::of_fields(EntryId(0), fields(texts)).expect("fields");
            assert_eq!((&*entry.body, entry.suspect), (message.as_bytes(), texts.contains(&"suspect")));
        }
    }
}
