//! Leases: a worker's claim to be alive, renewed by its heartbeat.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actor_core::QueueName;
use actor_core::delivery::{Renewal, WorkerId};

use crate::connection::{ANSWER, Connections, Quiet};
use crate::endpoint::Endpoint;
use crate::error::RequestError;
use crate::queue::Queues;
use crate::request::Request;
use crate::script::{self, Call};

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
    connections: Mutex<HashMap<WorkerId, Arc<LeaseConnection>>>,
}

/// What one worker's lease needs.
#[derive(Debug)]
struct LeaseConnection {
    connections: Connections,
    renewals: AtomicU32,
}

impl Leases {
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self { endpoint, connections: Mutex::default() }
    }

    /// Begins a lease, and makes what the queues still lack.
    pub(crate) async fn register(
        &self,
        worker: &WorkerId,
        known: &Queues,
        names: &[QueueName],
        lease: Duration,
    ) -> Result<(), RequestError> {
        self.endpoint.clock.keeps(lease);
        let queues: Vec<_> = names.iter().map(|name| known.get(name)).collect();
        let lease_connection = self.connection(worker);
        let connections = &lease_connection.connections;
        let mut request = Request::new("register");
        for queue in &queues {
            request.call(script::open(&queue.keys));
            request.call(script::register(&queue.keys, worker.as_str(), lease));
        }
        // Last, since a user may be forbidden this key: then the queue is only not listed.
        for queue in &queues {
            request.command(queue.announcement(known.namespace()));
        }
        let asked = Instant::now();
        let mut answers = connections.request(&request, ANSWER).await?.into_iter();
        for queue in &queues {
            answers.next().transpose()?;
            let registered = answers.next().transpose()?.as_ref().and_then(script::registered);
            let (paused, now_us) = registered.ok_or_else(|| connections.strange("to register"))?;
            queue.set_paused(paused);
            self.endpoint.clock.measure(asked, now_us);
        }
        Ok(())
    }

    /// Prolongs a lease.
    pub(crate) async fn renew(
        &self,
        worker: &WorkerId,
        known: &Queues,
        names: &[QueueName],
        lease: Duration,
    ) -> Result<Renewal, RequestError> {
        let queues: Vec<_> = names.iter().map(|name| known.get(name)).collect();
        let lease_connection = self.connection(worker);
        let connections = &lease_connection.connections;
        let mut request = Request::with_capacity("renew", queues.len());
        for queue in &queues {
            request.call(script::renew(&queue.keys, worker.as_str(), lease));
        }
        if (lease_connection.renewals.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(ANNOUNCED_EVERY) {
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
        let answers = connections.request(&request, within).await?;
        let mut all = Renewal::held();
        for (queue, answer) in queues.iter().zip(answers) {
            let renewed = script::renewed(&answer?).ok_or_else(|| connections.strange("to renew"))?;
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
        worker: &WorkerId,
        known: &Queues,
        names: &[QueueName],
    ) -> Result<(), RequestError> {
        let of_each = names.iter().map(|name| script::stopping(&known.get(name).keys, worker.as_str()));
        call_each(&self.connection(worker).connections, "stopping", of_each).await
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
        let of_each = names.iter().map(|name| script::deregister(&known.get(name).keys, worker.as_str()));
        call_each(&lease_connection.connections, "deregister", of_each).await
    }

    fn connection(&self, worker: &WorkerId) -> Arc<LeaseConnection> {
        let connections = || Connections::new(Arc::clone(&self.endpoint), Quiet::Trust);
        let new = || Arc::new(LeaseConnection { connections: connections(), renewals: AtomicU32::new(0) });
        Arc::clone(self.lock().entry(worker.clone()).or_insert_with(new))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, Arc<LeaseConnection>>> {
        // Nothing panics while it is held.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls a script of each queue, in one round trip.
async fn call_each(
    connections: &Connections,
    name: &'static str,
    calls: impl Iterator<Item = Call>,
) -> Result<(), RequestError> {
    let mut request = Request::new(name);
    calls.for_each(|call| _ = request.call(call));
    if request.is_empty() {
        return Ok(());
    }
    connections.request(&request, ANSWER).await?.into_iter().try_for_each(|answer| answer.map(drop))
}
