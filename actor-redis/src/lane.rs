//! One worker's way to one queue: its waiting reads, and what was lent to it by them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actor_core::delivery::{Consumer, Delivery, Incarnation, Receipt};
use actor_core::settlement::{Settled, Settlement};
use redis::Value;
use tokio::sync::Notify;

use crate::claim::Reading;
use crate::connection::{ANSWER, Link, Quiet};
use crate::endpoint::Endpoint;
use crate::entry::{Content, EntryId};
use crate::error::Trouble;
use crate::keys::Level;
use crate::queue::{Queue, Queues};
use crate::request::{Request, Verb};
use crate::script;

/// How many messages one call lends at most, whatever was asked for.
pub(crate) const MOST: usize = 1_000;
/// How many messages one recovery lends at most, so that its script does not hold up the server.
const MOST_RECOVERED: usize = 256;

/// One worker's way to one queue.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) consumer: Consumer,
    pub(crate) queue: Arc<Queue>,
    /// For its reads alone: whatever is behind a waiting read waits too.
    pub(crate) reads: Link,
    /// What was lent to this worker and is not settled. What else Redis believes lent to it was in
    /// an answer that never arrived. Written by claims, recoveries and settlements.
    held: Mutex<HashSet<(u8, u128)>>,
    /// Whether the answer to a recovery may have been lost.
    pub(crate) recovery_in_doubt: AtomicBool,
    /// Wakes a claim that waits, once that is so: only the next one looks for what the answer held.
    pub(crate) doubt: Notify,
    /// Held while what Redis lends changes other than by a read: by a recovery, and by whoever looks
    /// for what lost answers held. Else that would find what a running recovery is about to return.
    pub(crate) taking: tokio::sync::Mutex<()>,
    /// Held by the one claim that may run.
    pub(crate) reading: tokio::sync::Mutex<Reading>,
}

impl Lane {
    pub(crate) fn worker(&self) -> &str {
        self.consumer.worker.as_str()
    }

    /// Lends what dead workers held.
    pub(crate) async fn recover(&self, commands: &Link, max: usize, grace: Duration) -> Result<Vec<Delivery>, Trouble> {
        let _taking = self.taking.lock().await;
        let limit = max.min(MOST_RECOVERED);
        if limit == 0 || *self.queue.paused.borrow() {
            return Ok(Vec::new());
        }
        let was_in_doubt = self.recovery_in_doubt.swap(true, Ordering::AcqRel);
        let mut request = Request::new(Verb::Recover);
        let clock = commands.clock();
        let grace = grace.saturating_add(clock.leapt());
        request.call(script::recover(&self.queue.keys, self.worker(), limit, grace, clock.now_ms()));
        let answers = commands.request(&request, ANSWER).await.inspect_err(|_| self.doubt.notify_one())?;
        let answer = answers.into_iter().next_back().transpose()?;
        let Some(Value::Array(entries)) = answer else { return Err(commands.strange("to recover")) };
        let count = entries.len();
        let deliveries = self.lend(entries.into_iter().filter_map(recovered));
        // An answer that was lost before this one is still to be looked for.
        self.recovery_in_doubt.store(was_in_doubt || deliveries.len() < count, Ordering::Release);
        Ok(deliveries)
    }

    /// Makes deliveries, and remembers that they are held.
    pub(crate) fn lend(&self, entries: impl Iterator<Item = Lent>) -> Vec<Delivery> {
        let mut held = self.held();
        let deliver = |Lent { level, id, body, crashes }| {
            held.insert((level.place(), id.0));
            Delivery::new(Receipt::new(level.place(), id.0), body, crashes)
        };
        entries.map(deliver).collect()
    }

    /// What is held now, as place and entry.
    pub(crate) fn held_now(&self) -> HashSet<(u8, u128)> {
        self.held().clone()
    }

    fn held(&self) -> MutexGuard<'_, HashSet<(u8, u128)>> {
        // Nothing panics while it is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that Redis lent.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) level: Level,
    pub(crate) id: EntryId,
    pub(crate) body: bytes::Bytes,
    pub(crate) crashes: u32,
}

/// Reads level, entry, how often it was lent before, fields.
fn recovered(entry: Value) -> Option<Lent> {
    let Value::Array(parts) = entry else { return None };
    let [level, id, crashes, fields] = <[Value; 4]>::try_from(parts).ok()?;
    let (Value::Int(level), Value::BulkString(id), Value::Int(crashes)) = (level, id, crashes) else { return None };
    let level = Level::at(u8::try_from(level).ok()?)?;
    let Content::Message(body) = Content::read(level, fields)? else { return None };
    Some(Lent { level, id: EntryId::parse(&id)?, body, crashes: u32::try_from(crashes).unwrap_or(u32::MAX) })
}

/// The lanes of this process.
#[derive(Debug)]
pub(crate) struct Lanes {
    endpoint: Arc<Endpoint>,
    lanes: Mutex<HashMap<Consumer, Arc<Lane>>>,
}

impl Lanes {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, lanes: Mutex::default() }
    }

    pub(crate) fn get(&self, consumer: &Consumer, queues: &Queues) -> Arc<Lane> {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get(consumer) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane {
            consumer: consumer.clone(),
            queue: queues.get(&consumer.queue),
            reads: Link::new(Arc::clone(&self.endpoint), Quiet::Ask),
            held: Mutex::default(),
            recovery_in_doubt: AtomicBool::new(false),
            doubt: Notify::new(),
            taking: tokio::sync::Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        });
        lanes.insert(consumer.clone(), Arc::clone(&lane));
        lane
    }

    /// Takes note of what was settled. What was not answered stays held: it will be settled again.
    pub(crate) fn settled(
        &self,
        consumer: &Consumer,
        settlements: &[(Receipt, Settlement)],
        answers: &[Result<Settled, Trouble>],
    ) {
        let Some(lane) = self.lock().get(consumer).cloned() else { return };
        let mut held = lane.held();
        for ((receipt, _), answer) in settlements.iter().zip(answers) {
            if answer.is_ok() {
                held.remove(&(receipt.rank(), receipt.number()));
            }
        }
    }

    /// Drops what belongs to a worker that ended.
    pub(crate) fn forget(&self, worker: &Incarnation) {
        self.lock().retain(|consumer, _| consumer.worker != *worker);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Consumer, Arc<Lane>>> {
        // Nothing panics while it is held.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
