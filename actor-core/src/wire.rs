//! The stored form of a message: one JSON object, described in `docs/wire-format.md`.
//!
//! This is the only place that knows it. Reading borrows from the body; only a message that changes
//! (a retry, dead-lettering, a release) is taken apart, so that members this version does not know stay.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) use self::held::{Held, HeldUntil};
use self::members::Members;
use crate::headers::Headers;
use crate::signature::Fingerprint;
use crate::{Key, Lane, MessageId, OnConflict, Priority, TraceParent, Unique, Uniqueness, Until};

/// The newest version that this library reads.
pub const VERSION: u32 = 2;
/// The version of a message that any worker may settle.
pub(crate) const PLAIN: u32 = 1;
/// The version of a message whose settlement does more than to end it: an older worker leaves it alone.
pub(crate) const HOLDING: u32 = 2;

/// The longest text of why a message cannot be decoded, in characters.
const LONGEST_REASON: usize = 500;

/// A message, decoded but for its arguments.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<'a> {
    pub(crate) v: u32,
    pub(crate) id: MessageId,
    #[serde(borrow)]
    pub(crate) actor: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) queue: Cow<'a, str>,
    /// A JSON array.
    #[serde(borrow, deserialize_with = "unread")]
    pub(crate) args: &'a str,
    /// Of what the sender declares.
    #[serde(default, deserialize_with = "fingerprint")]
    pub(crate) sig: Option<Fingerprint>,
    #[serde(default)]
    pub(crate) attempt: u32,
    #[serde(default)]
    pub(crate) crashes: u32,
    /// Deliveries before this copy was stored.
    #[serde(default)]
    pub(crate) deliveries: u64,
    #[serde(default)]
    pub(crate) sent_at: u64,
    #[serde(default)]
    pub(crate) max_retries: Option<u32>,
    #[serde(default)]
    pub(crate) backoff: Option<Backoff>,
    /// Zero for none.
    #[serde(default)]
    pub(crate) time_limit_ms: Option<u64>,
    #[serde(default)]
    pub(crate) expires_at: Option<u64>,
    #[serde(default)]
    pub(crate) priority: Option<Priority>,
    /// What its queue's messages are grouped by.
    #[serde(borrow, default, deserialize_with = "known")]
    pub(crate) key: Option<Cow<'a, str>>,
    /// How many slots of its queue's limits it takes. Only a message that waits in a lane has it.
    #[serde(default)]
    pub(crate) cost: Option<u32>,
    /// The key that it holds.
    #[serde(borrow, default)]
    pub(crate) unique: Option<Held<'a>>,
    #[serde(default, deserialize_with = "known")]
    pub(crate) trace: Option<TraceParent>,
    #[serde(default)]
    pub(crate) headers: Headers,
    #[serde(borrow, default)]
    pub(crate) last_error: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "known")]
    pub(crate) parked: Option<Parked<'a>>,
    #[serde(borrow, default, deserialize_with = "known")]
    pub(crate) tick: Option<Tick<'a>>,
}

/// The tick of a schedule at which a message was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tick<'a> {
    #[serde(borrow)]
    pub(crate) schedule: Cow<'a, str>,
    pub(crate) at: u64,
    /// Whether ticks pass until this message is settled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) skip: bool,
}

/// Why a message waits for another worker than those that had it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parked<'a> {
    pub(crate) since: u64,
    #[serde(borrow)]
    pub(crate) why: Cow<'a, str>,
}

/// The ceilings of a message's first and longest wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Backoff {
    pub(crate) min_ms: u64,
    pub(crate) max_ms: u64,
}

/// Why a body is not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Undecodable {
    /// A newer version of the format: for a newer worker.
    Newer(u64),
    /// No message at all.
    Invalid(String),
}

impl<'a> Envelope<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<Self, Undecodable> {
        // Checked for the whole body, so that what decodes can also be rewritten: serde_json alone
        // reads over bad UTF-8 in a member it does not know, and takes an array for an object.
        let text = std::str::from_utf8(body).map_err(|error| undecodable(&format!("it is not UTF-8: {error}")))?;
        if !text.trim_ascii_start().starts_with('{') {
            return Err(undecodable("it is not a JSON object"));
        }
        match serde_json::from_str::<Self>(text) {
            Ok(envelope) if envelope.v > VERSION => Err(Undecodable::Newer(envelope.v.into())),
            Ok(envelope) if envelope.v > 0 => Ok(envelope),
            Ok(_) => Err(undecodable("version 0 never was")),
            Err(error) => Err(diagnose(text, &error)),
        }
    }

    /// The lane that the message waits in, where it has one.
    pub(crate) fn lane(&self) -> Option<Lane> {
        let key = Key::new(self.key.as_deref().unwrap_or_default()).ok()?;
        Some(Lane::new(key).cost(self.cost?))
    }

    /// The key that the message holds.
    pub(crate) fn unique(&self) -> Option<Unique> {
        let held = self.unique.as_ref()?;
        let until = match held.until {
            HeldUntil::Done => Until::Done,
            HeldUntil::Started => Until::Started,
        };
        Some(Unique::new(Key::new(&*held.key).ok()?, Uniqueness::new(until, OnConflict::Keep)))
    }

    /// Written by hand, so that the arguments go in as they are: `serde_json` would check them again.
    pub(crate) fn encode(&self) -> Bytes {
        // 192 bytes hold the names of the members and the fixed-size values.
        let mut body = Vec::with_capacity(192 + self.actor.len() + self.queue.len() + self.args.len());
        body.push(b'{');
        member(&mut body, "v", Some(&self.v));
        member(&mut body, "id", Some(&self.id));
        member(&mut body, "actor", Some(&self.actor));
        member(&mut body, "queue", Some(&self.queue));
        body.extend_from_slice(b",\"args\":");
        body.extend_from_slice(self.args.as_bytes());
        if let Some(sig) = self.sig {
            body.extend_from_slice(b",\"sig\":\"");
            body.extend_from_slice(&sig.text());
            body.push(b'"');
        }
        member(&mut body, "attempt", Some(&self.attempt));
        member(&mut body, "crashes", Some(&self.crashes));
        member(&mut body, "deliveries", (self.deliveries > 0).then_some(&self.deliveries));
        member(&mut body, "sent_at", Some(&self.sent_at));
        member(&mut body, "max_retries", self.max_retries.as_ref());
        member(&mut body, "backoff", self.backoff.as_ref());
        member(&mut body, "time_limit_ms", self.time_limit_ms.as_ref());
        member(&mut body, "expires_at", self.expires_at.as_ref());
        member(&mut body, "priority", self.priority.as_ref());
        member(&mut body, "key", self.key.as_ref());
        member(&mut body, "cost", self.cost.as_ref());
        member(&mut body, "unique", self.unique.as_ref());
        member(&mut body, "trace", self.trace.as_ref());
        member(&mut body, "headers", (!self.headers.is_empty()).then_some(&self.headers));
        member(&mut body, "last_error", self.last_error.as_ref());
        member(&mut body, "parked", self.parked.as_ref());
        member(&mut body, "tick", self.tick.as_ref());
        body.push(b'}');
        body.into()
    }
}

#[inline(never)]
fn diagnose(text: &str, error: &serde_json::Error) -> Undecodable {
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    match serde_json::from_str::<Version>(text) {
        Ok(Version { v }) if v > u64::from(VERSION) => Undecodable::Newer(v),
        // It may quote a member of any length.
        _ => undecodable(&error.to_string().chars().take(LONGEST_REASON).collect::<String>()),
    }
}

fn undecodable(why: &str) -> Undecodable {
    Undecodable::Invalid(format!("the message cannot be decoded: {why}"))
}

/// Appends a member to an object, where it has a value.
fn member<T: Serialize>(object: &mut Vec<u8>, name: &'static str, value: Option<&T>) {
    let Some(value) = value else { return };
    if object.len() > 1 {
        object.push(b',');
    }
    object.push(b'"');
    object.extend_from_slice(name.as_bytes());
    object.extend_from_slice(b"\":");
    serde_json::to_writer(object, value).expect("texts and numbers always serialize");
}

/// The identity of a message that may be unreadable otherwise.
#[must_use]
pub fn id(body: &[u8]) -> Option<MessageId> {
    #[derive(Deserialize)]
    struct Id {
        id: MessageId,
    }
    serde_json::from_slice::<Id>(body).ok().map(|Id { id }| id)
}

/// The key of a message that may be unreadable otherwise.
pub(crate) fn key(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Keyed {
        key: String,
    }
    serde_json::from_slice::<Keyed>(body).ok().map(|Keyed { key }| key)
}

/// The lane that a message waits in, where it has one.
#[cfg(feature = "cron")]
pub(crate) fn lane(body: &[u8]) -> Option<Lane> {
    Envelope::decode(body).ok()?.lane()
}

/// The priority of a message that may be unreadable otherwise.
pub(crate) fn priority(body: &[u8]) -> Priority {
    #[derive(Deserialize)]
    struct Ranked {
        priority: Priority,
    }
    serde_json::from_slice::<Ranked>(body).map(|Ranked { priority }| priority).unwrap_or_default()
}

/// What changes in a message when it is stored again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change<'a> {
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) deliveries: u64,
    pub(crate) last_error: Option<&'a str>,
    /// Where it waits for another worker.
    pub(crate) parked: Option<Parked<'a>>,
}

/// The same message with what a worker writes changed; every other member, known or not, stays as it is.
/// Whatever [`Envelope::decode`] takes is rewritten; anything else stays as it is.
pub(crate) fn rewrite(body: &[u8], change: &Change<'_>) -> Bytes {
    let Ok(mut members) = serde_json::from_slice::<Members<'_>>(body) else {
        return Bytes::copy_from_slice(body);
    };
    members.count("attempt", change.attempt);
    members.count("crashes", change.crashes);
    members.count("deliveries", change.deliveries);
    if let Some(error) = change.last_error {
        members.set("last_error", error);
    }
    match &change.parked {
        Some(parked) => members.set("parked", parked),
        None => members.remove("parked"),
    }
    members.encode()
}

/// A dead letter made new.
#[derive(Debug)]
#[non_exhaustive]
pub struct Revived {
    /// Its priority.
    pub priority: Priority,
    /// The lane that it was sent to.
    pub lane: Option<Lane>,
    /// Its identity, and the key that it held and has to take again, where it had one.
    pub unique: Option<(MessageId, Unique)>,
    /// The message as it must be stored.
    pub body: Bytes,
}

/// Makes a dead letter new, for a broker's replay: no attempt made, no crash, no last error, never parked, no end
/// of its time. What cannot be decoded stays as it is.
#[must_use]
pub fn revive(body: &Bytes) -> Revived {
    let (Ok(envelope), Ok(mut members)) = (Envelope::decode(body), serde_json::from_slice::<Members<'_>>(body)) else {
        return Revived { priority: Priority::default(), lane: None, unique: None, body: body.clone() };
    };
    members.count("attempt", 0_u32);
    members.count("crashes", 0_u32);
    members.remove("last_error");
    members.remove("expires_at");
    members.remove("parked");
    let unique = envelope.unique().map(|unique| (envelope.id, unique));
    Revived { priority: envelope.priority.unwrap_or_default(), lane: envelope.lane(), unique, body: members.encode() }
}

/// A schedule's message without what belongs to the moment in which the schedule was stored, the trace, and without the
/// unique key, which what a tick sends does not hold.
#[cfg(feature = "cron")]
pub(crate) fn template(body: &[u8]) -> Bytes {
    let Ok(mut members) = serde_json::from_slice::<Members<'_>>(body) else {
        return Bytes::copy_from_slice(body);
    };
    members.remove("trace");
    members.remove("unique");
    members.encode()
}

/// A schedule's message as it is stored now, and its priority.
#[cfg(feature = "cron")]
pub(crate) fn of_schedule(
    template: &[u8],
    id: MessageId,
    now: SystemTime,
    tick: &Tick<'_>,
) -> Result<(Priority, Bytes), Undecodable> {
    let envelope = Envelope::decode(template)?;
    let mut members: Members<'_> = serde_json::from_slice(template).map_err(|error| undecodable(&error.to_string()))?;
    let now = to_ms(now);
    members.set("id", &id);
    members.set("sent_at", &now);
    if let Some(expires_at) = envelope.expires_at {
        members.set("expires_at", &now.saturating_add(expires_at.saturating_sub(envelope.sent_at)));
    }
    members.set("tick", tick);
    Ok((envelope.priority.unwrap_or_default(), members.encode()))
}

/// A time as the wire has it: milliseconds since 1970.
pub(crate) fn to_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time of the wire's.
pub(crate) fn to_time(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

/// A duration as the wire has it.
pub(crate) fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A member's JSON, as it stands.
fn unread<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<&'de str, D::Error> {
    <&RawValue>::deserialize(deserializer).map(RawValue::get)
}

/// A member, or none where this version does not understand it: no message is lost for that.
fn known<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(text.get()).ok())
}

/// The same for a fingerprint, of which every message has one: without a second reader.
fn fingerprint<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Fingerprint>, D::Error> {
    let text = unread(deserializer)?.as_bytes();
    Ok(text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).and_then(Fingerprint::parse))
}

mod held;
mod members;
#[cfg(test)]
mod tests;
