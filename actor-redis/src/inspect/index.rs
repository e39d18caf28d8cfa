//! Messages that stand in a sorted set by time, their bodies in a hash beside it: scheduled ones, dead letters.

use actor_core::inspect::{Cursor, Handle, Listed, Listing};
use bytes::Bytes;
use redis::{Cmd, Value};

use super::list::{PAGE_BYTES, PART};
use super::{ask, run};
use crate::connection::{ANSWER, Connections};
use crate::error::RequestError;
use crate::keys::Keys;
use crate::request::Request;
use crate::script::{self, Indexed, time};

/// A message of an index.
pub(super) struct IndexedMessage {
    pub(super) member: Vec<u8>,
    /// When it is due or was dead-lettered, in ms since 1970.
    pub(super) score: f64,
    pub(super) body: Option<Bytes>,
    reason: Option<String>,
}

impl IndexedMessage {
    /// Reads member, score, and what the hashes hold.
    pub(super) fn read(line: Value) -> Option<Self> {
        let Value::Array(parts) = line else { return None };
        let mut texts = parts.into_iter().map(|part| match part {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        });
        Some(Self {
            member: texts.next()??,
            score: String::from_utf8(texts.next()??).ok()?.parse().ok()?,
            body: texts.next()?.map(Bytes::from),
            reason: texts.next().flatten().map(|reason| String::from_utf8_lossy(&reason).into_owned()),
        })
    }

    fn name(&self) -> String {
        String::from_utf8_lossy(&self.member).into_owned()
    }

    /// As a listing shows it; `None` where its body is gone.
    fn listed(self) -> Option<Listed> {
        let mut listed = Listed::new(Handle::new(self.name()), self.body?);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // A cast of a float keeps within bounds.
        let ms = self.score.max(0.0) as u64;
        listed.time = Some(time(ms));
        listed.reason = self.reason;
        Some(listed)
    }
}

/// Reads a part of an answer of `list_index`. Returns whether there may be more.
pub(super) fn read_part(connections: &Connections, answer: Value) -> Result<(Vec<IndexedMessage>, bool), RequestError> {
    let part = script::listed(answer).ok_or_else(|| connections.strange("to list_index"))?;
    let dead_letters: Option<_> = part.lines.into_iter().map(IndexedMessage::read).collect();
    Ok((dead_letters.ok_or_else(|| connections.strange("to list_index"))?, part.more))
}

pub(super) async fn list(
    connections: &Connections,
    keys: &Keys,
    indexed: Indexed,
    after: Option<&str>,
    limit: usize,
) -> Result<Listing, RequestError> {
    let mut rank = rank_after(connections, indexed.index(keys), after).await?;
    let (mut messages, mut bytes) = (Vec::new(), 0);
    loop {
        let count = PART.min(limit - messages.len());
        let answer = run(connections, script::list_index(keys, indexed, rank, count)).await?;
        let (dead_letters, more) = read_part(connections, answer)?;
        rank += dead_letters.len();
        let last =
            dead_letters.last().map(|dead_letter| Cursor::new(format!("{}:{}", dead_letter.score, dead_letter.name())));
        for listed in dead_letters.into_iter().filter_map(IndexedMessage::listed) {
            bytes += listed.body.len();
            messages.push(listed);
        }
        if !more {
            return Ok(Listing::new(messages, None));
        }
        if messages.len() >= limit || bytes >= PAGE_BYTES {
            return Ok(Listing::new(messages, last));
        }
    }
}

/// The rank after a cursor's message; where that has gone, the rank of what is due when it was.
async fn rank_after(connections: &Connections, index: &str, after: Option<&str>) -> Result<usize, RequestError> {
    let Some((score, member)) = after.and_then(|after| after.split_once(':')) else { return Ok(0) };
    let rank: Option<usize> = ask(connections, redis::cmd("ZRANK").arg(index).arg(member)).await?;
    match (rank, score.parse::<f64>()) {
        (Some(rank), _) => Ok(rank + 1),
        (None, Ok(score)) => {
            ask(connections, redis::cmd("ZCOUNT").arg(index).arg("-inf").arg(format!("({score}"))).await
        }
        (None, Err(_)) => Ok(0),
    }
}

/// One message, read again.
pub(super) async fn read(
    connections: &Connections,
    keys: &Keys,
    indexed: Indexed,
    handle: &Handle,
) -> Result<Option<Listed>, RequestError> {
    let name = handle.as_str();
    let mut score = Cmd::new();
    score.arg("ZSCORE").arg(indexed.index(keys)).arg(name);
    let value = |hash: &str| {
        let mut get = Cmd::new();
        get.arg("HMGET").arg(hash).arg(name);
        get
    };
    let commands = std::iter::once(score).chain(indexed.hashes(keys).into_iter().map(value));
    // What HMGET answers is an array of one.
    let mut parts = vec![Value::BulkString(name.into())];
    for answer in connections.request(&Request::of("inspect", commands), ANSWER).await? {
        parts.push(match answer? {
            Value::Array(mut values) => values.pop().unwrap_or(Value::Nil),
            Value::Double(score) => Value::BulkString(score.to_string().into()),
            value => value,
        });
    }
    Ok(IndexedMessage::read(Value::Array(parts)).and_then(IndexedMessage::listed))
}
