//! Finding what Redis believes delivered to this worker, and this worker does not: in an answer that never
//! arrived, or since Redis lost a settlement when it was restarted or failed over. Else it would stay in flight
//! to this living worker for ever.

use std::sync::atomic::Ordering;
use std::time::Instant;

use actor_core::delivery::Delivery;
use actor_core::failpoint::pass;
use redis::{Cmd, Value};

use crate::connection::{ANSWER, Connections};
use crate::entry::{Content, Entry, EntryId};
use crate::error::RequestError;
use crate::keys::{GROUP, Level};
use crate::reading::Reading;
use crate::request::{Request, Verb};
use crate::subscription::{Delivered, DeliveryCount, Subscription};

/// How many in flight entries are listed at a time.
const PAGE: usize = 256;
/// How many bodies are fetched at a time: what was too much for one answer must not be so again.
const BODIES: usize = 4;

/// An entry that Redis delivered to this worker and that did not arrive.
struct Undelivered {
    id: EntryId,
    count: DeliveryCount,
}

impl Subscription {
    /// After an answer may have been lost, or the server may be another: delivers lost deliveries.
    ///
    /// What lost answers were asked for cannot happen any more when this looks: each connection is
    /// new by then, and its making closed the old one on the server.
    pub(crate) async fn reclaim(
        &self,
        commands: &Connections,
        reading: &mut Reading,
        max: usize,
    ) -> Result<Vec<Delivery>, RequestError> {
        if !reading.in_doubt && !reading.has_reconnected && !self.is_recovery_in_doubt() {
            return Ok(Vec::new());
        }
        let _taking = self.taking.lock().await;
        if reading.in_doubt {
            // A claim that was dropped has left a read behind, which may still wait there.
            self.reads.give_up();
        }
        self.reads.ready().await.map_err(RequestError::NotConnected)?;
        commands.ready().await.map_err(RequestError::NotConnected)?;
        reading.answered_by = self.reads.made();
        // A lost answer may have held a mark that woke this subscription, and nobody else is woken for what is due.
        reading.look_at = Instant::now();
        // Held only at the end: what is held is no stray to the next look, and this one may fail on its way.
        let mut found = Vec::new();
        for level in Level::ALL {
            let mut after = None;
            loop {
                // What is held is asked for before what is in flight, and only shrinks meanwhile. What is
                // settled in between is then no stray: where others have recovered it, it would be
                // started again as the delivery that it no longer is.
                let held = self.held_now();
                let page = self.page(commands, level, after).await?;
                let (len, last) = (page.len(), page.last().map(|lost| lost.id));
                let lost: Vec<_> =
                    page.into_iter().filter(|lost| !held.contains(&(level.place(), lost.id.0))).collect();
                for some in lost.chunks(BODIES) {
                    found.extend(self.fetch(commands, level, some).await?);
                    if found.len() >= max {
                        // The rest is found by the next claim: the doubt stays.
                        return Ok(self.deliver(found.into_iter()));
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
            tracing::info!(queue = %self.queue.name, found = found.len(), "lost deliveries were found");
        }
        Ok(self.deliver(found.into_iter()))
    }

    /// Whether the answer to a recovery may have been lost.
    pub(crate) fn is_recovery_in_doubt(&self) -> bool {
        self.recovery_in_doubt.load(Ordering::Acquire)
    }

    /// One page of what Redis delivered to this worker at one level.
    async fn page(
        &self,
        commands: &Connections,
        level: Level,
        after: Option<EntryId>,
    ) -> Result<Vec<Undelivered>, RequestError> {
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
            Err(error) if error.code() == Some("NOGROUP") => Vec::new(),
            Err(error) => return Err(error),
        };
        pass("reclaim.answered");
        Ok(answer.iter().filter_map(lost).collect())
    }

    /// Fetches strays. One whose body is gone was deleted by hand, and is let go.
    async fn fetch(
        &self,
        commands: &Connections,
        level: Level,
        lost: &[Undelivered],
    ) -> Result<Vec<Delivered>, RequestError> {
        let key = self.queue.keys.ready(level);
        let read = |lost: &Undelivered| {
            let mut range = Cmd::new();
            range.arg("XRANGE").arg(key).arg(lost.id).arg(lost.id);
            range
        };
        let answers = commands.request(&Request::of(Verb::Fetch, lost.iter().map(read)), ANSWER).await?;
        let (mut delivered, mut gone) = (Vec::new(), Request::new(Verb::LetGo));
        for (&Undelivered { id, count }, answer) in lost.iter().zip(answers) {
            let Value::Array(mut entries) = answer? else { return Err(commands.strange("to XRANGE")) };
            let entry = entries.pop().and_then(|entry| Entry::read(level, entry));
            match entry {
                Some(Entry { content: Content::Message(body), .. }) => {
                    delivered.push(Delivered { level, id, body, count });
                }
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
        Ok(delivered)
    }
}

/// Reads `[id, worker, ms since it was in flight, how often it was in flight]`.
fn lost(line: &Value) -> Option<Undelivered> {
    let Value::Array(parts) = line else { return None };
    let [Value::BulkString(id), _, _, Value::Int(delivered)] = parts.as_slice() else { return None };
    Some(Undelivered { id: EntryId::parse(id)?, count: DeliveryCount::read(*delivered) })
}
