//! A stored message, as people and screens read it.

use std::time::SystemTime;

use crate::causes::debug_as_shown;
use crate::headers::Headers;
use crate::wire::{Envelope, Undecodable, VERSION, to_time};
use crate::{MessageId, Priority, TraceParent};

/// A stored message, decoded. `docs/wire-format.md` describes the stored form.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoredMessage {
    /// Its identity.
    pub id: MessageId,
    /// The actor's name.
    pub actor: String,
    /// The queue that it was sent to.
    pub queue: String,
    /// The arguments, as they were written: a JSON array.
    pub args: String,
    /// How many attempts were made before this copy was stored.
    pub attempts: u32,
    /// How many of its workers died before this copy was stored.
    pub crashes: u32,
    /// When it was sent, by the broker's clock.
    pub sent_at: SystemTime,
    /// When it becomes a dead letter instead of starting.
    pub expires_at: Option<SystemTime>,
    /// Which of the queue's messages goes first.
    pub priority: Priority,
    /// What its queue's messages are grouped by.
    pub key: Option<String>,
    /// How often it may be tried again, where the message says so; otherwise its actor does.
    pub max_retries: Option<u32>,
    /// The sender's trace context.
    pub trace: Option<TraceParent>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Since when it waits for a worker that can run it, and what the last one that had it lacked.
    pub parked: Option<Parked>,
    headers: Headers,
}

/// Why a stored message waits for another worker than those that had it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parked {
    /// When a worker first left it to others, by the broker's clock.
    pub since: SystemTime,
    /// Why the last one did.
    pub why: String,
}

impl StoredMessage {
    /// Decodes a stored message.
    ///
    /// # Errors
    ///
    /// It is not a message, or is of a newer version of the format.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let envelope = Envelope::decode(body).map_err(|error| match error {
            Undecodable::Invalid(why) => DecodeError(why),
            Undecodable::Newer(version) => DecodeError(newer(version)),
        })?;
        Ok(Self {
            id: envelope.id,
            actor: envelope.actor.into_owned(),
            queue: envelope.queue.into_owned(),
            args: envelope.args.to_owned(),
            attempts: envelope.attempt,
            crashes: envelope.crashes,
            sent_at: to_time(envelope.sent_at),
            expires_at: envelope.expires_at.map(to_time),
            priority: envelope.priority.unwrap_or_default(),
            key: envelope.key.map(Into::into),
            max_retries: envelope.max_retries,
            trace: envelope.trace,
            last_error: envelope.last_error.map(Into::into),
            parked: envelope.parked.map(|parked| Parked { since: to_time(parked.since), why: parked.why.into() }),
            headers: envelope.headers,
        })
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// All headers, by name.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter()
    }
}

/// Why what is stored cannot be decoded, in words for a person.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

debug_as_shown!(DecodeError);

/// Why a message of this version of the format is left to others.
pub(crate) fn newer(version: u64) -> String {
    format!("the message is of format version {version}, and this library reads {VERSION}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_shown() {
        let message = StoredMessage::decode(include_bytes!("../../../docs/wire-format/v1-full.json")).unwrap();
        assert_eq!((&*message.actor, &*message.queue), ("process_video", "video_processing"));
        assert!(message.args.starts_with('[') && message.args.ends_with(']'));
        assert_eq!((message.attempts, message.crashes, message.max_retries), (2, 1, Some(3)));
        assert_eq!(message.sent_at, to_time(1_722_999_000_000));
        assert_eq!((message.expires_at, message.priority), (Some(to_time(1_723_085_400_000)), Priority::High));
        assert_eq!(message.last_error.as_deref(), Some("the codec said \"no\""));
        assert_eq!(message.header("tenant"), Some("acme"));
        assert_eq!(message.headers().count(), 2);
        assert!(message.trace.is_some());
        let parked = message.parked.map(|parked| (parked.since, parked.why));
        assert_eq!(parked, Some((to_time(1_722_999_500_000), "no actor of this name is implemented here".to_owned())));
    }

    #[test]
    fn a_key_is_shown() {
        let key = |body: &[u8]| StoredMessage::decode(body).unwrap().key;
        assert_eq!(key(include_bytes!("../../../docs/wire-format/v2-full.json")).as_deref(), Some("customer 42"));
        assert_eq!(key(include_bytes!("../../../docs/wire-format/v1-minimal.json")), None);
    }

    #[test]
    fn what_cannot_be_decoded_says_why() {
        let why = |body: &str| StoredMessage::decode(body.as_bytes()).unwrap_err().to_string();
        assert!(why("no message").contains("not a JSON object"));
        assert_eq!(why(r#"{"v":3}"#), "the message is of format version 3, and this library reads 2");
    }
}
