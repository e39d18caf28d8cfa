//! One worker's place at one queue, a consumer of its consumer group: what is in flight with it, and whether it may
//! claim. A claim reads only where this process and Redis agree on that; else it reclaims first.

mod claim;
mod delivered;
mod lanes;
mod reclaim;
mod state;
mod weight;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actor_core::delivery::{Consumer, Delivery, Receipt, WorkerId};
use actor_core::settlement::{Settled, Settlement};
use bytes::BytesMut;
use redis::Value;
use tokio::sync::Notify;

use self::delivered::{Delivered, DeliveryCount};
use self::state::{Reading, State};
use crate::cluster::Reach;
use crate::connection::Quiet;
use crate::error::RequestError;
use crate::link::{Link, Route, Servers};
use crate::place::{Place, RECEIPT_BYTES};
use crate::queue::{Queue, Queues};
use crate::request::Request;
use crate::script;

/// How many messages one call delivers at most, whatever was asked for.
const MOST: usize = 1_000;
/// How many messages one recovery delivers at most, so that its script does not hold up the server.
const MOST_RECOVERED: usize = 256;

/// One worker's place at one queue.
#[derive(Debug)]
pub(crate) struct QueueConsumer {
    consumer: Consumer,
    queue: Arc<Queue>,
    /// For its reads alone: whatever is behind a waiting read waits too.
    reads: Link,
    /// Whether low priorities are read before high ones now and then.
    weighted: bool,
    /// What was delivered to this worker and is not settled. What else Redis believes in flight with it was in
    /// an answer that never arrived. Written by claims, recoveries and settlements.
    held: Mutex<HashSet<Place>>,
    /// Held by the one claim that may run.
    reading: tokio::sync::Mutex<Reading>,
    /// Held while what is in flight here changes other than by a read: by a recovery, and by a reclaim. Else that
    /// would find what a running recovery is about to return.
    taking: tokio::sync::Mutex<State>,
    /// Wakes a claim that waits once a recovery got no answer: the next one reclaims.
    doubt: Notify,
}

impl QueueConsumer {
    fn worker(&self) -> &str {
        self.consumer.worker.as_str()
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The way of its reads.
    fn reads(&self) -> Route<'_> {
        self.reads.to(&self.queue)
    }

    /// Whether a claim may read. A recovery under way is waited for by nobody.
    fn is_in_step(&self, reading: &Reading) -> bool {
        reading.state == State::InStep && self.taking.try_lock().map_or(true, |taking| *taking == State::InStep)
    }

    /// Delivers what dead workers held.
    pub(crate) async fn recover(
        &self,
        commands: Route<'_>,
        max: usize,
        grace: Duration,
    ) -> Result<Vec<Delivery>, RequestError> {
        let taking = self.taking.lock().await;
        let limit = max.min(MOST_RECOVERED);
        if limit == 0 || *self.queue.paused.borrow() {
            return Ok(Vec::new());
        }
        let clock = commands.clock();
        let grace = grace.saturating_add(clock.leapt());
        let recover = script::recover(&self.queue.keys, self.worker(), limit, grace, clock.now_ms());
        self.take(commands, taking, Request::calling("recover", recover)).await
    }

    /// Delivers what was parked for a worker with these abilities.
    pub(crate) async fn unpark(
        &self,
        commands: Route<'_>,
        abilities: &[&str],
        max: usize,
    ) -> Result<Vec<Delivery>, RequestError> {
        let taking = self.taking.lock().await;
        let limit = max.min(MOST_RECOVERED);
        if limit == 0 || abilities.is_empty() {
            return Ok(Vec::new());
        }
        let unpark = script::unpark(&self.queue.keys, self.worker(), limit, abilities);
        self.take(commands, taking, Request::calling("unpark", unpark)).await
    }

    /// Delivers what a request for it takes for this worker.
    async fn take(
        &self,
        commands: Route<'_>,
        mut taking: tokio::sync::MutexGuard<'_, State>,
        request: Request,
    ) -> Result<Vec<Delivery>, RequestError> {
        // Until the answer is here it may be lost. An answer that was lost before is still to be reclaimed.
        let before = std::mem::replace(&mut *taking, State::Behind);
        match commands.run::<Vec<Value>>(request).await {
            Ok(entries) => {
                let count = entries.len();
                let deliveries = self.hold(entries.into_iter().filter_map(Delivered::read), false);
                if deliveries.len() == count {
                    *taking = before;
                }
                Ok(deliveries)
            }
            Err(error) => {
                drop(taking);
                self.doubt.notify_one();
                Err(error)
            }
        }
    }

    /// Makes deliveries of what was claimed out of turn or not, and remembers that they are held.
    fn hold(&self, entries: impl IntoIterator<Item = Delivered>, out_of_turn: bool) -> Vec<Delivery> {
        let mut held = self.held();
        let entries = entries.into_iter();
        let mut receipts = BytesMut::with_capacity(RECEIPT_BYTES * entries.size_hint().1.unwrap_or_default());
        let deliver = |Delivered { place, body, count, suspect, holds, cancelled }| {
            held.insert(place);
            let DeliveryCount { crashes, interruptions } = count;
            let delivery = Delivery::new(place.receipt(suspect, &holds, &mut receipts), body)
                .ranked(place.level.rank(out_of_turn));
            delivery.recovered(crashes, interruptions).cancelled(cancelled)
        };
        entries.map(deliver).collect()
    }

    /// What was delivered and is not settled.
    fn held(&self) -> MutexGuard<'_, HashSet<Place>> {
        // Nothing panics while it is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The consumers of this process.
#[derive(Debug)]
pub(crate) struct Consumers {
    servers: Arc<Servers>,
    weighted: bool,
    consumers: Mutex<HashMap<Consumer, Arc<QueueConsumer>>>,
}

impl Consumers {
    pub(crate) fn new(servers: Arc<Servers>, weighted: bool) -> Self {
        Self { servers, weighted, consumers: Mutex::default() }
    }

    pub(crate) fn get(&self, consumer: &Consumer, queues: &Queues) -> Arc<QueueConsumer> {
        let mut consumers = self.lock();
        if let Some(known) = consumers.get(consumer) {
            return Arc::clone(known);
        }
        let new = Arc::new(QueueConsumer {
            consumer: consumer.clone(),
            queue: queues.get(&consumer.queue),
            reads: self.servers.link(Quiet::Ask, Reach::One),
            weighted: self.weighted,
            held: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            taking: tokio::sync::Mutex::default(),
            doubt: Notify::new(),
        });
        consumers.insert(consumer.clone(), Arc::clone(&new));
        new
    }

    /// Takes note of what was settled. What was not answered stays held: it will be settled again.
    pub(crate) fn settled(
        &self,
        consumer: &Consumer,
        settlements: &[(Receipt, Settlement)],
        answers: &[Result<Settled, RequestError>],
    ) {
        let Some(consumer) = self.lock().get(consumer).cloned() else { return };
        let mut held = consumer.held();
        for ((receipt, _), answer) in settlements.iter().zip(answers) {
            if answer.is_ok()
                && let Some(place) = Place::of(receipt)
            {
                held.remove(&place);
            }
        }
    }

    /// Drops what belongs to a worker that ended.
    pub(crate) fn forget(&self, worker: &WorkerId) {
        self.lock().retain(|consumer, _| consumer.worker != *worker);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Consumer, Arc<QueueConsumer>>> {
        // Nothing panics while it is held.
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
