//! Listings, a page at a time. A page comes in parts, each of which is one script's answer: bounded in bytes,
//! so that it neither holds up the server nor misses the time of an answer on a slow network.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use actor_core::inspect::{Cursor, Handle, Listed, Listing, State};
use bytes::Bytes;
use redis::{Cmd, Value};

use super::{entry_handle, index, read_entry_handle, run};
use crate::connection::{ANSWER, Connections};
use crate::entry::{Entry, EntryId};
use crate::error::RequestError;
use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;
use crate::request::{Answer, Request};
use crate::script::{self, Indexed, time};

/// The longest page.
pub(crate) const LONGEST_PAGE: usize = 1_000;
/// How many messages one script reads at most.
pub(super) const PART: usize = 500;
/// A page ends early where its bodies have grown to this.
pub(super) const PAGE_BYTES: usize = 8 << 20;

pub(crate) async fn list(
    connections: &Connections,
    keys: &Keys,
    state: State,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Listing, RequestError> {
    let after = after.map(Cursor::as_str);
    match state {
        State::Ready => ready(connections, keys, after, limit).await,
        State::InFlight => in_flight(connections, keys, after, limit).await,
        State::Scheduled => index::list(connections, keys, Indexed::Scheduled, after, limit).await,
        State::Dead => index::list(connections, keys, Indexed::Dead, after, limit).await,
        _ => Err(RequestError::Unsupported("this state")),
    }
}

pub(crate) async fn read(
    connections: &Connections,
    keys: &Keys,
    state: State,
    handle: &Handle,
) -> Result<Option<Listed>, RequestError> {
    match state {
        State::Scheduled => index::read(connections, keys, Indexed::Scheduled, handle).await,
        State::Dead => index::read(connections, keys, Indexed::Dead, handle).await,
        State::Ready | State::InFlight => {
            let Some((level, id)) = read_entry_handle(handle.as_str()) else { return Ok(None) };
            let only = id.to_string();
            let found = pending(
                connections,
                connections.command(&pending_command(keys, level, &only, &only, 1), ANSWER).await,
            )?;
            let mut place = match (state, found.into_iter().next()) {
                (State::InFlight, Some(pending)) => VecDeque::from([pending.placed(level, connections.clock().now())]),
                (State::Ready, None) => VecDeque::from([ready_place(level, id)]),
                _ => return Ok(None),
            };
            Ok(bodies(connections, keys, &mut place).await?.pop())
        }
        _ => Err(RequestError::Unsupported("this state")),
    }
}

/// Ready messages: level after level, what the group has not read yet.
async fn ready(
    connections: &Connections,
    keys: &Keys,
    after: Option<&str>,
    limit: usize,
) -> Result<Listing, RequestError> {
    let (first_level, mut from) = match after.and_then(read_entry_handle) {
        Some((level, id)) => (level, Some(id)),
        None => (Level::HighReleased, None),
    };
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for level in Level::ALL.into_iter().filter(|level| *level >= first_level) {
        let mut after = from.take();
        loop {
            let count = PART.min(limit - messages.len());
            let answer = run(connections, script::list_entries(keys, level, after, count)).await?;
            let part = script::listed(answer).ok_or_else(|| connections.strange("to list_entries"))?;
            for Entry { id, body, .. } in part.lines.into_iter().filter_map(Entry::read) {
                after = Some(id);
                bytes += body.len();
                let (_, mut listed) = ready_place(level, id);
                listed.body = body;
                messages.push(listed);
            }
            match after {
                Some(last) if messages.len() >= limit || bytes >= PAGE_BYTES => {
                    return Ok(Listing::new(messages, Some(Cursor::new(entry_handle(level, last)))));
                }
                Some(_) if part.more => {}
                _ => break,
            }
        }
    }
    Ok(Listing::new(messages, None))
}

fn ready_place(level: Level, id: EntryId) -> (Place, Listed) {
    let mut listed = Listed::new(Handle::new(entry_handle(level, id)), Bytes::new());
    listed.time = Some(time(id.ms()));
    (Place { level, id }, listed)
}

/// A message in flight, without its body.
struct Pending {
    id: EntryId,
    worker: String,
    in_flight_for: Duration,
}

impl Pending {
    /// `now` is Redis's clock.
    fn placed(self, level: Level, now: SystemTime) -> (Place, Listed) {
        let mut listed = Listed::new(Handle::new(entry_handle(level, self.id)), Bytes::new());
        listed.time = now.checked_sub(self.in_flight_for);
        listed.worker = Some(self.worker);
        (Place { level, id: self.id }, listed)
    }
}

/// Messages in flight, of all levels, by when they became ready.
async fn in_flight(
    connections: &Connections,
    keys: &Keys,
    after: Option<&str>,
    limit: usize,
) -> Result<Listing, RequestError> {
    let after = after.and_then(read_entry_handle);
    let command = |level| {
        // Two streams may hold the same id: at one id the higher level goes first.
        let from = match after {
            Some((last, id)) if level <= last => format!("({id}"),
            Some((_, id)) => id.to_string(),
            None => "-".to_owned(),
        };
        pending_command(keys, level, &from, "+", limit + 1)
    };
    let request = Request::of("inspect", Level::ALL.into_iter().map(command));
    let answers = connections.request(&request, ANSWER).await?;
    let (mut all, now) = (Vec::new(), connections.clock().now());
    for (level, answer) in Level::ALL.into_iter().zip(answers) {
        all.extend(pending(connections, answer)?.into_iter().map(|pending| pending.placed(level, now)));
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
        let some = bodies(connections, keys, &mut all).await?;
        bytes += some.iter().map(|listed| listed.body.len()).sum::<usize>();
        messages.extend(some);
    }
    Ok(Listing::new(messages, last.filter(|_| more).map(|handle| Cursor::new(handle.as_str()))))
}

fn pending_command(keys: &Keys, level: Level, from: &str, to: &str, count: usize) -> Cmd {
    let mut pending = Cmd::new();
    pending.arg("XPENDING").arg(keys.ready(level)).arg(GROUP).arg(from).arg(to).arg(count);
    pending
}

fn pending(connections: &Connections, answer: Answer) -> Result<Vec<Pending>, RequestError> {
    let answer = match answer {
        Err(error) if error.code() == Some("NOGROUP") => return Ok(Vec::new()),
        answer => answer?,
    };
    let lines: Vec<(Vec<u8>, String, u64, u64)> =
        redis::from_redis_value(answer).map_err(|_| connections.strange("to XPENDING"))?;
    let read = |(id, worker, idle_ms, _): (Vec<u8>, String, u64, u64)| {
        Some(Pending { id: EntryId::parse(&id)?, worker, in_flight_for: Duration::from_millis(idle_ms) })
    };
    Ok(lines.into_iter().filter_map(read).collect())
}

/// Takes as many from the front as one answer holds, and adds their bodies. What was settled meanwhile has
/// none, and goes.
async fn bodies(
    connections: &Connections,
    keys: &Keys,
    places: &mut VecDeque<(Place, Listed)>,
) -> Result<Vec<Listed>, RequestError> {
    let call = script::list_in_flight(keys, places.iter().take(PART).map(|(place, _)| *place));
    let strange = || connections.strange("to list_in_flight");
    let Value::Array(answers) = run(connections, call).await? else { return Err(strange()) };
    if answers.is_empty() || answers.len() > places.len() {
        return Err(strange());
    }
    let read = |((_, mut listed), answer): ((Place, Listed), Value)| {
        listed.body = Entry::read(answer)?.body;
        Some(listed)
    };
    let count = answers.len();
    Ok(places.drain(..count).zip(answers).filter_map(read).collect())
}
