//! Repairs: replaying, deleting and purging, in bounded steps.

use actor_core::inspect::{Handle, State};
use actor_core::wire;
use bytes::Bytes;
use redis::{Cmd, Value};

use super::{ask, index, read_entry_handle, run};
use crate::connection::{ANSWER, Link};
use crate::entry::EntryId;
use crate::error::Trouble;
use crate::keys::{Keys, Level};
use crate::request::{Answer, Request, Verb};
use crate::script::{self, Indexed, Replay};

/// How many messages one step deletes or replays. Those that are replayed pass through here, and are bounded in
/// bytes too.
const STEP: usize = 500;
/// How many scheduled messages or dead letters one step purges. Their bodies are not read, but freed.
const PURGED: usize = 250;

pub(crate) async fn replay_one(link: &Link, keys: &Keys, handle: Handle) -> Result<u64, Trouble> {
    let mut get = Cmd::new();
    get.arg("HMGET").arg(&keys.dead_bodies).arg(&handle.0);
    let bodies: Vec<Option<Vec<u8>>> = ask(link, &get).await?;
    let mut revival = Revival::default();
    revival.add(handle.0.into_bytes(), bodies.into_iter().next().flatten().map(Bytes::from));
    let mut request = Request::new(Verb::Inspect);
    revival.write(keys, &mut request);
    revival.replayed(link, &mut link.request(&request, ANSWER).await?.into_iter())
}

/// Replays what is dead now. What dies again meanwhile is left.
pub(crate) async fn replay_all(link: &Link, keys: &Keys) -> Result<u64, Trouble> {
    let last: Vec<(Vec<u8>, f64)> =
        ask(link, redis::cmd("ZRANGE").arg(&keys.dead).arg(-1).arg(-1).arg("WITHSCORES")).await?;
    let Some((_, until)) = last.into_iter().next() else { return Ok(0) };
    let (mut replayed, mut revival) = (0, Revival::default());
    loop {
        // What was read is replayed in the round trip that reads what comes after it.
        let mut request = Request::new(Verb::Inspect);
        revival.write(keys, &mut request);
        request.call(script::list_index(keys, Indexed::Dead, 0, STEP));
        let mut answers = link.request(&request, ANSWER).await?.into_iter();
        replayed += revival.replayed(link, &mut answers)?;
        let answer = answers.next().unwrap_or_else(|| Err(link.strange("to list_index")))?;
        let (letters, _) = index::read_part(link, answer)?;
        revival = Revival::default();
        for letter in letters.into_iter().filter(|letter| letter.score <= until) {
            revival.add(letter.member, letter.body);
        }
        if revival.is_empty() {
            return Ok(replayed);
        }
    }
}

/// Dead letters that are replayed together.
#[derive(Default)]
struct Revival {
    revived: Vec<Replay>,
    /// Without a body there is no message: an index that someone's hand left behind.
    empty: Vec<Vec<u8>>,
}

impl Revival {
    fn is_empty(&self) -> bool {
        self.revived.is_empty() && self.empty.is_empty()
    }

    fn add(&mut self, member: Vec<u8>, body: Option<Bytes>) {
        match body {
            Some(body) => {
                let wire::Revived { priority, body, .. } = wire::revive(&body);
                self.revived.push(Replay { member, level: Level::of(priority), body });
            }
            None => self.empty.push(member),
        }
    }

    fn write(&self, keys: &Keys, request: &mut Request) {
        if !self.empty.is_empty() {
            request.call(script::remove(keys, Indexed::Dead, &self.empty));
        }
        if !self.revived.is_empty() {
            request.call(script::replay(keys, &self.revived));
        }
    }

    /// Reads how many were replayed.
    fn replayed(&self, link: &Link, answers: &mut impl Iterator<Item = Answer>) -> Result<u64, Trouble> {
        let mut count = || match answers.next() {
            Some(Ok(Value::Int(count))) => Ok(u64::try_from(count).unwrap_or_default()),
            Some(Err(trouble)) => Err(trouble),
            _ => Err(link.strange("to replay")),
        };
        if !self.empty.is_empty() {
            count()?;
        }
        if self.revived.is_empty() { Ok(0) } else { count() }
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
        State::Scheduled => Indexed::Scheduled,
        State::Dead => Indexed::Dead,
        _ => return Err(Trouble::Unsupported("this state")),
    };
    let member = handle.0.clone().into_bytes();
    Ok(count(link, &run(link, script::remove(keys, indexed, &[member])).await?)? == 1)
}

pub(crate) async fn purge(link: &Link, keys: &Keys, state: State) -> Result<u64, Trouble> {
    match state {
        State::Lent => Ok(0),
        State::Ready => purge_ready(link, keys).await,
        State::Scheduled => purge_indexed(link, keys, Indexed::Scheduled).await,
        State::Dead => purge_indexed(link, keys, Indexed::Dead).await,
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

async fn purge_indexed(link: &Link, keys: &Keys, indexed: Indexed) -> Result<u64, Trouble> {
    let mut purged = 0;
    loop {
        let removed = count(link, &run(link, script::purge(keys, indexed, PURGED)).await?)?;
        purged += removed;
        // Short: what is there now came after the purge began.
        if removed < PURGED as u64 {
            return Ok(purged);
        }
    }
}

fn count(link: &Link, answer: &Value) -> Result<u64, Trouble> {
    match answer {
        Value::Int(count) => Ok(u64::try_from(*count).unwrap_or_default()),
        _ => Err(link.strange("to a repair")),
    }
}
