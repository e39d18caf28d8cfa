//! Gathers the messages of actors that take several at once, by actor and key, until a batch is due.
//!
//! What waits here has no slot, so that a batch may be larger than the worker's concurrency. A batch takes one slot when
//! it starts. While no slot is free nothing more is gathered, because each message comes here through a slot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::outage::{Outage, until};
use super::panic::shielded;
use super::queue_session::QueueSession;
use super::service::Service;
use super::suspects::Admission;
use crate::MessageId;
use crate::actor::ImplementationDef;
use crate::call::{BatchDef, Item};
use crate::delivery::Delivery;

/// How many messages of a queue wait for their batches, at most. Beyond it, the batch that is due next starts at once.
const MOST: usize = 8_192;

/// How many bytes they have, at most.
const MOST_BYTES: usize = 64 << 20;

/// A message's argument, decoded. Where it is dropped without a run, a panic of its own ends nothing.
#[derive(Debug)]
pub(crate) struct Argument(Option<Item>);

impl Argument {
    pub(super) fn into_item(mut self) -> Item {
        self.0.take().expect("it is there until it is dropped")
    }
}

impl From<Item> for Argument {
    fn from(item: Item) -> Self {
        Self(Some(item))
    }
}

impl Drop for Argument {
    fn drop(&mut self) {
        shielded(|| drop(self.0.take()));
    }
}

/// What a message has to do with others.
#[derive(Debug)]
pub(crate) struct Belongs {
    pub(crate) implementation: &'static ImplementationDef,
    pub(crate) batch: BatchDef,
    pub(crate) id: MessageId,
    pub(crate) argument: Argument,
    pub(crate) key: Option<String>,
    /// Whether it runs in a batch of its own.
    pub(crate) alone: bool,
    /// The right to run it, where it is a suspect.
    pub(crate) admission: Option<Admission>,
}

/// A message that waits for its batch.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) delivery: Delivery,
    pub(crate) belongs: Box<Belongs>,
}

/// The messages that wait for their batches, by actor and key.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: HashMap<(&'static str, Option<String>), Group>,
    count: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    batch: BatchDef,
    /// Each with when it came.
    waiting: Vec<(Instant, Gathered)>,
    /// When the oldest of them came.
    oldest: Instant,
}

impl Group {
    /// A full one is due since its oldest message came.
    fn due(&self) -> Instant {
        if self.waiting.len() >= self.batch.max { self.oldest } else { self.oldest + self.batch.wait }
    }

    /// The first messages, by when they were sent: each came here through a task of its own.
    fn take(&mut self) -> Vec<Gathered> {
        self.waiting.sort_by_key(|(_, gathered)| gathered.belongs.id);
        let count = self.waiting.len().min(self.batch.max);
        let taken = self.waiting.drain(..count).map(|(_, gathered)| gathered).collect();
        self.oldest = self.waiting.iter().map(|(since, _)| *since).min().unwrap_or(self.oldest);
        taken
    }
}

impl Groups {
    /// Adds a message. Whether a batch may be due earlier than before.
    pub(crate) fn add(&mut self, gathered: Gathered) -> bool {
        self.count += 1;
        self.bytes += gathered.delivery.body.len();
        let belongs = &gathered.belongs;
        let (key, batch) = ((belongs.implementation.actor.name, belongs.key.clone()), belongs.batch);
        let now = Instant::now();
        let group = self.groups.entry(key).or_insert_with(|| Group { batch, waiting: Vec::new(), oldest: now });
        group.waiting.push((now, gathered));
        let count = group.waiting.len();
        count == 1 || count == batch.max || self.are_too_many()
    }

    fn are_too_many(&self) -> bool {
        self.count >= MOST || self.bytes >= MOST_BYTES
    }

    /// When the next batch is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let due = self.groups.values().map(Group::due).min();
        if self.are_too_many() { due.map(|due| due.min(Instant::now())) } else { due }
    }

    /// The batch that is due next, whether it is or not.
    pub(crate) fn take_next(&mut self) -> Vec<Gathered> {
        let next = self.groups.iter().min_by_key(|(_, group)| group.due()).map(|(key, _)| key.clone());
        let Some(key) = next else { return Vec::new() };
        let Some(group) = self.groups.get_mut(&key) else { return Vec::new() };
        let taken = group.take();
        if group.waiting.is_empty() {
            self.groups.remove(&key);
        }
        self.count -= taken.len();
        self.bytes -= taken.iter().map(|gathered| gathered.delivery.body.len()).sum::<usize>();
        taken
    }
}

/// One queue's messages that wait for their batches, in one session of a worker.
#[derive(Debug)]
pub(crate) struct Gathering {
    // Locked for a moment, by runs that add a message and by the service that takes batches. `None` once it is closed.
    groups: Mutex<Option<Groups>>,
    changed: Notify,
}

impl Gathering {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { groups: Mutex::new(Some(Groups::default())), changed: Notify::new() })
    }

    /// Adds a message. It comes back where the session no longer starts any.
    pub(crate) fn add(&self, gathered: Gathered) -> Result<(), Gathered> {
        let mut groups = self.lock();
        let Some(open) = groups.as_mut() else { return Err(gathered) };
        if open.add(gathered) {
            self.changed.notify_one();
        }
        Ok(())
    }

    fn next_due(&self) -> Option<Instant> {
        self.lock().as_ref().and_then(Groups::next_due)
    }

    fn take_next(&self) -> Vec<Gathered> {
        self.lock().as_mut().map(Groups::take_next).unwrap_or_default()
    }

    /// Takes nothing more, and returns what waits.
    fn close(&self) -> Vec<Gathered> {
        let groups = self.lock().take();
        groups
            .into_iter()
            .flat_map(|groups| groups.groups.into_values())
            .flat_map(|group| group.waiting)
            .map(|(_, gathered)| gathered)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Groups>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the batches of one queue, in one session of the worker: until it is halted, then it releases what waits.
pub(super) struct Gather {
    pub(super) session: Arc<QueueSession>,
}

impl Service for Gather {
    fn outage(&self) -> &Outage {
        &self.session.outage
    }

    async fn work(&mut self) {
        let (session, gathering) = (&self.session, &self.session.gathering);
        loop {
            let due = gathering.next_due();
            let is_due = due.is_some_and(|due| due <= Instant::now());
            tokio::select! {
                biased;
                () = session.halt.cancelled() => break,
                slot = session.served.slots.acquire(), if is_due => session.start_batch(gathering.take_next(), slot),
                () = gathering.changed.notified(), if !is_due => {}
                () = until(due), if !is_due => {}
            }
        }
        for gathered in gathering.close() {
            session.release(gathered.delivery);
        }
    }
}
