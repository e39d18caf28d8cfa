//! Finding what Redis believes lent to this worker, and this worker does not: in an answer that never
//! arrived, or since Redis lost a settlement when it was restarted or failed over. Else it would stay lent
//! to this living worker for ever.

use std::sync::atomic::Ordering;
use std::time::Instant;

use actor_core::delivery::Delivery;
use actor_core::failpoint::pass;
use redis::{Cmd, Value};

use crate::connection::{ANSWER, Link};
use crate::entry::{Content, Entry, EntryId};
use crate::error::Trouble;
use crate::keys::{GROUP, Level};
use crate::lane::{DeliveryCount, Lane, Lent};
use crate::reading::Reading;
use crate::request::{Request, Verb};

/// How many lent entries are listed at a time.
const PAGE: usize = 256;
/// How many bodies are fetched at a time: what was too much for one answer must not be so again.
const BODIES: usize = 4;

/// An entry that Redis lent to this worker and that did not arrive.
struct Stray {
    id: EntryId,
    count: DeliveryCount,
}

impl Lane {
    /// After an answer may have been lost, or the server may be another: lends what was astray.
    ///
    /// What lost answers were asked for cannot happen any more when this looks: each connection is
    /// new by then, and its making closed the old one on the server.
    pub(crate) async fn reclaim(
        &self,
        commands: &Link,
        reading: &mut Reading,
        max: usize,
    ) -> Result<Vec<Delivery>, Trouble> {
        if !reading.in_doubt && !reading.has_reconnected && !self.is_recovery_in_doubt() {
            return Ok(Vec::new());
        }
        let _taking = self.taking.lock().await;
        if reading.in_doubt {
            // A claim that was dropped has left a read behind, which may still wait there.
            self.reads.give_up();
        }
        self.reads.ready().await.map_err(Trouble::NotConnected)?;
        commands.ready().await.map_err(Trouble::NotConnected)?;
        reading.answered_by = self.reads.made();
        // A lost answer may have held a mark that woke this lane, and nobody else is woken for what is due.
        reading.look_at = Instant::now();
        // Held only at the end: what is held is no stray to the next look, and this one may fail on its way.
        let mut found = Vec::new();
        for level in Level::ALL {
            let mut after = None;
            loop {
                // What is held is asked for before what is lent, and only shrinks meanwhile. What is
                // settled in between is then no stray: where others have taken it over, it would be
                // started again as the delivery that it no longer is.
                let held = self.held_now();
                let page = self.page(commands, level, after).await?;
                let (len, last) = (page.len(), page.last().map(|stray| stray.id));
                let strays: Vec<_> =
                    page.into_iter().filter(|stray| !held.contains(&(level.place(), stray.id.0))).collect();
                for some in strays.chunks(BODIES) {
                    found.extend(self.fetch(commands, level, some).await?);
                    if found.len() >= max {
                        // The rest is found by the next claim: the doubt stays.
                        return Ok(self.lend(found.into_iter()));
                    }
                }
                if len < PAGE {
                    break;
                }
                after = last;
            }
        }
        (reading.in_doubt, reading.has_reconnected) = (false, false);
        self.recovery_in_doubt.store(false, Ordering::Release);
        if !found.is_empty() {
            tracing::info!(queue = %self.queue.name, found = found.len(), "messages astray were found");
        }
        Ok(self.lend(found.into_iter()))
    }

    /// Whether the answer to a recovery may have been lost.
    pub(crate) fn is_recovery_in_doubt(&self) -> bool {
        self.recovery_in_doubt.load(Ordering::Acquire)
    }

    /// One page of what Redis lent to this worker at one level.
    async fn page(&self, commands: &Link, level: Level, after: Option<EntryId>) -> Result<Vec<Stray>, Trouble> {
        let mut pending = Cmd::new();
        pending.arg("XPENDING").arg(self.queue.keys.ready(level)).arg(GROUP);
        match after {
            Some(after) => pending.arg(format!("({after}")),
            None => pending.arg("-"),
        };
        pending.arg("+").arg(PAGE).arg(self.worker());
        pass("reclaim.unsent");
        let answer = match commands.command(&pending, ANSWER).await {
            Ok(Value::Array(lines)) => lines,
            Ok(_) => return Err(commands.strange("to XPENDING")),
            Err(trouble) if trouble.code() == Some("NOGROUP") => Vec::new(),
            Err(trouble) => return Err(trouble),
        };
        pass("reclaim.answered");
        Ok(answer.iter().filter_map(stray).collect())
    }

    /// Fetches strays. One whose body is gone was deleted by hand, and is let go.
    async fn fetch(&self, commands: &Link, level: Level, strays: &[Stray]) -> Result<Vec<Lent>, Trouble> {
        let key = self.queue.keys.ready(level);
        let read = |stray: &Stray| {
            let mut range = Cmd::new();
            range.arg("XRANGE").arg(key).arg(stray.id).arg(stray.id);
            range
        };
        let answers = commands.request(&Request::of(Verb::Fetch, strays.iter().map(read)), ANSWER).await?;
        let (mut lent, mut gone) = (Vec::new(), Request::new(Verb::LetGo));
        for (&Stray { id, count }, answer) in strays.iter().zip(answers) {
            let Value::Array(mut entries) = answer? else { return Err(commands.strange("to XRANGE")) };
            let entry = entries.pop().and_then(|entry| Entry::read(level, entry));
            match entry {
                Some(Entry { content: Content::Message(body), .. }) => lent.push(Lent { level, id, body, count }),
                Some(Entry { content: Content::Wake, .. }) | None => {
                    let (mut ack, mut del) = (Cmd::new(), Cmd::new());
                    ack.arg("XACK").arg(key).arg(GROUP).arg(id);
                    del.arg("XDEL").arg(key).arg(id);
                    gone.command(del);
                    gone.command(ack);
                }
            }
        }
        if !gone.is_empty() {
            commands.request(&gone, ANSWER).await?;
        }
        Ok(lent)
    }
}

/// Reads `[id, worker, ms since it was lent, how often it was lent]`.
fn stray(line: &Value) -> Option<Stray> {
    let Value::Array(parts) = line else { return None };
    let [Value::BulkString(id), _, _, Value::Int(lent)] = parts.as_slice() else { return None };
    Some(Stray { id: EntryId::parse(id)?, count: DeliveryCount::read(*lent) })
}
