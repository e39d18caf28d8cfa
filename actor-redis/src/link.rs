//! Which server a request goes to: the broker's one server, or the member of a cluster that serves the queue.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::{Cmd, Value};

use crate::clock::Clock;
use crate::cluster::{Cluster, Members, Reach, SlotRoute};
use crate::connect::Live;
use crate::connection::{Connections, Quiet};
use crate::endpoint::Endpoint;
use crate::error::{Error, RequestError};
use crate::exchange::Exchange;
use crate::queue::{Queue, Queues};
use crate::request::{Answer, Request};

/// Where a broker's queues are.
#[derive(Debug)]
pub(crate) enum Servers {
    One(Arc<Endpoint>),
    Cluster(Arc<Cluster>),
}

impl Servers {
    /// Connections for one purpose.
    pub(crate) fn link(&self, quiet: Quiet, reach: Reach) -> Link {
        match self {
            Self::One(endpoint) => Link::One(Arc::new(Connections::new(Arc::clone(endpoint), quiet))),
            Self::Cluster(cluster) => Link::Cluster(Arc::clone(cluster), Members::new(quiet, reach)),
        }
    }

    /// Redis's time.
    pub(crate) fn now(&self) -> SystemTime {
        match self {
            Self::One(endpoint) => endpoint.clock.now(),
            Self::Cluster(cluster) => cluster.now(),
        }
    }

    /// The clock by which a queue's leases are.
    pub(crate) fn clock<'a>(&'a self, queue: &'a Queue) -> &'a Clock {
        match self {
            Self::One(endpoint) => &endpoint.clock,
            Self::Cluster(_) => &queue.clock,
        }
    }
}

/// The connections for one purpose: to one server, or to members of a cluster.
#[derive(Debug)]
pub(crate) enum Link {
    One(Arc<Connections>),
    Cluster(Arc<Cluster>, Members),
}

impl Link {
    /// The way of a queue's requests.
    pub(crate) fn to<'a>(&'a self, queue: &'a Queue) -> Route<'a> {
        self.to_slot(queue.slot, &queue.clock)
    }

    /// The way to the set of queues.
    pub(crate) fn to_set<'a>(&'a self, queues: &'a Queues) -> Route<'a> {
        self.to_slot(queues.slot(), queues.clock())
    }

    /// The way to a slot, whose clock is of interest to its owner alone.
    pub(crate) fn to_slot<'a>(&'a self, slot: u16, clock: &'a Clock) -> Route<'a> {
        match self {
            Self::One(connections) => Route::One(connections),
            Self::Cluster(cluster, members) => Route::Slot(SlotRoute { cluster, members, slot, clock }),
        }
    }

    /// Makes sure that the server, or some member, is there.
    pub(crate) async fn ready(&self) -> Result<(), Arc<Error>> {
        match self {
            Self::One(connections) => connections.ready().await,
            Self::Cluster(cluster, _) => cluster.ready().await,
        }
    }

    /// The connections to the server that has a queue, for what is asked of several queues there.
    pub(crate) async fn connections(&self, queue: &Queue) -> Result<Arc<Connections>, Arc<Error>> {
        match self {
            Self::One(connections) => Ok(Arc::clone(connections)),
            Self::Cluster(cluster, members) => cluster.connections(members, queue.slot).await,
        }
    }

    /// The connections to each server that has queues, or would have.
    pub(crate) async fn all(&self) -> Result<Vec<Arc<Connections>>, Arc<Error>> {
        match self {
            Self::One(connections) => Ok(vec![Arc::clone(connections)]),
            Self::Cluster(cluster, members) => cluster.all(members).await,
        }
    }

    /// Connects to each of these servers. Those of a cluster that are away are left out: that is an outage of their
    /// queues alone.
    ///
    /// # Errors
    ///
    /// One of them cannot be used.
    pub(crate) async fn each_live(&self) -> Result<Vec<Arc<Live>>, Arc<Error>> {
        let mut each = Vec::new();
        for connections in self.all().await? {
            match connections.live().await {
                Ok(live) => each.push(live),
                Err(error) if matches!(self, Self::Cluster(..)) && error.is_transient() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(each)
    }

    /// Sends a request about queues of one server.
    ///
    /// # Errors
    ///
    /// There is no answer to any of its commands.
    pub(crate) async fn exchange(
        &self,
        connections: &Connections,
        request: &Request,
        exchange: &mut (impl Exchange + Send),
    ) -> Result<Vec<Answer>, RequestError> {
        match self {
            Self::One(_) => exchange.send(connections, request, &[]).await,
            Self::Cluster(cluster, members) => {
                Box::pin(cluster.request(members, connections.endpoint(), request, exchange)).await
            }
        }
    }
}

/// The way of one queue's requests. On a cluster it follows the queue's slot from member to member.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Route<'a> {
    One(&'a Connections),
    Slot(SlotRoute<'a>),
}

impl<'a> Route<'a> {
    /// Sends commands together. The answers stand in the commands' order.
    ///
    /// # Errors
    ///
    /// There is no answer to any of them.
    pub(crate) async fn request(self, request: &Request, within: Duration) -> Result<Vec<Answer>, RequestError> {
        match self {
            Self::One(connections) => connections.request(request, within).await,
            // Boxed, so that a request to one server is small.
            Self::Slot(route) => Box::pin(route.request(request, within)).await,
        }
    }

    /// Sends one command.
    ///
    /// # Errors
    ///
    /// Also where Redis refused.
    pub(crate) async fn command(self, command: &Cmd, within: Duration) -> Result<Value, RequestError> {
        match self {
            Self::One(connections) => connections.command(command, within).await,
            Self::Slot(route) => Box::pin(route.command(command, within)).await,
        }
    }

    /// Sends a request to the server where a read of `reads` waits.
    pub(crate) async fn request_beside(
        self,
        reads: Self,
        request: &Request,
        within: Duration,
    ) -> Result<Vec<Answer>, RequestError> {
        match (self, reads) {
            (Self::Slot(route), Self::Slot(reads)) => Box::pin(route.request_beside(reads, request, within)).await,
            _ => self.request(request, within).await,
        }
    }

    /// Makes sure that there is a connection, and that what was sent on those that were given up, in whatever
    /// runtime, can no longer happen.
    pub(crate) async fn ready(self) -> Result<(), Arc<Error>> {
        match self {
            Self::One(connections) => connections.ready().await,
            Self::Slot(route) => Box::pin(route.ready()).await,
        }
    }

    /// Takes a new connection for the next request, in every runtime.
    pub(crate) fn give_up(self) {
        match self {
            Self::One(connections) => connections.give_up(),
            Self::Slot(route) => route.give_up(),
        }
    }

    /// Completes once another server than at first serves the queue, and the last request did not go there. Never, where
    /// there is but one.
    pub(crate) async fn moved(self) {
        match self {
            Self::One(_) => std::future::pending().await,
            Self::Slot(route) => route.moved().await,
        }
    }

    /// The error of the last request, which is waited for no longer.
    pub(crate) fn silence(self, within: Duration) -> RequestError {
        let address = match self {
            Self::One(connections) => connections.address(),
            Self::Slot(route) => route.last().map_or_else(|| route.address(), |last| last.address()),
        };
        RequestError::silence(address, within)
    }

    /// Which connection the last request went on, of all that this process made; 0 while there is none.
    pub(crate) fn made(self) -> u64 {
        match self {
            Self::One(connections) => connections.made(),
            Self::Slot(route) => route.last().map_or(0, |connections| connections.made()),
        }
    }

    /// The id of the last request's connection, for `CLIENT UNBLOCK`; `None` while there is none.
    pub(crate) fn client(self) -> Option<i64> {
        match self {
            Self::One(connections) => connections.client(),
            Self::Slot(route) => route.last()?.client(),
        }
    }

    /// The clock by which the queue's leases are.
    pub(crate) fn clock(self) -> &'a Clock {
        match self {
            Self::One(connections) => &connections.endpoint().clock,
            Self::Slot(route) => route.clock,
        }
    }

    /// The server's time.
    pub(crate) fn now(self) -> SystemTime {
        match self {
            Self::One(connections) => connections.endpoint().clock.now(),
            Self::Slot(route) => route.now(),
        }
    }

    /// What Redis answered, or that it refused.
    pub(crate) fn read(self, answer: Value) -> Answer {
        match self {
            Self::One(connections) => connections.read(answer),
            Self::Slot(route) => route.read(answer),
        }
    }

    pub(crate) fn strange(self, what: &'static str) -> RequestError {
        match self {
            Self::One(connections) => connections.strange(what),
            Self::Slot(route) => RequestError::Strange { address: route.address(), what },
        }
    }
}
