//! Reclaiming: finding what Redis believes in flight with this worker, and this worker does not: it was in an answer
//! that never arrived, or Redis lost its settlement when it was restarted or failed over. Else it would stay in
//! flight with this living worker for ever.

use std::time::Instant;

use actor_core::delivery::Delivery;
use actor_core::failpoint::pass;
use redis::Value;

use super::QueueConsumer;
use super::delivered::{Delivered, DeliveryCount};
use super::state::{Reading, State};
use crate::connection::ANSWER;
use crate::entry::{Entry, EntryId};
use crate::error::RequestError;
use crate::keys::{GROUP, Level};
use crate::link::Route;
use crate::place::Place;
use crate::request::Request;

/// How many entries in flight are listed at a time.
const PAGE: usize = 256;
/// How many bodies are fetched at a time: what was too much for one answer must not be so again.
const BODIES: usize = 4;

/// An entry that Redis delivered to this worker and that did not arrive.
type Undelivered = (EntryId, DeliveryCount);

impl QueueConsumer {
    /// Where this process and Redis may not agree on what is in flight here: delivers what only Redis knows of, so
    /// that they do.
    ///
    /// What lost answers were asked for cannot happen any more by then: each connection is
    /// new by then, and its making closed the old one on the server.
    pub(super) async fn reclaim(
        &self,
        commands: Route<'_>,
        reading: &mut Reading,
        max: usize,
    ) -> Result<Vec<Delivery>, RequestError> {
        if self.is_in_step(reading) {
            return Ok(Vec::new());
        }
        let mut taking = self.taking.lock().await;
        if reading.state == State::Reading {
            self.reads().give_up();
        }
        self.reads().ready().await.map_err(RequestError::NotConnected)?;
        reading.state = State::Behind;
        commands.ready().await.map_err(RequestError::NotConnected)?;
        reading.answered_by = self.reads().made();
        // A lost answer may have held what woke this consumer, and nobody else is woken for what is due.
        (reading.check_at, reading.woken) = (Instant::now(), true);
        // Held only at the end: what is held is no longer lost to the next reclaim, and this one may fail on its way.
        let mut found = Vec::new();
        for level in Level::ALL {
            let mut after = None;
            loop {
                // What is held is asked for before what is in flight, and only shrinks meanwhile. What is
                // settled in between is then not lost: where others have recovered it, it would be
                // started again as the delivery that it no longer is.
                let held = self.held().clone();
                let page = self.page(commands, level, after).await?;
                let (len, last) = (page.len(), page.last().map(|(id, _)| *id));
                let lost: Vec<_> = page.into_iter().filter(|&(id, _)| !held.contains(&Place { level, id })).collect();
                let mut rest = lost.as_slice();
                while !rest.is_empty() {
                    if found.len() == max {
                        // The next claim reclaims the rest.
                        return Ok(self.hold(found, false));
                    }
                    let (some, others) = rest.split_at(BODIES.min(max - found.len()).min(rest.len()));
                    found.extend(self.fetch(commands, level, some).await?);
                    rest = others;
                }
                if len < PAGE {
                    break;
                }
                after = last;
            }
        }
        (reading.state, *taking) = (State::InStep, State::InStep);
        if !found.is_empty() {
            tracing::info!(queue = %self.queue.name, found = found.len(), "lost deliveries were found");
        }
        Ok(self.hold(found, false))
    }

    /// One page of what Redis delivered to this worker at one level.
    async fn page(
        &self,
        commands: Route<'_>,
        level: Level,
        after: Option<EntryId>,
    ) -> Result<Vec<Undelivered>, RequestError> {
        let from = after.map_or("-".to_owned(), |after| format!("({after}"));
        let mut pending = redis::cmd("XPENDING");
        pending.arg((self.queue.keys.ready(level), GROUP, from, "+", PAGE, self.worker()));
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

    /// Fetches lost deliveries. One whose body is gone was deleted by hand, and is dropped.
    async fn fetch(
        &self,
        commands: Route<'_>,
        level: Level,
        lost: &[Undelivered],
    ) -> Result<Vec<Delivered>, RequestError> {
        let key = self.queue.keys.ready(level);
        let read = |(id, _): &Undelivered| redis::cmd("XRANGE").arg(key).arg(*id).arg(*id).take();
        let answers = commands.request(&Request::of("fetch", lost.iter().map(read)), ANSWER).await?;
        let (mut delivered, mut gone) = (Vec::new(), Request::new("let_go"));
        for (&(id, count), answer) in lost.iter().zip(answers) {
            let Value::Array(mut entries) = answer? else { return Err(commands.strange("to XRANGE")) };
            match entries.pop().and_then(Entry::read) {
                Some(entry) => delivered.push(Delivered::new(level, entry, count)),
                None => {
                    gone.command(redis::cmd("XDEL").arg(key).arg(id).take());
                    gone.command(redis::cmd("XACK").arg(key).arg(GROUP).arg(id).take());
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
    Some((EntryId::parse(id)?, DeliveryCount::read(*delivered)))
}
