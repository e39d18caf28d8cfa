//! The stored form of how a message ended, described in `docs/wire-format.md`.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::wire;

/// The newest version that this library reads.
const VERSION: u32 = 1;

/// A record of how a message ended. Members that this version does not know are passed over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record<'a> {
    v: u32,
    pub(super) state: State,
    /// When, in ms since 1970, by the broker's clock.
    pub(super) ended_at: u64,
    /// How many attempts were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u32>,
    /// What the run returned.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<&'a RawValue>,
    /// Why it failed.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Cow<'a, str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Done,
    Failed,
    Cancelled,
}

impl<'a> Record<'a> {
    fn new(state: State, now: SystemTime) -> Self {
        Self { v: VERSION, state, ended_at: wire::to_ms(now), attempts: None, output: None, reason: None }
    }

    /// An error says what is wrong with it.
    pub(super) fn read(record: &'a [u8]) -> Result<Self, String> {
        match serde_json::from_slice::<Self>(record) {
            Ok(record) if record.v > VERSION => {
                Err(format!("its record has version {}, and this program reads {VERSION}", record.v))
            }
            Ok(record) => Ok(record),
            Err(error) => Err(format!("its record: {error}")),
        }
    }

    fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and numbers always serialize").into()
    }
}

/// How a run's message ended.
#[cfg(feature = "worker")]
#[derive(Debug)]
pub(crate) enum Ending<'a> {
    /// What was returned, as JSON; `None` where a layer answered in the actor's place.
    Done(Option<&'a str>),
    Failed(&'a str),
    Cancelled,
}

#[cfg(feature = "worker")]
impl Ending<'_> {
    /// The record of it, after so many attempts.
    pub(crate) fn record(&self, attempts: u32, now: SystemTime) -> Bytes {
        let attempts = Some(attempts);
        match self {
            Self::Done(output) => {
                let output = output.and_then(|output| serde_json::from_str::<&RawValue>(output).ok());
                Record { attempts, output, ..Record::new(State::Done, now) }.encode()
            }
            Self::Failed(reason) => {
                Record { attempts, reason: Some((*reason).into()), ..Record::new(State::Failed, now) }.encode()
            }
            Self::Cancelled => cancelled(now),
        }
    }
}

/// The record of a message that was cancelled.
pub(crate) fn cancelled(now: SystemTime) -> Bytes {
    Record::new(State::Cancelled, now).encode()
}

#[cfg(all(test, feature = "worker"))]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let now = wire::to_time(1_700_000_000_000);
        for (ending, written) in [
            (
                Ending::Done(Some("[1,18446744073709551615]")),
                r#"{"v":1,"state":"done","ended_at":1700000000000,"attempts":2,"output":[1,18446744073709551615]}"#,
            ),
            (Ending::Done(None), r#"{"v":1,"state":"done","ended_at":1700000000000,"attempts":2}"#),
            (
                Ending::Failed("no \"disk\""),
                r#"{"v":1,"state":"failed","ended_at":1700000000000,"attempts":2,"reason":"no \"disk\""}"#,
            ),
            (Ending::Cancelled, r#"{"v":1,"state":"cancelled","ended_at":1700000000000}"#),
        ] {
            let record = ending.record(2, now);
            assert_eq!(record, written);
            assert_eq!(Record::read(&record).map(|read| read.encode()), Ok(record));
        }
    }

    #[test]
    fn a_newer_record_is_refused_by_its_version_and_an_unknown_member_passed_over() {
        let record = br#"{"v":1,"state":"done","ended_at":0,"output":1,"by":"x"}"#;
        assert_eq!(Record::read(record).unwrap().output.unwrap().get(), "1");
        let newer = br#"{"v":2,"state":"done","ended_at":0}"#;
        assert!(Record::read(newer).unwrap_err().contains("version 2"));
        assert!(Record::read(b"no JSON").is_err());
    }
}
