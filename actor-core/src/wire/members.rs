//! A message taken apart, to be changed.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A JSON object's members in their order, their values unread.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

enum Value<'a> {
    Kept(&'a RawValue),
    Count(u64),
    Set(Box<RawValue>),
}

/// About how many members a message has.
const MEMBERS: usize = 16;

impl<'a> Members<'a> {
    pub(super) fn set<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) {
        let value = serde_json::value::to_raw_value(value).expect("numbers and texts always serialize");
        self.put(name, Value::Set(value));
    }

    /// As [`Members::set`], without a text of its own for each number.
    pub(super) fn count(&mut self, name: &'static str, count: impl Into<u64>) {
        self.put(name, Value::Count(count.into()));
    }

    fn put(&mut self, name: &'static str, value: Value<'a>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((Cow::Borrowed(name), value)),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    pub(super) fn encode(&self) -> Bytes {
        // Each with quotation marks, colon and comma.
        let size = 1 + self.0.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
        let mut body = Vec::with_capacity(size);
        serde_json::to_writer(&mut body, self).expect("texts and raw JSON always serialize");
        body.into()
    }
}

impl Value<'_> {
    /// The length of its text.
    fn len(&self) -> usize {
        match self {
            Self::Kept(value) => value.get().len(),
            Self::Count(count) => count.checked_ilog10().unwrap_or_default() as usize + 1,
            Self::Set(value) => value.get().len(),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Kept(value) => value.serialize(serializer),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Set(value) => value.serialize(serializer),
        }
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> serde::de::Visitor<'de> for Visitor<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
                let mut members = Vec::with_capacity(MEMBERS);
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    members.push((name, Value::Kept(value)));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Visitor(std::marker::PhantomData))
    }
}
