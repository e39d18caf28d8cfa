//! Listings, a page at a time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actor_core::inspect::{Cursor, Handle, Listed, Listing, State};
use bytes::Bytes;
use redis::streams::StreamInfoGroupsReply;
use redis::{Cmd, Value};

use super::{ask, ask_each, entry_handle, read_entry_handle};
use crate::connection::{ANSWER, Link};
use crate::entry::{Content, Entry, EntryId};
use crate::error::Trouble;
use crate::keys::{GROUP, Keys, Level};
use crate::request::{Request, Verb};

/// The longest page.
pub(crate) const LONGEST_PAGE: usize = 1_000;
/// How many bodies are fetched at a time: large ones too must come within the time of an answer.
const BODIES: usize = 8;
/// A page ends early where its bodies have grown to this.
const PAGE_BYTES: usize = 8 << 20;

pub(crate) async fn list(
    link: &Link,
    keys: &Keys,
    state: State,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Listing, Trouble> {
    let after = after.map(|cursor| cursor.0.as_str());
    match state {
        State::Ready => ready(link, keys, after, limit).await,
        State::Lent => lent(link, keys, after, limit).await,
        State::Scheduled => Indexed::scheduled(keys).list(link, after, limit).await,
        State::Dead => Indexed::dead(keys).list(link, after, limit).await,
        _ => Err(Trouble::Unsupported("this state")),
    }
}

pub(crate) async fn read(link: &Link, keys: &Keys, state: State, handle: &Handle) -> Result<Option<Listed>, Trouble> {
    match state {
        State::Scheduled => Indexed::scheduled(keys).read(link, handle).await,
        State::Dead => Indexed::dead(keys).read(link, handle).await,
        State::Ready | State::Lent => {
            let Some((level, id)) = read_entry_handle(&handle.0) else { return Ok(None) };
            let pending = pending(link, keys, level, &id.to_string(), &id.to_string(), 1).await?.pop();
            match (state, pending) {
                (State::Lent, Some(pending)) => Ok(bodies(link, keys, vec![pending.listed(level)]).await?.pop()),
                (State::Ready, None) => {
                    let found = range(link, keys.ready(level), level, &id.to_string(), &id.to_string(), 1).await?;
                    Ok(found.into_iter().next().and_then(|entry| listed(level, entry)))
                }
                _ => Ok(None),
            }
        }
        _ => Err(Trouble::Unsupported("this state")),
    }
}

/// Ready messages: level after level, what the group has not read yet.
async fn ready(link: &Link, keys: &Keys, after: Option<&str>, limit: usize) -> Result<Listing, Trouble> {
    let (first_level, mut from) = match after.and_then(read_entry_handle) {
        Some((level, id)) => (level, Some(id)),
        None => (Level::HighAgain, None),
    };
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for level in Level::ALL.into_iter().filter(|level| *level >= first_level) {
        let mut start = match from.take() {
            Some(id) => format!("({id}"),
            None => unread(link, keys.ready(level)).await?,
        };
        loop {
            let count = BODIES.min(limit - messages.len());
            let page = range(link, keys.ready(level), level, &start, "+", count).await?;
            let Some(last) = page.last().map(|entry| entry.id) else { break };
            let is_last = page.len() < count;
            for listed in page.into_iter().filter_map(|entry| listed(level, entry)) {
                bytes += listed.body.len();
                messages.push(listed);
            }
            if messages.len() >= limit || bytes >= PAGE_BYTES {
                return Ok(Listing::new(messages, Some(Cursor(entry_handle(level, last)))));
            }
            if is_last {
                break;
            }
            start = format!("({last}");
        }
    }
    Ok(Listing::new(messages, None))
}

/// From where on nobody has read a stream.
async fn unread(link: &Link, key: &str) -> Result<String, Trouble> {
    let mut info = Cmd::new();
    info.arg("XINFO").arg("GROUPS").arg(key);
    let groups = match ask::<StreamInfoGroupsReply>(link, &info).await {
        Ok(reply) => reply.groups,
        // There is no such stream.
        Err(trouble) if trouble.code() == Some("ERR") => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    let group = groups.into_iter().find(|group| group.name == GROUP);
    Ok(group.map_or_else(|| "-".to_owned(), |group| format!("({}", group.last_delivered_id)))
}

async fn range(
    link: &Link,
    key: &str,
    level: Level,
    from: &str,
    to: &str,
    count: usize,
) -> Result<Vec<Entry>, Trouble> {
    let mut range = Cmd::new();
    range.arg("XRANGE").arg(key).arg(from).arg(to).arg("COUNT").arg(count);
    match link.command(&range, ANSWER).await? {
        Value::Array(entries) => Ok(entries.into_iter().filter_map(|entry| Entry::read(level, entry)).collect()),
        _ => Err(link.strange("to XRANGE")),
    }
}

fn listed(level: Level, entry: Entry) -> Option<Listed> {
    match entry.content {
        Content::Message(body) => {
            let mut listed = Listed::new(Handle(entry_handle(level, entry.id)), body);
            listed.time = Some(time(entry.id.ms()));
            Some(listed)
        }
        Content::Wake => None,
    }
}

/// A lent message, without its body.
struct Pending {
    id: EntryId,
    worker: String,
    lent_for: Duration,
}

impl Pending {
    fn listed(self, level: Level) -> (Level, EntryId, Listed) {
        let mut listed = Listed::new(Handle(entry_handle(level, self.id)), Bytes::new());
        listed.time = SystemTime::now().checked_sub(self.lent_for);
        listed.worker = Some(self.worker);
        (level, self.id, listed)
    }
}

/// Lent messages of all levels, by when they became ready.
async fn lent(link: &Link, keys: &Keys, after: Option<&str>, limit: usize) -> Result<Listing, Trouble> {
    let after = after.and_then(read_entry_handle);
    let mut all = Vec::new();
    for level in Level::ALL {
        // Two streams may hold the same id: at one id the higher level goes first.
        let from = match after {
            Some((last, id)) if level <= last => format!("({id}"),
            Some((_, id)) => id.to_string(),
            None => "-".to_owned(),
        };
        let pending = pending(link, keys, level, &from, "+", limit + 1).await?;
        all.extend(pending.into_iter().map(|pending| pending.listed(level)));
    }
    all.sort_by_key(|(level, id, _)| (*id, *level));
    let more = all.len() > limit;
    all.truncate(limit);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    let mut all = all.into_iter().peekable();
    while all.peek().is_some() {
        let batch: Vec<_> = all.by_ref().take(BODIES).collect();
        let last = batch.last().map(|(level, id, _)| Cursor(entry_handle(*level, *id)));
        for listed in bodies(link, keys, batch).await? {
            bytes += listed.body.len();
            messages.push(listed);
        }
        let goes_on = if all.peek().is_none() { more } else { bytes >= PAGE_BYTES };
        if goes_on {
            return Ok(Listing::new(messages, last));
        }
    }
    Ok(Listing::new(messages, None))
}

async fn pending(
    link: &Link,
    keys: &Keys,
    level: Level,
    from: &str,
    to: &str,
    count: usize,
) -> Result<Vec<Pending>, Trouble> {
    let mut pending = Cmd::new();
    pending.arg("XPENDING").arg(keys.ready(level)).arg(GROUP).arg(from).arg(to).arg(count);
    let lines: Vec<(Vec<u8>, String, u64, u64)> = match ask(link, &pending).await {
        Ok(lines) => lines,
        Err(trouble) if trouble.code() == Some("NOGROUP") => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    let read = |(id, worker, idle_ms, _): (Vec<u8>, String, u64, u64)| {
        Some(Pending { id: EntryId::parse(&id)?, worker, lent_for: Duration::from_millis(idle_ms) })
    };
    Ok(lines.into_iter().filter_map(read).collect())
}

/// Adds the bodies. What was settled meanwhile has none, and goes.
async fn bodies(link: &Link, keys: &Keys, lent: Vec<(Level, EntryId, Listed)>) -> Result<Vec<Listed>, Trouble> {
    let mut messages = Vec::with_capacity(lent.len());
    let read = |(level, id, _): &(Level, EntryId, Listed)| {
        let mut range = Cmd::new();
        range.arg("XRANGE").arg(keys.ready(*level)).arg(id).arg(id);
        range
    };
    let answers: Vec<Result<Value, _>> = ask_each(link, &Request::of(Verb::Inspect, lent.iter().map(read))).await?;
    for ((level, _, mut listed), answer) in lent.into_iter().zip(answers) {
        let Value::Array(mut entries) = answer? else { continue };
        if let Some(Entry { content: Content::Message(body), .. }) =
            entries.pop().and_then(|entry| Entry::read(level, entry))
        {
            listed.body = body;
            messages.push(listed);
        }
    }
    Ok(messages)
}

/// Messages that stand in a sorted set by time, their bodies in a hash beside it.
pub(crate) struct Indexed<'a> {
    pub(crate) index: &'a str,
    pub(crate) bodies: &'a str,
    pub(crate) reasons: Option<&'a str>,
}

impl<'a> Indexed<'a> {
    pub(crate) fn scheduled(keys: &'a Keys) -> Self {
        Self { index: &keys.later, bodies: &keys.later_bodies, reasons: None }
    }

    pub(crate) fn dead(keys: &'a Keys) -> Self {
        Self { index: &keys.dead, bodies: &keys.dead_bodies, reasons: Some(&keys.dead_reasons) }
    }

    async fn list(&self, link: &Link, after: Option<&str>, limit: usize) -> Result<Listing, Trouble> {
        let mut rank = self.rank_after(link, after).await?;
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < limit && bytes < PAGE_BYTES {
            let count = BODIES.min(limit - messages.len());
            let mut range = Cmd::new();
            range.arg("ZRANGE").arg(self.index).arg(rank).arg(rank + count - 1).arg("WITHSCORES");
            let members: Vec<(String, f64)> = ask(link, &range).await?;
            let len = members.len();
            rank += len;
            let last = members.last().map(|(member, score)| Cursor(format!("{score}:{member}")));
            for listed in self.fetch(link, members).await? {
                bytes += listed.body.len();
                messages.push(listed);
            }
            if len < count {
                return Ok(Listing::new(messages, None));
            }
            if messages.len() >= limit || bytes >= PAGE_BYTES {
                return Ok(Listing::new(messages, last));
            }
        }
        Ok(Listing::new(messages, None))
    }

    /// The rank after a cursor's message; where that has gone, the rank of what is due when it was.
    async fn rank_after(&self, link: &Link, after: Option<&str>) -> Result<usize, Trouble> {
        let Some((score, member)) = after.and_then(|after| after.split_once(':')) else { return Ok(0) };
        let rank: Option<usize> = ask(link, redis::cmd("ZRANK").arg(self.index).arg(member)).await?;
        match (rank, score.parse::<f64>()) {
            (Some(rank), _) => Ok(rank + 1),
            (None, Ok(score)) => {
                ask(link, redis::cmd("ZCOUNT").arg(self.index).arg("-inf").arg(format!("({score}"))).await
            }
            (None, Err(_)) => Ok(0),
        }
    }

    async fn read(&self, link: &Link, handle: &Handle) -> Result<Option<Listed>, Trouble> {
        let score: Option<f64> = ask(link, redis::cmd("ZSCORE").arg(self.index).arg(&handle.0)).await?;
        let Some(score) = score else { return Ok(None) };
        Ok(self.fetch(link, vec![(handle.0.clone(), score)]).await?.pop())
    }

    async fn fetch(&self, link: &Link, members: Vec<(String, f64)>) -> Result<Vec<Listed>, Trouble> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let get = |hash: &str| {
            let mut get = Cmd::new();
            get.arg("HMGET").arg(hash);
            for (member, _) in &members {
                get.arg(member);
            }
            get
        };
        let request = Request::of(Verb::Inspect, std::iter::once(self.bodies).chain(self.reasons).map(get));
        let mut answers = ask_each::<Vec<Option<Vec<u8>>>>(link, &request).await?.into_iter();
        let bodies = answers.next().transpose()?.unwrap_or_default();
        let mut reasons = answers.next().transpose()?.unwrap_or_default().into_iter();
        let mut messages = Vec::with_capacity(members.len());
        for ((member, score), body) in members.into_iter().zip(bodies) {
            let reason = reasons.next().flatten();
            let Some(body) = body else { continue };
            let mut listed = Listed::new(Handle(member), body.into());
            listed.time = Some(time(score.max(0.0) as u64));
            listed.reason = reason.map(|reason| String::from_utf8_lossy(&reason).into_owned());
            messages.push(listed);
        }
        Ok(messages)
    }
}

fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}
