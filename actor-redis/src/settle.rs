//! Settling. A success is `XDEL` and `XACK`; everything that hangs on whether this worker still holds
//! the message, or that follows from its end, is decided by a script, in Redis. All of one call goes in one round trip, but for large bodies.
//!
//! A success needs no `MULTI`, which Redis would refuse where it is out of memory, just when workers
//! must make room. The entry is deleted before it is acknowledged, so that what a crash can leave
//! halfway is an entry that is in flight and has no body: settling it again acknowledges it, and so does
//! its recovery. In the other order it would be a message that nobody holds, which a worker finds in
//! time and delivers again, though it is done.

use std::ops::RangeInclusive;
use std::time::Duration;

use actor_core::delivery::Receipt;
use actor_core::settlement::{Outcome, Settled, Settlement};
use redis::{Cmd, Value};

use crate::connection::ANSWER;
use crate::entry::EntryId;
use crate::error::RequestError;
use crate::keys::{GROUP, LEVELS, Level};
use crate::link::Route;
use crate::place::{self, Place};
use crate::queue::Queue;
use crate::request::{Answer, Request, fitting};
use crate::script::{self, Cancelled, DeadLetter, Follows, Held, Limited, Release, Reschedule, Retention};
use crate::slot::{Slot, ran_us};

/// How many entries one command names at most, so that none holds up the server: what they free may be large.
const DONE_AT_ONCE: usize = 256;
/// What one call of a script takes at most.
const CALL_MESSAGES: usize = 128;

type Answered = Result<Settled, RequestError>;

/// Settles deliveries of one worker. The answers stand in their order.
pub(crate) async fn settle(
    connections: Route<'_>,
    queue: &Queue,
    worker: &str,
    retention: Retention,
    settlements: &[(Receipt, Settlement)],
) -> Vec<Answered> {
    let mut settled = Vec::with_capacity(settlements.len());
    let mut rest = settlements;
    while !rest.is_empty() {
        let sizes = rest.iter().map(|(_, settlement)| size(queue, settlement));
        let (part, after) = rest.split_at(fitting(sizes));
        rest = after;
        match settle_part(connections, queue, worker, retention, part).await {
            Ok(answers) => settled.extend(answers),
            Err(error) => {
                // What is left would wait for the same.
                settled.resize_with(settlements.len(), || Err(error.clone()));
                break;
            }
        }
    }
    settled
}

/// How many bytes a settlement writes, as near as that bounds what one call takes.
fn size(queue: &Queue, settlement: &Settlement) -> usize {
    let follows = Follows::of(&queue.name, &settlement.consequences).unwrap_or_default();
    settlement.outcome.body().map_or(0, bytes::Bytes::len) + follows.iter().map(Follows::weight).sum::<usize>()
}

async fn settle_part(
    connections: Route<'_>,
    queue: &Queue,
    worker: &str,
    retention: Retention,
    settlements: &[(Receipt, Settlement)],
) -> Result<Vec<Answered>, RequestError> {
    // A receipt that this broker did not make settles nothing.
    let mut settled: Vec<Answered> = settlements.iter().map(|_| Ok(Settled::Stale)).collect();
    let sorted = Sorted::new(queue, settlements, &mut settled);
    let mut request = Request::new(sorted.name());
    let mut steps = Vec::new();
    sorted.write(queue, worker, retention, &mut request, &mut steps);
    if steps.is_empty() {
        return Ok(settled);
    }
    // While more is due than checks move, as many as are settled: Redis would else wait while a worker reads what its
    // last check brought.
    let promote = queue.is_overdue().then(|| request.call(script::promote(&queue.keys, settlements.len(), None)));
    let mut answers = connections.request(&request, ANSWER).await?;
    if let Some(at) = promote {
        let promoted = answers[at].as_ref().ok().and_then(script::promoted);
        queue.set_overdue(matches!(promoted, Some((Some(Duration::ZERO), _))));
    }
    let mut pruned = 0;
    for step in steps {
        pruned += step.read(connections, &mut answers, &mut settled);
    }
    if pruned > 0 {
        queue.note_pruned(pruned);
    }
    Ok(settled)
}

/// Settlements by what is to be done, each with its place in the caller's order.
#[derive(Default)]
struct Sorted<'a> {
    done: [Vec<(usize, EntryId)>; LEVELS],
    /// Done, and holding something, or with something that follows.
    freed: Vec<(usize, (Place, Option<Held<'a>>))>,
    limited: Vec<(usize, Limited<'a>)>,
    retries: Vec<(usize, Reschedule<'a>)>,
    dead_letters: Vec<(usize, DeadLetter<'a>)>,
    releases: Vec<(usize, Release<'a>)>,
    cancelled: Vec<(usize, Cancelled<'a>)>,
}

/// Commands that go together, and the settlements that they answer.
struct Step {
    indexes: Vec<usize>,
    /// Where their answers stand: the first error decides, else the last answer. One for all is the count of `XACK`;
    /// the dead letters' own are followed by how many were removed.
    answers: RangeInclusive<usize>,
}

impl<'a> Sorted<'a> {
    fn new(queue: &Queue, settlements: &'a [(Receipt, Settlement)], settled: &mut [Answered]) -> Self {
        let mut sorted = Self::default();
        for (index, (receipt, settlement)) in settlements.iter().enumerate() {
            let Some(place) = Place::of(receipt) else { continue };
            let suspect = place::is_suspect(receipt);
            let ends = settlement.outcome.is_end();
            let follows = Follows::of(&queue.name, &settlement.consequences);
            let Some(follows) = follows.filter(|follows| ends || follows.is_empty()) else {
                settled[index] = Err(RequestError::Unsupported("this consequence"));
                continue;
            };
            let (unique, slot_text) = place::held(receipt);
            let slot = Slot::parse(slot_text);
            let key = std::str::from_utf8(unique).unwrap_or_default();
            let ran_us = ran_us(settlement.ran);
            let is_held = slot.is_some() || !key.is_empty();
            let held = is_held || !follows.is_empty();
            let held = held.then(|| Held { slot: slot.clone(), ran_us, unique: key, place, follows });
            match &settlement.outcome {
                Outcome::Done if held.is_some() => sorted.freed.push((index, (place, held))),
                Outcome::Done => sorted.done[usize::from(place.level.place())].push((index, place.id)),
                Outcome::Limited { id, priority, body, after } if slot.is_some() => {
                    let (Some(held), Some(slot)) = (held, slot) else { continue };
                    let (id, priority, after) = (*id, *priority, *after);
                    let limited = Limited { place, id, held, slot, priority, suspect, body, after };
                    sorted.limited.push((index, limited));
                }
                Outcome::Reschedule { id, priority, body, after } | Outcome::Limited { id, priority, body, after } => {
                    let member = script::scheduled_member(*priority, suspect, is_held, *id);
                    let retry = Reschedule { place, member, delay: *after, body, ability: None, held };
                    sorted.retries.push((index, retry));
                }
                Outcome::Park { id, priority, body, after, ability } => {
                    let member = script::scheduled_member(*priority, suspect, is_held, *id);
                    let ability = Some(&**ability);
                    sorted.retries.push((index, Reschedule { place, member, delay: *after, body, ability, held }));
                }
                Outcome::DeadLetter { id, body, reason } => {
                    // Named as the message is, or where that cannot be read, as its entry.
                    let entry = || format!("{}:{}", place.level.name(), place.id);
                    let member = id.map_or_else(entry, |id| id.to_string());
                    sorted.dead_letters.push((index, DeadLetter { place, member, body, reason, held }));
                }
                Outcome::Release { body } => {
                    sorted.releases.push((index, Release { place, body, suspect, slot: slot_text, unique }));
                }
                Outcome::Cancelled { id } => sorted.cancelled.push((index, Cancelled { place, id: *id, held })),
                _ => settled[index] = Err(RequestError::Unsupported("this settlement")),
            }
        }
        sorted
            .retries
            .sort_by(|(_, one), (_, other)| (one.group(), one.place.id).cmp(&(other.group(), other.place.id)));
        sorted
    }

    fn name(&self) -> &'static str {
        match (self.releases.is_empty(), self.dead_letters.is_empty(), self.retries.is_empty()) {
            (false, ..) => "release",
            (_, false, _) => "dead_letter",
            (.., false) => "reschedule",
            _ if !self.limited.is_empty() => "limit",
            _ if !self.freed.is_empty() => "free",
            _ => "done",
        }
    }

    fn write(self, queue: &Queue, worker: &str, retention: Retention, request: &mut Request, steps: &mut Vec<Step>) {
        for level in Level::ALL {
            for batch in self.done[usize::from(level.place())].chunks(DONE_AT_ONCE) {
                let at = write_done(queue.keys.ready(level), batch, request);
                steps.push(Step { indexes: batch.iter().map(|(index, _)| *index).collect(), answers: at - 1..=at });
            }
        }
        calls(self.freed, steps, |batch| request.call(script::done(&queue.keys, &batch)));
        calls(self.limited, steps, |batch| request.call(script::limited(&queue.keys, worker, &batch)));
        calls(self.retries, steps, |batch| request.call(script::reschedule(&queue.keys, worker, &batch)));
        calls(self.dead_letters, steps, |batch| {
            request.call(script::dead_letter(&queue.keys, worker, retention, &batch))
        });
        calls(self.releases, steps, |batch| request.call(script::release(&queue.keys, worker, batch.into_iter())));
        calls(self.cancelled, steps, |batch| request.call(script::end_cancelled(&queue.keys, worker, &batch)));
    }
}

fn calls<T>(settlements: Vec<(usize, T)>, steps: &mut Vec<Step>, mut call: impl FnMut(Vec<T>) -> usize) {
    let mut rest = settlements.into_iter().peekable();
    while rest.peek().is_some() {
        let (indexes, batch): (Vec<_>, Vec<_>) = rest.by_ref().take(CALL_MESSAGES).unzip();
        let at = call(batch);
        steps.push(Step { indexes, answers: at..=at });
    }
}

fn write_done(key: &str, batch: &[(usize, EntryId)], request: &mut Request) -> usize {
    let named = |name: &str| {
        let mut command = Cmd::with_capacity(3 + batch.len(), key.len() + 24 * batch.len() + 16);
        command.arg(name).arg(key);
        command
    };
    let (mut ack, mut del) = (named("XACK"), named("XDEL"));
    ack.arg(GROUP);
    for (_, id) in batch {
        ack.arg(id);
        del.arg(id);
    }
    request.command(del);
    request.command(ack)
}

impl Step {
    /// Reads what was settled. Returns how many dead letters were removed.
    fn read(self, connections: Route<'_>, answers: &mut [Answer], settled: &mut [Answered]) -> u64 {
        let answers = &mut answers[self.answers];
        let decides = answers.iter().position(Result::is_err).unwrap_or(answers.len() - 1);
        let mut answer = std::mem::replace(&mut answers[decides], Ok(Value::Nil));
        let mut pruned = 0;
        if let Ok(Value::Array(parts)) = &mut answer
            && parts.len() > self.indexes.len()
            && let Some(Value::Int(count)) = parts.pop()
        {
            pruned = u64::try_from(count).unwrap_or_default();
        }
        for (index, part) in self.indexes.iter().zip(connections.each(answer, self.indexes.len())) {
            settled[*index] = match part {
                Ok(Value::Int(0)) => Ok(Settled::Stale),
                // Of a count lower than the entries nobody can say which they were: each has ended now, by this worker
                // or by another.
                Ok(Value::Int(_)) => Ok(Settled::Applied),
                Ok(Value::BulkString(word)) if word == b"cancelled" => Ok(Settled::Cancelled),
                Ok(_) => Err(connections.strange("to a settlement")),
                Err(error) => Err(error),
            };
        }
        pruned
    }
}
