//! Listings, a page at a time. A page comes in parts, each of which is one script's answer: bounded in bytes,
//! so that it neither holds up the server nor misses the time of an answer on a slow network.

use std::collections::VecDeque;
use std::time::Duration;

use actor_core::inspect::{Cursor, Handle, Listed, Listing, State};
use bytes::Bytes;
use redis::{Cmd, Value};

use super::{Inspector, entry_handle, read_entry_handle};
use crate::connection::ANSWER;
use crate::entry::{Entry, EntryId};
use crate::error::RequestError;
use crate::keys::{GROUP, Level};
use crate::place::Place;
use crate::request::{Answer, Request};
use crate::script::{self, Indexed, time};

/// The longest page.
pub(super) const LONGEST_PAGE: usize = 1_000;
/// How many messages one script reads at most.
pub(super) const PART: usize = 500;
/// A page ends early where its bodies have grown to this.
pub(super) const PAGE_BYTES: usize = 8 << 20;

impl Inspector<'_> {
    pub(super) async fn list(
        &self,
        state: State,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Listing, RequestError> {
        let after = after.map(Cursor::as_str);
        match state {
            State::Waiting => self.waiting(after, limit).await,
            State::Ready => self.ready(after.and_then(read_entry_handle), limit).await,
            State::InFlight => self.in_flight(after.and_then(read_entry_handle), limit).await,
            State::Scheduled => self.list_indexed(Indexed::Scheduled, after, limit).await,
            State::Dead => self.list_indexed(Indexed::Dead, after, limit).await,
            _ => Err(RequestError::Unsupported("this state")),
        }
    }

    pub(super) async fn read(&self, state: State, handle: &Handle) -> Result<Option<Listed>, RequestError> {
        match state {
            State::Waiting => self.read_waiting(handle).await,
            State::Scheduled => self.read_indexed(Indexed::Scheduled, handle).await,
            State::Dead => self.read_indexed(Indexed::Dead, handle).await,
            State::Ready | State::InFlight => {
                let Some((level, id)) = read_entry_handle(handle.as_str()) else { return Ok(None) };
                let only = id.to_string();
                let pending = self.connections.command(&self.pending_command(level, &only, &only, 1), ANSWER).await;
                let found = match (state, self.pending(level, pending)?.pop()) {
                    (State::InFlight, Some(in_flight)) => in_flight,
                    (State::Ready, None) => placed(level, id),
                    _ => return Ok(None),
                };
                Ok(self.bodies(&mut VecDeque::from([found])).await?.pop())
            }
            _ => Err(RequestError::Unsupported("this state")),
        }
    }

    /// Ready messages: level after level, what the group has not read yet.
    async fn ready(&self, after: Option<(Level, EntryId)>, limit: usize) -> Result<Listing, RequestError> {
        let first_level = after.map_or(Level::HighReleased, |(level, _)| level);
        let mut from = after.map(|(_, id)| id);
        let (mut messages, mut bytes) = (Vec::new(), 0);
        for level in Level::ALL.into_iter().filter(|level| *level >= first_level) {
            let mut after = from.take();
            loop {
                let count = PART.min(limit - messages.len());
                let list = script::list_entries(self.keys, level, after, count);
                let (more, entries): (bool, Vec<Value>) = self.run(list).await?;
                for Entry { id, body, .. } in entries.into_iter().filter_map(Entry::read) {
                    after = Some(id);
                    bytes += body.len();
                    let (_, mut listed) = placed(level, id);
                    listed.body = body;
                    messages.push(listed);
                }
                match after {
                    Some(last) if messages.len() >= limit || bytes >= PAGE_BYTES => {
                        return Ok(Listing::new(messages, Some(Cursor::new(entry_handle(level, last)))));
                    }
                    Some(_) if more => {}
                    _ => break,
                }
            }
        }
        Ok(Listing::new(messages, None))
    }

    /// Messages in flight, of all levels, by when they became ready.
    async fn in_flight(&self, after: Option<(Level, EntryId)>, limit: usize) -> Result<Listing, RequestError> {
        let command = |level| {
            // Two streams may hold the same id: at one id the higher level goes first.
            let from = match after {
                Some((last, id)) if level <= last => format!("({id}"),
                Some((_, id)) => id.to_string(),
                None => "-".to_owned(),
            };
            self.pending_command(level, &from, "+", limit + 1)
        };
        let request = Request::of("inspect", Level::ALL.into_iter().map(command));
        let answers = self.connections.request(&request, ANSWER).await?;
        let mut all = Vec::new();
        for (level, answer) in Level::ALL.into_iter().zip(answers) {
            all.extend(self.pending(level, answer)?);
        }
        all.sort_by_key(|(place, _)| (place.id, place.level));
        let more = all.len() > limit;
        all.truncate(limit);
        let last = all.last().map(|(_, listed)| listed.handle.clone());
        let (mut messages, mut bytes, mut all) = (Vec::new(), 0, VecDeque::from(all));
        while !all.is_empty() {
            if bytes >= PAGE_BYTES {
                // Not by the last that was read: it may have been settled meanwhile, as may all of them.
                let next = messages.last().map(|listed: &Listed| Cursor::new(listed.handle.as_str()));
                return Ok(Listing::new(messages, next));
            }
            let some = self.bodies(&mut all).await?;
            bytes += some.iter().map(|listed| listed.body.len()).sum::<usize>();
            messages.extend(some);
        }
        Ok(Listing::new(messages, last.filter(|_| more).map(|handle| Cursor::new(handle.as_str()))))
    }

    fn pending_command(&self, level: Level, from: &str, to: &str, count: usize) -> Cmd {
        redis::cmd("XPENDING").arg((self.keys.ready(level), GROUP, from, to, count)).take()
    }

    /// Reads messages in flight, which have no body yet.
    fn pending(&self, level: Level, answer: Answer) -> Result<Vec<(Place, Listed)>, RequestError> {
        let answer = match answer {
            Err(error) if error.code() == Some("NOGROUP") => return Ok(Vec::new()),
            answer => answer?,
        };
        let lines: Vec<(Vec<u8>, String, u64, u64)> = self.connections.parse(answer)?;
        let now = self.connections.now();
        let read = |(id, worker, idle_ms, _): (Vec<u8>, _, _, _)| {
            let (place, mut listed) = placed(level, EntryId::parse(&id)?);
            listed.time = now.checked_sub(Duration::from_millis(idle_ms));
            listed.worker = Some(worker);
            Some((place, listed))
        };
        Ok(lines.into_iter().filter_map(read).collect())
    }

    /// Takes as many from the front as one answer holds, and adds their bodies. What was settled meanwhile has
    /// none, and goes.
    async fn bodies(&self, places: &mut VecDeque<(Place, Listed)>) -> Result<Vec<Listed>, RequestError> {
        let places_of_part = places.iter().take(PART).map(|(place, _)| *place);
        let answers: Vec<Value> = self.run(script::list_in_flight(self.keys, places_of_part)).await?;
        if answers.is_empty() || answers.len() > places.len() {
            return Err(self.connections.strange("to list_in_flight"));
        }
        let read = |((_, mut listed), answer): ((Place, Listed), Value)| {
            listed.body = Entry::read(answer)?.body;
            Some(listed)
        };
        let count = answers.len();
        Ok(places.drain(..count).zip(answers).filter_map(read).collect())
    }
}

/// An entry as a listing shows it, without its body.
fn placed(level: Level, id: EntryId) -> (Place, Listed) {
    let mut listed = Listed::new(Handle::new(entry_handle(level, id)), Bytes::new());
    listed.time = Some(time(id.ms()));
    (Place { level, id }, listed)
}
