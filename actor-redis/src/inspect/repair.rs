//! Repairs: replaying, deleting and purging, in bounded steps.

use actor_core::inspect::{Handle, State};
use actor_core::wire;
use bytes::Bytes;
use redis::{Cmd, Value};

use super::{ask, index, read_entry_handle, run};
use crate::connection::{ANSWER, Connections};
use crate::entry::EntryId;
use crate::error::RequestError;
use crate::keys::{Keys, Level};
use crate::request::{Answer, Request};
use crate::script::{self, Indexed, Replay};

/// How many messages one step deletes or replays. Those that are replayed pass through here, and are bounded in
/// bytes too.
const STEP: usize = 500;
/// How many scheduled messages or dead letters one step purges. Their bodies are not read, but freed.
const PURGED: usize = 250;

pub(crate) async fn replay_one(connections: &Connections, keys: &Keys, handle: Handle) -> Result<u64, RequestError> {
    let mut get = Cmd::new();
    get.arg("HMGET").arg(&keys.dead_bodies).arg(handle.as_str());
    let bodies: Vec<Option<Vec<u8>>> = ask(connections, &get).await?;
    let mut replays = Replays::default();
    replays.add(handle.as_str().as_bytes().to_vec(), bodies.into_iter().next().flatten().map(Bytes::from));
    let mut request = Request::new("inspect");
    replays.write(keys, &mut request);
    replays.replayed(connections, &mut connections.request(&request, ANSWER).await?.into_iter())
}

/// Replays what is dead now. What dies again meanwhile is left.
pub(crate) async fn replay_all(connections: &Connections, keys: &Keys) -> Result<u64, RequestError> {
    let last: Vec<(Vec<u8>, f64)> =
        ask(connections, redis::cmd("ZRANGE").arg(&keys.dead).arg(-1).arg(-1).arg("WITHSCORES")).await?;
    let Some((_, until)) = last.into_iter().next() else { return Ok(0) };
    let (mut replayed, mut replays) = (0, Replays::default());
    loop {
        // What was read is replayed in the round trip that reads what comes after it.
        let mut request = Request::new("inspect");
        replays.write(keys, &mut request);
        request.call(script::list_index(keys, Indexed::Dead, 0, STEP));
        let mut answers = connections.request(&request, ANSWER).await?.into_iter();
        replayed += replays.replayed(connections, &mut answers)?;
        let answer = answers.next().unwrap_or_else(|| Err(connections.strange("to list_index")))?;
        let (dead_letters, _) = index::read_part(connections, answer)?;
        replays = Replays::default();
        for dead_letter in dead_letters.into_iter().filter(|dead_letter| dead_letter.score <= until) {
            replays.add(dead_letter.member, dead_letter.body);
        }
        if replays.is_empty() {
            return Ok(replayed);
        }
    }
}

/// Dead letters that are replayed together.
#[derive(Default)]
struct Replays {
    messages: Vec<Replay>,
    /// Without a body there is no message: an index that someone's hand left behind.
    empty: Vec<Vec<u8>>,
}

impl Replays {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.empty.is_empty()
    }

    fn add(&mut self, member: Vec<u8>, body: Option<Bytes>) {
        match body {
            Some(body) => {
                let wire::Revived { priority, body, .. } = wire::revive(&body);
                self.messages.push(Replay { member, level: Level::of(priority), body });
            }
            None => self.empty.push(member),
        }
    }

    fn write(&self, keys: &Keys, request: &mut Request) {
        if !self.empty.is_empty() {
            request.call(script::remove(keys, Indexed::Dead, &self.empty));
        }
        if !self.messages.is_empty() {
            request.call(script::replay(keys, &self.messages));
        }
    }

    /// Reads how many were replayed.
    fn replayed(
        &self,
        connections: &Connections,
        answers: &mut impl Iterator<Item = Answer>,
    ) -> Result<u64, RequestError> {
        let mut count = || match answers.next() {
            Some(Ok(Value::Int(count))) => Ok(u64::try_from(count).unwrap_or_default()),
            Some(Err(error)) => Err(error),
            _ => Err(connections.strange("to replay")),
        };
        if !self.empty.is_empty() {
            count()?;
        }
        if self.messages.is_empty() { Ok(0) } else { count() }
    }
}

pub(crate) async fn delete(
    connections: &Connections,
    keys: &Keys,
    state: State,
    handle: &Handle,
) -> Result<bool, RequestError> {
    let indexed = match state {
        State::InFlight => return Ok(false),
        State::Ready => {
            let Some((level, id)) = read_entry_handle(handle.as_str()) else { return Ok(false) };
            let (count, _) = delete_range(connections, keys, level, &id.to_string(), id, 1).await?;
            return Ok(count == 1);
        }
        State::Scheduled => Indexed::Scheduled,
        State::Dead => Indexed::Dead,
        _ => return Err(RequestError::Unsupported("this state")),
    };
    let member = handle.as_str().as_bytes().to_vec();
    Ok(count(connections, &run(connections, script::remove(keys, indexed, &[member])).await?)? == 1)
}

pub(crate) async fn purge(connections: &Connections, keys: &Keys, state: State) -> Result<u64, RequestError> {
    match state {
        State::InFlight => Ok(0),
        State::Ready => purge_ready(connections, keys).await,
        State::Scheduled => purge_indexed(connections, keys, Indexed::Scheduled).await,
        State::Dead => purge_indexed(connections, keys, Indexed::Dead).await,
        _ => Err(RequestError::Unsupported("this state")),
    }
}

async fn purge_ready(connections: &Connections, keys: &Keys) -> Result<u64, RequestError> {
    let mut purged = 0;
    for level in Level::ALL {
        let mut newest = Cmd::new();
        newest.arg("XREVRANGE").arg(keys.ready(level)).arg("+").arg("-").arg("COUNT").arg(1);
        let newest: Vec<(String, Value)> = ask(connections, &newest).await?;
        let Some(until) = newest.first().and_then(|(id, _)| EntryId::parse(id.as_bytes())) else { continue };
        let mut from = "-".to_owned();
        loop {
            let (count, last) = delete_range(connections, keys, level, &from, until, STEP).await?;
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
    connections: &Connections,
    keys: &Keys,
    level: Level,
    from: &str,
    to: EntryId,
    limit: usize,
) -> Result<(u64, Option<EntryId>), RequestError> {
    let answer = run(connections, script::delete(keys, level, from, &to.to_string(), limit)).await?;
    script::deleted(&answer).ok_or_else(|| connections.strange("to delete"))
}

async fn purge_indexed(connections: &Connections, keys: &Keys, indexed: Indexed) -> Result<u64, RequestError> {
    let mut purged = 0;
    loop {
        let removed = count(connections, &run(connections, script::purge(keys, indexed, PURGED)).await?)?;
        purged += removed;
        // Short: what is there now came after the purge began.
        if removed < PURGED as u64 {
            return Ok(purged);
        }
    }
}

fn count(connections: &Connections, answer: &Value) -> Result<u64, RequestError> {
    match answer {
        Value::Int(count) => Ok(u64::try_from(*count).unwrap_or_default()),
        _ => Err(connections.strange("to a repair")),
    }
}
