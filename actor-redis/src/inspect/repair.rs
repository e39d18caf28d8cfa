//! Repairs: replaying, deleting and purging, in bounded steps.

use actor_core::inspect::{Handle, State};
use actor_core::wire;
use bytes::Bytes;
use redis::{Cmd, Value};

use super::list::Indexed;
use super::{ask, read_entry_handle, run};
use crate::connection::Link;
use crate::entry::EntryId;
use crate::error::Trouble;
use crate::keys::{Keys, Level};
use crate::script::{self, Replay};

/// How many messages one step deletes.
const STEP: usize = 100;
/// How many messages one step replays: their bodies pass through here, and large ones must come within the
/// time of an answer.
const REPLAYED_AT_ONCE: usize = 8;

pub(crate) async fn replay_one(link: &Link, keys: &Keys, handle: Handle) -> Result<u64, Trouble> {
    replay(link, keys, vec![handle.0]).await
}

/// Replays what is dead now. What dies again meanwhile is left.
pub(crate) async fn replay_all(link: &Link, keys: &Keys) -> Result<u64, Trouble> {
    let last: Vec<(String, f64)> =
        ask(link, redis::cmd("ZRANGE").arg(&keys.dead).arg(-1).arg(-1).arg("WITHSCORES")).await?;
    let Some((_, until)) = last.into_iter().next() else { return Ok(0) };
    let mut replayed = 0;
    loop {
        let mut range = Cmd::new();
        range.arg("ZRANGEBYSCORE").arg(&keys.dead).arg("-inf").arg(until).arg("LIMIT").arg(0).arg(REPLAYED_AT_ONCE);
        let members: Vec<String> = ask(link, &range).await?;
        if members.is_empty() {
            return Ok(replayed);
        }
        replayed += replay(link, keys, members).await?;
    }
}

/// Replays these dead letters.
async fn replay(link: &Link, keys: &Keys, members: Vec<String>) -> Result<u64, Trouble> {
    let mut get = Cmd::new();
    get.arg("HMGET").arg(&keys.dead_bodies).arg(&members);
    let bodies: Vec<Option<Vec<u8>>> = ask(link, &get).await?;
    let (mut revived, mut empty) = (Vec::new(), Vec::new());
    for (member, body) in members.into_iter().zip(bodies) {
        match body {
            Some(body) => {
                let wire::Revived { priority, body, .. } = wire::revive(&Bytes::from(body));
                revived.push(Replay { member, level: Level::of(priority), body });
            }
            None => empty.push(member),
        }
    }
    if !empty.is_empty() {
        // Without a body there is no message: an index that someone's hand left behind.
        remove(link, &Indexed::dead(keys), &empty).await?;
    }
    if revived.is_empty() {
        return Ok(0);
    }
    match run(link, script::replay(keys, &revived)).await? {
        Value::Int(count) => Ok(u64::try_from(count).unwrap_or_default()),
        _ => Err(link.strange("to replay")),
    }
}

pub(crate) async fn delete(link: &Link, keys: &Keys, state: State, handle: &Handle) -> Result<bool, Trouble> {
    let indexed = match state {
        State::Lent => return Ok(false),
        State::Ready => {
            let Some((level, id)) = read_entry_handle(&handle.0) else { return Ok(false) };
            let (count, _) = delete_range(link, keys, level, &id.to_string(), id, 1).await?;
            return Ok(count == 1);
        }
        State::Scheduled => Indexed::scheduled(keys),
        State::Dead => Indexed::dead(keys),
        _ => return Err(Trouble::Unsupported("this state")),
    };
    Ok(remove(link, &indexed, std::slice::from_ref(&handle.0)).await? == 1)
}

pub(crate) async fn purge(link: &Link, keys: &Keys, state: State) -> Result<u64, Trouble> {
    match state {
        State::Lent => Ok(0),
        State::Ready => purge_ready(link, keys).await,
        State::Scheduled => purge_indexed(link, &Indexed::scheduled(keys)).await,
        State::Dead => purge_indexed(link, &Indexed::dead(keys)).await,
        _ => Err(Trouble::Unsupported("this state")),
    }
}

async fn purge_ready(link: &Link, keys: &Keys) -> Result<u64, Trouble> {
    let mut purged = 0;
    for level in Level::ALL {
        let mut newest = Cmd::new();
        newest.arg("XREVRANGE").arg(keys.ready(level)).arg("+").arg("-").arg("COUNT").arg(1);
        let newest: Vec<(String, Value)> = ask(link, &newest).await?;
        let Some(until) = newest.first().and_then(|(id, _)| EntryId::parse(id.as_bytes())) else { continue };
        let mut from = "-".to_owned();
        loop {
            let (count, last) = delete_range(link, keys, level, &from, until, STEP).await?;
            purged += count;
            match last {
                Some(last) => from = format!("({last}"),
                None => break,
            }
        }
    }
    Ok(purged)
}

async fn delete_range(
    link: &Link,
    keys: &Keys,
    level: Level,
    from: &str,
    to: EntryId,
    limit: usize,
) -> Result<(u64, Option<EntryId>), Trouble> {
    let answer = run(link, script::delete(keys, level, from, &to.to_string(), limit)).await?;
    script::deleted(&answer).ok_or_else(|| link.strange("to delete"))
}

async fn purge_indexed(link: &Link, indexed: &Indexed<'_>) -> Result<u64, Trouble> {
    let mut purged = 0;
    loop {
        let mut range = Cmd::new();
        range.arg("ZRANGE").arg(indexed.index).arg(0).arg(STEP - 1);
        let members: Vec<String> = ask(link, &range).await?;
        let len = members.len();
        if len > 0 {
            purged += remove(link, indexed, &members).await?;
        }
        // Short: what is there now came after the purge began.
        if len < STEP {
            return Ok(purged);
        }
    }
}

/// Removes messages from an index with all that belongs to them, in one step. Returns how many were
/// there.
async fn remove(link: &Link, indexed: &Indexed<'_>, members: &[String]) -> Result<u64, Trouble> {
    let keys: Vec<_> = [indexed.index, indexed.bodies].into_iter().chain(indexed.reasons).collect();
    match run(link, script::remove(&keys, members)).await? {
        Value::Int(count) => Ok(u64::try_from(count).unwrap_or_default()),
        _ => Err(link.strange("to remove")),
    }
}
