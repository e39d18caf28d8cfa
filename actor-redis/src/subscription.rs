//! One worker's way to one queue: its waiting reads, and what was delivered to it by them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actor_core::delivery::{Consumer, Delivery, Receipt, WorkerId};
use actor_core::settlement::{Settled, Settlement};
use redis::Value;
use tokio::sync::Notify;

use crate::connection::{ANSWER, Connections, Quiet};
use crate::endpoint::Endpoint;
use crate::entry::{Content, EntryId};
use crate::error::RequestError;
use crate::keys::Level;
use crate::place::Place;
use crate::queue::{Queue, Queues};
use crate::reading::Reading;
use crate::request::{Request, Verb};
use crate::script;

/// How many messages one call delivers at most, whatever was asked for.
pub(crate) const MOST: usize = 1_000;
/// How many messages one recovery delivers at most, so that its script does not hold up the server.
const MOST_RECOVERED: usize = 256;

/// One worker's way to one queue.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) consumer: Consumer,
    pub(crate) queue: Arc<Queue>,
    /// For its reads alone: whatever is behind a waiting read waits too.
    pub(crate) reads: Connections,
    /// Whether low priorities are read before high ones now and then.
    pub(crate) weighted: bool,
    /// What was delivered to this worker and is not settled. What else Redis believes delivered to it was in
    /// an answer that never arrived. Written by claims, recoveries and settlements.
    held: Mutex<HashSet<(u8, u128)>>,
    /// Whether the answer to a recovery may have been lost.
    pub(crate) recovery_in_doubt: AtomicBool,
    /// Wakes a claim that waits, once that is so: only the next one looks for what the answer held.
    pub(crate) doubt: Notify,
    /// Held while what Redis delivers changes other than by a read: by a recovery, and by whoever looks
    /// for what lost answers held. Else that would find what a running recovery is about to return.
    pub(crate) taking: tokio::sync::Mutex<()>,
    /// Held by the one claim that may run.
    pub(crate) reading: tokio::sync::Mutex<Reading>,
}

impl Subscription {
    pub(crate) fn worker(&self) -> &str {
        self.consumer.worker.as_str()
    }

    /// Delivers what dead workers held.
    pub(crate) async fn recover(
        &self,
        commands: &Connections,
        max: usize,
        grace: Duration,
    ) -> Result<Vec<Delivery>, RequestError> {
        let _taking = self.taking.lock().await;
        let limit = max.min(MOST_RECOVERED);
        if limit == 0 || *self.queue.paused.borrow() {
            return Ok(Vec::new());
        }
        let clock = commands.clock();
        let grace = grace.saturating_add(clock.leapt());
        let recover = script::recover(&self.queue.keys, self.worker(), limit, grace, clock.now_ms());
        self.take_by(commands, Verb::Recover, recover).await
    }

    /// Delivers what was parked for a worker with these abilities.
    pub(crate) async fn unpark(
        &self,
        commands: &Connections,
        abilities: &[&str],
        max: usize,
    ) -> Result<Vec<Delivery>, RequestError> {
        let _taking = self.taking.lock().await;
        let limit = max.min(MOST_RECOVERED);
        if limit == 0 || abilities.is_empty() {
            return Ok(Vec::new());
        }
        let unpark = script::unpark(&self.queue.keys, self.worker(), limit, abilities);
        self.take_by(commands, Verb::Unpark, unpark).await
    }

    /// Delivers what a script takes for this worker.
    async fn take_by(
        &self,
        commands: &Connections,
        verb: Verb,
        call: script::Call,
    ) -> Result<Vec<Delivery>, RequestError> {
        let was_in_doubt = self.recovery_in_doubt.swap(true, Ordering::AcqRel);
        let mut request = Request::new(verb);
        request.call(call);
        let answers = commands.request(&request, ANSWER).await.inspect_err(|_| self.doubt.notify_one())?;
        let answer = answers.into_iter().next_back().transpose()?;
        let Some(Value::Array(entries)) = answer else { return Err(commands.strange("to a script that delivers")) };
        let count = entries.len();
        let deliveries = self.deliver(entries.into_iter().filter_map(recovered));
        // An answer that was lost before this one is still to be looked for.
        self.recovery_in_doubt.store(was_in_doubt || deliveries.len() < count, Ordering::Release);
        Ok(deliveries)
    }

    /// Makes deliveries, and remembers that they are held.
    pub(crate) fn deliver(&self, entries: impl Iterator<Item = Delivered>) -> Vec<Delivery> {
        self.deliver_as(entries, false)
    }

    /// The same, of what was claimed out of turn or not.
    pub(crate) fn deliver_as(&self, entries: impl Iterator<Item = Delivered>, out_of_turn: bool) -> Vec<Delivery> {
        let mut held = self.held();
        let deliver = |Delivered { level, id, body, count }| {
            held.insert((level.place(), id.0));
            let DeliveryCount { crashes, interruptions } = count;
            let delivery = Delivery::new(Place { level, id }.receipt(), body).ranked(level.rank(out_of_turn));
            delivery.recovered(crashes, interruptions)
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

/// A message that Redis in flight.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) level: Level,
    pub(crate) id: EntryId,
    pub(crate) body: bytes::Bytes,
    pub(crate) count: DeliveryCount,
}

/// What an entry's delivery count holds: 1, its crashes, and 2^32 for each delivery that ended with a worker that
/// had begun to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeliveryCount {
    crashes: u32,
    interruptions: u32,
}

impl DeliveryCount {
    pub(crate) fn read(count: i64) -> Self {
        let count = u64::try_from(count).unwrap_or_default();
        let low = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self { crashes: low.saturating_sub(1), interruptions: u32::try_from(count >> 32).unwrap_or(u32::MAX) }
    }
}

/// Reads level, entry, delivery count, fields.
fn recovered(entry: Value) -> Option<Delivered> {
    let Value::Array(parts) = entry else { return None };
    let [level, id, count, fields] = <[Value; 4]>::try_from(parts).ok()?;
    let (Value::Int(level), Value::BulkString(id), Value::Int(count)) = (level, id, count) else { return None };
    let level = Level::at(u8::try_from(level).ok()?)?;
    let Content::Message(body) = Content::read(level, fields)? else { return None };
    Some(Delivered { level, id: EntryId::parse(&id)?, body, count: DeliveryCount::read(count) })
}

/// The subscriptions of this process.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    endpoint: Arc<Endpoint>,
    weighted: bool,
    subscriptions: Mutex<HashMap<Consumer, Arc<Subscription>>>,
}

impl Subscriptions {
    pub(crate) fn new(endpoint: Arc<Endpoint>, weighted: bool) -> Self {
        Self { endpoint, weighted, subscriptions: Mutex::default() }
    }

    pub(crate) fn get(&self, consumer: &Consumer, queues: &Queues) -> Arc<Subscription> {
        let mut subscriptions = self.lock();
        if let Some(subscription) = subscriptions.get(consumer) {
            return Arc::clone(subscription);
        }
        let subscription = Arc::new(Subscription {
            consumer: consumer.clone(),
            queue: queues.get(&consumer.queue),
            reads: Connections::new(Arc::clone(&self.endpoint), Quiet::Ask),
            weighted: self.weighted,
            held: Mutex::default(),
            recovery_in_doubt: AtomicBool::new(false),
            doubt: Notify::new(),
            taking: tokio::sync::Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        });
        subscriptions.insert(consumer.clone(), Arc::clone(&subscription));
        subscription
    }

    /// Takes note of what was settled. What was not answered stays held: it will be settled again.
    pub(crate) fn settled(
        &self,
        consumer: &Consumer,
        settlements: &[(Receipt, Settlement)],
        answers: &[Result<Settled, RequestError>],
    ) {
        let Some(subscription) = self.lock().get(consumer).cloned() else { return };
        let mut held = subscription.held();
        for ((receipt, _), answer) in settlements.iter().zip(answers) {
            if answer.is_ok()
                && let Some(Place { level, id }) = Place::of(receipt)
            {
                held.remove(&(level.place(), id.0));
            }
        }
    }

    /// Drops what belongs to a worker that ended.
    pub(crate) fn forget(&self, worker: &WorkerId) {
        self.lock().retain(|consumer, _| consumer.worker != *worker);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Consumer, Arc<Subscription>>> {
        // Nothing panics while it is held.
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_count_holds_crashes_and_interruptions() {
        for (count, crashes, interruptions) in
            [(1, 0, 0), (3, 2, 0), (1 << 32 | 1, 0, 1), (2 << 32 | 4, 3, 2), (0, 0, 0), (-1, 0, 0)]
        {
            assert_eq!(DeliveryCount::read(count), DeliveryCount { crashes, interruptions });
        }
    }
}
