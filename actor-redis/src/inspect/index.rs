//! Messages that stand in a sorted set by time, their bodies in a hash beside it: scheduled ones, dead letters.

use actor_core::inspect::{Cursor, Handle, Listed, Listing};
use bytes::Bytes;
use redis::Value;

use super::Inspector;
use super::list::{PAGE_BYTES, PART};
use crate::connection::ANSWER;
use crate::error::RequestError;
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

impl Inspector<'_> {
    /// Reads an answer of `list_index`.
    pub(super) fn read_part(
        &self,
        (more, lines): (bool, Vec<Value>),
    ) -> Result<(bool, Vec<IndexedMessage>), RequestError> {
        let messages = lines.into_iter().map(IndexedMessage::read).collect::<Option<_>>();
        Ok((more, messages.ok_or_else(|| self.connections.strange("to list_index"))?))
    }

    pub(super) async fn list_indexed(
        &self,
        indexed: Indexed,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, RequestError> {
        let mut rank = self.rank_after(indexed.index(self.keys), after).await?;
        let (mut messages, mut bytes) = (Vec::new(), 0);
        loop {
            let count = PART.min(limit - messages.len());
            let part = self.run(script::list_index(self.keys, indexed, rank, count)).await?;
            let (more, part) = self.read_part(part)?;
            rank += part.len();
            let last = part.last().map(|message| Cursor::new(format!("{}:{}", message.score, message.name())));
            for listed in part.into_iter().filter_map(IndexedMessage::listed) {
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

    /// The rank after a cursor's message; where that has gone or moved, the rank of what is due when it was.
    async fn rank_after(&self, index: &str, after: Option<&str>) -> Result<usize, RequestError> {
        let Some((score, member)) = after.and_then(|after| after.split_once(':')) else { return Ok(0) };
        let Ok(score) = score.parse::<f64>() else { return Ok(0) };
        let commands = ["ZRANK", "ZSCORE"].map(|name| redis::cmd(name).arg(index).arg(member).take());
        let mut answers = self.connections.request(&Request::of("inspect", commands.into_iter()), ANSWER).await?;
        let (now, rank) = (answers.pop().transpose()?, answers.pop().transpose()?);
        let now: Option<f64> = self.connections.parse(now.unwrap_or(Value::Nil))?;
        let rank: Option<usize> = self.connections.parse(rank.unwrap_or(Value::Nil))?;
        match rank.filter(|_| now == Some(score)) {
            Some(rank) => Ok(rank + 1),
            None => self.connections.ask(redis::cmd("ZCOUNT").arg(index).arg("-inf").arg(format!("({score}"))).await,
        }
    }

    /// One message, read again.
    pub(super) async fn read_indexed(&self, indexed: Indexed, handle: &Handle) -> Result<Option<Listed>, RequestError> {
        let name = handle.as_str();
        let score = redis::cmd("ZSCORE").arg(indexed.index(self.keys)).arg(name).take();
        let value = |hash| redis::cmd("HMGET").arg(hash).arg(name).take();
        let commands = std::iter::once(score).chain(indexed.hashes(self.keys).into_iter().map(value));
        // What HMGET answers is an array of one.
        let mut parts = vec![Value::BulkString(name.into())];
        for answer in self.connections.request(&Request::of("inspect", commands), ANSWER).await? {
            parts.push(match answer? {
                Value::Array(mut values) => values.pop().unwrap_or(Value::Nil),
                Value::Double(score) => Value::BulkString(score.to_string().into()),
                value => value,
            });
        }
        Ok(IndexedMessage::read(Value::Array(parts)).and_then(IndexedMessage::listed))
    }
}
