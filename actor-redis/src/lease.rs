//! Leases: a worker's claim to be alive, renewed by its heartbeat.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actor_core::QueueName;
use actor_core::delivery::{Renewal, WorkerId};

use crate::cluster::Reach;
use crate::connection::{ANSWER, Quiet};
use crate::error::RequestError;
use crate::link::{Link, Servers};
use crate::queue::{Queue, Queues};
use crate::request::Request;
use crate::script::{self, Call};
use crate::spread::Spread;

/// The shortest time that a renewal waits for its answer.
const SHORTEST_ANSWER: Duration = Duration::from_millis(500);

/// Every so many renewals say again which queues there are: the list of them is an index, and an index may
/// be lost.
const ANNOUNCED_EVERY: u32 = 16;

/// The leases of this process's workers, each with a connection of its own to each server: a renewal comes from the
/// heartbeat's thread and runtime, and must wait for nothing else.
#[derive(Debug)]
pub(crate) struct Leases {
    servers: Arc<Servers>,
    connections: Mutex<HashMap<WorkerId, Arc<LeaseConnection>>>,
}

/// What one worker's lease needs.
#[derive(Debug)]
struct LeaseConnection {
    link: Link,
    renewals: AtomicU32,
    /// When the last renewal said that the lease ends, in each queue. A server that knows of an earlier end has lost that
    /// renewal, and what others renewed since, which says nothing of whether they live.
    said: Mutex<HashMap<QueueName, u64>>,
}

impl Leases {
    pub(crate) fn new(servers: Arc<Servers>) -> Self {
        Self { servers, connections: Mutex::default() }
    }

    /// Begins a lease, and makes what the queues still lack.
    pub(crate) async fn register(
        &self,
        worker: &WorkerId,
        known: &Queues,
        names: &[QueueName],
        lease: Duration,
    ) -> Result<(), RequestError> {
        let queues: Vec<_> = names.iter().map(|name| known.get(name)).collect();
        queues.iter().for_each(|queue| self.servers.clock(queue).keeps(lease));
        let link = &self.connection(worker).link;
        let write = |queue: &Queue, request: &mut Request| {
            request.call(script::open(&queue.keys));
            request.call(script::register(&queue.keys, worker.as_str(), lease));
        };
        let spread = Spread { name: "register", queues: &queues, write, announce: Some(known), within: ANSWER };
        let asked = Instant::now();
        for (queue, answers) in queues.iter().zip(spread.ask(link).await.answers) {
            let mut answers = answers?.into_iter();
            answers.next().transpose()?;
            let registered = answers.next().transpose()?.as_ref().and_then(script::registered);
            let (paused, gated, now_us) = registered.ok_or_else(|| link.to(queue).strange("to register"))?;
            queue.set_paused(paused);
            if gated {
                queue.set_gated();
            }
            self.servers.clock(queue).measure(asked, now_us);
        }
        Ok(())
    }

    /// Prolongs a lease. Of a cluster each primary prolongs that of its queues.
    ///
    /// # Errors
    ///
    /// No queue's lease was prolonged, or one was refused for a reason that stays.
    pub(crate) async fn renew(
        &self,
        worker: &WorkerId,
        known: &Queues,
        names: &[QueueName],
        lease: Duration,
    ) -> Result<Renewal, RequestError> {
        let queues: Vec<_> = names.iter().map(|name| known.get(name)).collect();
        let lease_connection = self.connection(worker);
        let link = &lease_connection.link;
        let said = lease_connection.said().clone();
        let write = |queue: &Queue, request: &mut Request| {
            request.call(script::renew(&queue.keys, worker.as_str(), lease, said.get(&queue.name).copied()));
        };
        let renewals = lease_connection.renewals.fetch_add(1, Ordering::Relaxed) + 1;
        let announce = renewals.is_multiple_of(ANNOUNCED_EVERY).then_some(known);
        // Short, so that a connection that hangs is replaced while the lease still stands; where other servers wait for
        // it, so short that the worker knows of the others' answers before the next renewal.
        let share = if matches!(*self.servers, Servers::One(_)) { 3 } else { 6 };
        let within = (lease / share).clamp(SHORTEST_ANSWER, ANSWER);
        let asked = Instant::now();
        let answered = Spread { name: "renew", queues: &queues, write, announce, within }.ask(link).await;
        let (mut all, mut failure) = (Renewal::held(), None);
        for (queue, answers) in queues.iter().zip(answered.answers) {
            let answer = answers.and_then(|mut answers| answers.pop().transpose());
            let renewed = match answer.map(|answer| answer.as_ref().and_then(script::renewed)) {
                Ok(renewed) => renewed.ok_or_else(|| link.to(queue).strange("to renew"))?,
                // Another server is away, which is no reason to do without this one.
                Err(error) if matches!(*self.servers, Servers::Cluster(_)) && !error.is_lasting_refusal() => {
                    all.unanswered.push(queue.name.clone());
                    all.took = answered.at.map(|at| at.duration_since(asked));
                    failure = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            queue.set_paused(renewed.paused);
            if renewed.gated {
                queue.set_gated();
            }
            all.held &= renewed.held;
            all.forgotten.extend(renewed.forgotten.then(|| queue.name.clone()));
            all.deaths |= renewed.deaths;
            all.parked.extend(renewed.parked.then(|| queue.name.clone()));
            self.servers.clock(queue).measure(asked, renewed.now_us);
            lease_connection.said().insert(queue.name.clone(), renewed.ends(lease));
        }
        match failure {
            Some(error) if all.unanswered.len() == queues.len() => Err(error),
            _ if all.held => Ok(all),
            _ => Ok(Renewal::lost()),
        }
    }

    /// Notes that a worker has begun to stop.
    pub(crate) async fn stopping(
        &self,
        worker: &WorkerId,
        known: &Queues,
        names: &[QueueName],
    ) -> Result<(), RequestError> {
        let call = |queue: &Queue| script::stopping(&queue.keys, worker.as_str());
        call_each(&self.connection(worker).link, "stopping", known, names, call).await
    }

    /// Ends a lease.
    pub(crate) async fn deregister(
        &self,
        worker: &WorkerId,
        known: &Queues,
        names: &[QueueName],
    ) -> Result<(), RequestError> {
        let lease_connection = self.connection(worker);
        self.lock().remove(worker);
        let call = |queue: &Queue| script::deregister(&queue.keys, worker.as_str());
        call_each(&lease_connection.link, "deregister", known, names, call).await
    }

    fn connection(&self, worker: &WorkerId) -> Arc<LeaseConnection> {
        let link = || self.servers.link(Quiet::Trust, Reach::All);
        let new = || Arc::new(LeaseConnection { link: link(), renewals: AtomicU32::new(0), said: Mutex::default() });
        Arc::clone(self.lock().entry(worker.clone()).or_insert_with(new))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, Arc<LeaseConnection>>> {
        // Nothing panics while it is held.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LeaseConnection {
    fn said(&self) -> MutexGuard<'_, HashMap<QueueName, u64>> {
        // Nothing panics while it is held.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls a script of each queue, in one round trip to each server.
async fn call_each(
    link: &Link,
    name: &'static str,
    known: &Queues,
    names: &[QueueName],
    call: impl Fn(&Queue) -> Call + Sync,
) -> Result<(), RequestError> {
    let queues: Vec<_> = names.iter().map(|name| known.get(name)).collect();
    let write = |queue: &Queue, request: &mut Request| _ = request.call(call(queue));
    let answered = Spread { name, queues: &queues, write, announce: None, within: ANSWER }.ask(link).await;
    answered.answers.into_iter().try_for_each(|answers| answers?.into_iter().try_for_each(|answer| answer.map(drop)))
}
