//! Leases: a worker's claim to be alive, renewed by its heartbeat.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actor_core::QueueName;
use actor_core::delivery::{Incarnation, Renewal};

use crate::connection::{ANSWER, Link, Quiet};
use crate::endpoint::Endpoint;
use crate::error::Trouble;
use crate::queue::Queues;
use crate::request::{Request, Verb};
use crate::script;

/// The shortest time that a renewal waits for its answer.
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);

/// Every so many renewals say again which queues there are: the list of them is an index, and an index may
/// be lost.
const ANNOUNCED_EVERY: u32 = 16;

/// The leases of this process's workers, each with a connection of its own: a renewal comes from the
/// heartbeat's thread and runtime, and must wait for nothing else.
#[derive(Debug)]
pub(crate) struct Leases {
    endpoint: Arc<Endpoint>,
    kept: Mutex<HashMap<Incarnation, Arc<Kept>>>,
}

/// What one worker's lease needs.
#[derive(Debug)]
struct Kept {
    link: Link,
    renewals: AtomicU32,
}

impl Leases {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, kept: Mutex::default() }
    }

    /// Begins a lease, and makes what the queues still lack.
    pub(crate) async fn enroll(
        &self,
        worker: &Incarnation,
        known: &Queues,
        names: &[QueueName],
        lease: Duration,
    ) -> Result<(), Trouble> {
        self.endpoint.clock.keeps(lease);
        let queues: Vec<_> = names.iter().map(|name| known.get(name)).collect();
        let kept = self.kept(worker);
        let link = &kept.link;
        let mut request = Request::new(Verb::Enroll);
        for queue in &queues {
            request.call(script::open(&queue.keys));
            request.call(script::enroll(&queue.keys, worker.as_str(), lease));
        }
        // Last, since a user may be forbidden this key: then the queue is only not listed.
        for queue in &queues {
            request.command(queue.announcement(known.namespace()));
        }
        let asked = Instant::now();
        let mut answers = link.request(&request, ANSWER).await?.into_iter();
        for queue in &queues {
            answers.next().transpose()?;
            let enrolled = answers.next().transpose()?.as_ref().and_then(script::enrolled);
            let enrolled = enrolled.ok_or_else(|| link.strange("to enroll"))?;
            queue.set_paused(enrolled.paused);
            self.endpoint.clock.measure(asked, enrolled.now_us);
        }
        Ok(())
    }

    /// Prolongs a lease.
    pub(crate) async fn renew(
        &self,
        worker: &Incarnation,
        known: &Queues,
        names: &[QueueName],
        lease: Duration,
    ) -> Result<Renewal, Trouble> {
        let queues: Vec<_> = names.iter().map(|name| known.get(name)).collect();
        let kept = self.kept(worker);
        let link = &kept.link;
        let mut request = Request::with_capacity(Verb::Renew, queues.len());
        for queue in &queues {
            request.call(script::renew(&queue.keys, worker.as_str(), lease));
        }
        if (kept.renewals.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(ANNOUNCED_EVERY) {
            for queue in &queues {
                request.command(queue.announcement(known.namespace()));
            }
        }
        if request.is_empty() {
            return Ok(Renewal::held());
        }
        // Short, so that a connection that hangs is replaced while the lease still stands.
        let within = (lease / 3).clamp(SHORTEST_ANSWER, ANSWER);
        let asked = Instant::now();
        let answers = link.request(&request, within).await?;
        let mut all = Renewal::held();
        for (queue, answer) in queues.iter().zip(answers) {
            let renewed = script::renewed(&answer?).ok_or_else(|| link.strange("to renew"))?;
            queue.set_paused(renewed.paused);
            all.held &= renewed.held;
            all.forgotten |= renewed.forgotten;
            all.deaths |= renewed.deaths;
            all.parked.extend(renewed.parked.then(|| queue.name.clone()));
            self.endpoint.clock.measure(asked, renewed.now_us);
        }
        Ok(if all.held { all } else { Renewal::lost() })
    }

    /// Notes that a worker has begun to stop.
    pub(crate) async fn stopping(
        &self,
        worker: &Incarnation,
        known: &Queues,
        names: &[QueueName],
    ) -> Result<(), Trouble> {
        let kept = self.kept(worker);
        let mut request = Request::with_capacity(Verb::Stopping, names.len());
        for name in names {
            request.call(script::stopping(&known.get(name).keys, worker.as_str()));
        }
        if request.is_empty() {
            return Ok(());
        }
        kept.link.request(&request, ANSWER).await?.into_iter().try_for_each(|answer| answer.map(drop))
    }

    /// Ends a lease.
    pub(crate) async fn retire(
        &self,
        worker: &Incarnation,
        known: &Queues,
        names: &[QueueName],
    ) -> Result<(), Trouble> {
        let kept = self.kept(worker);
        self.lock().remove(worker);
        let link = &kept.link;
        let mut request = Request::with_capacity(Verb::Retire, names.len());
        for name in names {
            request.call(script::retire(&known.get(name).keys, worker.as_str()));
        }
        if request.is_empty() {
            return Ok(());
        }
        link.request(&request, ANSWER).await?.into_iter().try_for_each(|answer| answer.map(drop))
    }

    fn kept(&self, worker: &Incarnation) -> Arc<Kept> {
        let link = || Link::new(Arc::clone(&self.endpoint), Quiet::Trust);
        let new = || Arc::new(Kept { link: link(), renewals: AtomicU32::new(0) });
        Arc::clone(self.lock().entry(worker.clone()).or_insert_with(new))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Incarnation, Arc<Kept>>> {
        // Nothing panics while it is held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
