//! Repairs: replaying, deleting and purging, in bounded steps.

use actor_core::inspect::{Handle, State};
use actor_core::wire;
use bytes::Bytes;

use super::{Inspector, read_entry_handle};
use crate::connection::ANSWER;
use crate::entry::EntryId;
use crate::error::RequestError;
use crate::keys::Level;
use crate::request::Request;
use crate::script::{self, Indexed, Replay};

/// How many messages one step deletes or replays. Those that are replayed pass through here, and are bounded in
/// bytes too.
const STEP: usize = 500;
/// How many scheduled messages or dead letters one step purges. Their bodies are not read, but freed.
const PURGED: usize = 250;

impl Inspector<'_> {
    pub(super) async fn replay_one(&self, handle: Handle) -> Result<u64, RequestError> {
        let member = handle.as_str();
        let [body]: [Option<Vec<u8>>; 1] =
            self.connections.ask(redis::cmd("HMGET").arg(&self.keys.dead_bodies).arg(member)).await?;
        let replay = script::replay(self.keys, &[replay(member.into(), body.map(Bytes::from))]);
        let (replayed, _, holder): (u64, u64, String) = self.run(replay).await?;
        match holder.parse() {
            Ok(holder) => Err(RequestError::Held(holder)),
            Err(_) => Ok(replayed),
        }
    }

    /// Replays what is dead now. What dies again meanwhile is left.
    pub(super) async fn replay_all(&self) -> Result<u64, RequestError> {
        let mut last = redis::cmd("ZRANGE");
        last.arg(&self.keys.dead).arg(-1).arg(-1).arg("WITHSCORES");
        let last: Vec<(Vec<u8>, f64)> = self.connections.ask(&last).await?;
        let Some((_, until)) = last.into_iter().next() else { return Ok(0) };
        // Those whose keys other messages hold stay, before what is still to be replayed.
        let (mut replayed, mut kept, mut replays) = (0, 0, Vec::new());
        loop {
            // What was read is replayed in the round trip that reads what comes after it.
            let mut request = Request::new("inspect");
            if !replays.is_empty() {
                request.call(script::replay(self.keys, &replays));
            }
            request.call(script::list_index(self.keys, Indexed::Dead, kept, STEP));
            let mut answers = self.connections.request(&request, ANSWER).await?;
            let listed = answers.pop();
            let mut left = 0;
            for answer in answers {
                let (count, stay, _): (u64, usize, String) = self.connections.parse(answer?)?;
                (replayed, left) = (replayed + count, left + stay);
            }
            if left > 0 {
                kept += left;
                replays.clear();
                // What was listed begins with them.
                continue;
            }
            let listed = listed.unwrap_or_else(|| Err(self.connections.strange("to list_index")))?;
            let (_, dead_letters) = self.read_part(self.connections.parse(listed)?)?;
            let dead_letters = dead_letters.into_iter().filter(|dead_letter| dead_letter.score <= until);
            replays = dead_letters.map(|dead_letter| replay(dead_letter.member, dead_letter.body)).collect();
            if replays.is_empty() {
                return Ok(replayed);
            }
        }
    }

    pub(super) async fn delete(&self, state: State, handle: &Handle) -> Result<bool, RequestError> {
        let indexed = match state {
            State::InFlight => return Ok(false),
            State::Waiting => return self.delete_waiting(handle).await,
            State::Ready => {
                let Some((level, id)) = read_entry_handle(handle.as_str()) else { return Ok(false) };
                return Ok(self.delete_range(level, &id.to_string(), id, 1).await?.0 == 1);
            }
            State::Scheduled => Indexed::Scheduled,
            State::Dead => Indexed::Dead,
            _ => return Err(RequestError::Unsupported("this state")),
        };
        Ok(self.run::<u64>(script::remove(self.keys, indexed, handle.as_str())).await? == 1)
    }

    pub(super) async fn purge(&self, state: State) -> Result<u64, RequestError> {
        match state {
            State::InFlight => Ok(0),
            State::Waiting => self.purge_waiting().await,
            State::Ready => self.purge_ready().await,
            State::Scheduled => self.purge_indexed(Indexed::Scheduled).await,
            State::Dead => self.purge_indexed(Indexed::Dead).await,
            _ => Err(RequestError::Unsupported("this state")),
        }
    }

    async fn purge_ready(&self) -> Result<u64, RequestError> {
        let mut purged = 0;
        for level in Level::ALL {
            let mut newest = redis::cmd("XREVRANGE");
            newest.arg(self.keys.ready(level)).arg("+").arg("-").arg("COUNT").arg(1);
            let newest: Vec<(String, redis::Value)> = self.connections.ask(&newest).await?;
            let Some(until) = newest.first().and_then(|(id, _)| EntryId::parse(id.as_bytes())) else { continue };
            let mut from = "-".to_owned();
            loop {
                let (count, last) = self.delete_range(level, &from, until, STEP).await?;
                purged += count;
                match last {
                    Some(last) => from = format!("({last}"),
                    None => break,
                }
            }
        }
        Ok(purged)
    }

    /// Deletes ready messages. Returns how many, and the last entry that it saw.
    async fn delete_range(
        &self,
        level: Level,
        from: &str,
        to: EntryId,
        limit: usize,
    ) -> Result<(u64, Option<EntryId>), RequestError> {
        let delete = script::delete(self.keys, level, from, to, limit);
        let (count, last): (_, Vec<u8>) = self.run(delete).await?;
        Ok((count, EntryId::parse(&last)))
    }

    async fn purge_indexed(&self, indexed: Indexed) -> Result<u64, RequestError> {
        let mut purged = 0;
        loop {
            let removed: u64 = self.run(script::purge(self.keys, indexed, PURGED)).await?;
            purged += removed;
            // Short: what is there now came after the purge began.
            if removed < PURGED as u64 {
                return Ok(purged);
            }
        }
    }
}

/// A dead letter made new. Without a body there is no message: an index that someone's hand left behind.
fn replay(member: Vec<u8>, body: Option<Bytes>) -> Replay {
    Replay { member, message: body.map(|body| wire::revive(&body)) }
}
