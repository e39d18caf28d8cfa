//! The stored form of a schedule: two JSON objects. `docs/redis-keys.md` describes them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::ScheduleError;
use super::{CatchUp, Overlap};

/// The version that this library writes, and the newest that it reads.
const VERSION: u32 = 1;

/// All of a schedule but what decides on its ticks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Body<'a> {
    v: u32,
    #[serde(with = "overlap")]
    pub(super) overlap: Overlap,
    #[serde(with = "catch_up")]
    pub(super) catch_up: CatchUp,
    /// What is stored at a tick, but for its identity and times.
    #[serde(borrow)]
    message: &'a RawValue,
}

impl<'a> Body<'a> {
    pub(super) fn new(overlap: Overlap, catch_up: CatchUp, message: &'a [u8]) -> Self {
        let message = serde_json::from_slice(message).expect("a message is JSON");
        Self { v: VERSION, overlap, catch_up, message }
    }

    pub(super) fn read(body: &'a [u8]) -> Result<Self, ScheduleError> {
        #[derive(Deserialize)]
        struct Version {
            v: u64,
        }
        match serde_json::from_slice::<Version>(body) {
            Ok(Version { v }) if v > u64::from(VERSION) => {
                Err(ScheduleError::stored(format!("it is of version {v}, and this library reads {VERSION}")))
            }
            _ => serde_json::from_slice(body).map_err(|error| ScheduleError::stored(error.to_string())),
        }
    }

    pub(super) fn write(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and raw JSON always serialize").into()
    }

    pub(super) fn message(&self) -> &'a [u8] {
        self.message.get().as_bytes()
    }
}

/// A choice as the word that the macro takes for it.
macro_rules! in_words {
    ($module:ident, $type:ident { $($variant:ident = $word:literal),* }) => {
        mod $module {
            use serde::de::Error;
            use serde::{Deserialize, Deserializer, Serializer};

            use super::$type;

            pub(super) fn serialize<S: Serializer>(value: &$type, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(match value { $($type::$variant => $word),* })
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                match <&str>::deserialize(deserializer)? {
                    $($word => Ok($type::$variant),)*
                    other => Err(D::Error::unknown_variant(other, &[$($word),*])),
                }
            }
        }
    };
}

in_words!(overlap, Overlap { Allow = "allow", Skip = "skip" });
in_words!(catch_up, CatchUp { None = "none", Last = "last", All = "all" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_newer_is_not_guessed() {
        let message = br#"{"v":1}"#;
        let body = Body::new(Overlap::Skip, CatchUp::All, message).write();
        assert_eq!(body, &br#"{"v":1,"overlap":"skip","catch_up":"all","message":{"v":1}}"#[..]);
        let read = Body::read(&body).unwrap();
        assert_eq!((read.overlap, read.catch_up, read.message()), (Overlap::Skip, CatchUp::All, &message[..]));
        let newer = Body::read(br#"{"v":2,"overlap":"queue"}"#).unwrap_err().to_string();
        assert!(newer.contains("it is of version 2, and this library reads 1"), "{newer}");
    }
}
