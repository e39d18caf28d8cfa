//! What this process knows of a queue.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use actor_core::QueueName;
use actor_core::digest::Digest;
use redis::Cmd;
use tokio::sync::watch;

use crate::batcher::Batcher;
use crate::clock::Clock;
use crate::cluster::slot;
use crate::keys::{self, Keys};
use crate::ticks::Ticks;

/// A queue: its keys, and whether it is paused.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: QueueName,
    pub(crate) keys: Keys,
    /// The hash slot of its keys, in a cluster.
    pub(crate) slot: u16,
    /// The clock of whichever member of a cluster renewed its leases last.
    pub(crate) clock: Clock,
    /// Written by every renewal, and read by whoever claims.
    pub(crate) paused: watch::Sender<bool>,
    pub(crate) batcher: Batcher,
    /// When its next schedule is due.
    pub(crate) ticks: Ticks,
    /// Dead letters that those of this process removed.
    pruned: Mutex<Digest>,
    /// Whether this process has added it to the set of queues when it sent to it, or may not. Workers
    /// say again which queues there are; a sender who is forbidden the set asks for it once.
    announced: AtomicBool,
    /// Whether it has a gate, as far as this process knows.
    gated: AtomicBool,
    /// Whether more was due than the last check moved.
    overdue: AtomicBool,
}

impl Queue {
    /// Whether messages may wait in lanes here.
    pub(crate) fn is_gated(&self) -> bool {
        self.gated.load(Ordering::Relaxed)
    }

    /// Takes note that it has a gate.
    pub(crate) fn set_gated(&self) {
        // Written once: it is read for every claim.
        if !self.is_gated() {
            self.gated.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a settlement should move messages that are due.
    pub(crate) fn is_overdue(&self) -> bool {
        self.overdue.load(Ordering::Relaxed) && !*self.paused.borrow()
    }

    /// Takes note of whether more is due than a check moved.
    pub(crate) fn set_overdue(&self, overdue: bool) {
        if self.overdue.load(Ordering::Relaxed) != overdue {
            self.overdue.store(overdue, Ordering::Relaxed);
        }
    }

    /// Takes what a worker's heartbeat found.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.send_if_modified(|known| {
            let changed = *known != paused;
            if changed {
                tracing::info!(queue = %self.name, paused, "the queue was paused or resumed");
            }
            *known = paused;
            changed
        });
        // A heartbeat is also when what was left to be logged is.
        self.note_pruned(0);
    }

    /// Takes note of dead letters that were removed because they were too many or too old.
    pub(crate) fn note_pruned(&self, count: u64) {
        let sum = self.pruned.lock().unwrap_or_else(PoisonError::into_inner).add(count);
        if let Some(pruned) = sum {
            tracing::warn!(queue = %self.name, pruned, "dead letters pruned: they were too many or too old");
        }
    }

    /// The command that adds it to the set of queues.
    pub(crate) fn announcement(&self, namespace: &str) -> Cmd {
        redis::cmd("SADD").arg(keys::queues(namespace)).arg(self.name.as_str()).take()
    }

    /// The same command, once a process, until it is forgotten.
    pub(crate) fn first_announcement(&self, namespace: &str) -> Option<Cmd> {
        let is_first = !self.announced.load(Ordering::Relaxed) && !self.announced.swap(true, Ordering::Relaxed);
        is_first.then(|| self.announcement(namespace))
    }

    /// Adds it to the set of queues again at the next occasion.
    pub(crate) fn forget_announcement(&self) {
        self.announced.store(false, Ordering::Relaxed);
    }
}

/// The queues that this process has met in one namespace.
#[derive(Debug)]
pub(crate) struct Queues {
    namespace: Box<str>,
    /// The hash slot of the set of queues.
    slot: u16,
    clock: Clock,
    met: RwLock<HashMap<QueueName, Arc<Queue>>>,
}

impl Queues {
    pub(crate) fn new(namespace: &str) -> Self {
        let slot = slot::of_tag(namespace);
        Self { namespace: namespace.into(), slot, clock: Clock::default(), met: RwLock::default() }
    }

    /// The hash slot of the set of queues, in a cluster.
    pub(crate) fn slot(&self) -> u16 {
        self.slot
    }

    /// A clock by which nothing is decided: the set has no times.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn get(&self, name: &QueueName) -> Arc<Queue> {
        let met = self.met.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = met.get(name) {
            return Arc::clone(queue);
        }
        drop(met);
        let mut met = self.met.write().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Queue {
                name: name.clone(),
                keys: Keys::new(&self.namespace, name),
                slot: slot::of_tag(&keys::tag(&self.namespace, name)),
                clock: Clock::default(),
                paused: watch::Sender::new(false),
                batcher: Batcher::default(),
                ticks: Ticks::default(),
                pruned: Mutex::default(),
                announced: AtomicBool::new(false),
                gated: AtomicBool::new(false),
                overdue: AtomicBool::new(false),
            })
        };
        Arc::clone(met.entry(name.clone()).or_insert_with(new))
    }
}
