//! The way of one queue's requests through a cluster.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::{Cmd, Value};

use super::{Cluster, Members};
use crate::clock::Clock;
use crate::connection::{ANSWER, Connections};
use crate::endpoint::Endpoint;
use crate::error::{Error, RequestError};
use crate::exchange::Plain;
use crate::request::{Answer, Request};

/// The way to whichever member serves a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotRoute<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) members: &'a Members,
    pub(crate) slot: u16,
    /// The clock by which the queue's leases were renewed, wherever its slot was: another primary's clock that is
    /// ahead is then a leap.
    pub(crate) clock: &'a Clock,
}

impl SlotRoute<'_> {
    pub(crate) async fn request(self, request: &Request, within: Duration) -> Result<Vec<Answer>, RequestError> {
        let server = self.cluster.reached(self.members, self.slot).await.map_err(RequestError::NotConnected)?;
        self.cluster.request(self.members, &server, request, &mut Plain { within }).await
    }

    pub(crate) async fn command(self, command: &Cmd, within: Duration) -> Result<Value, RequestError> {
        let server = self.cluster.reached(self.members, self.slot).await.map_err(RequestError::NotConnected)?;
        let connections = self.members.at(self.cluster, &server);
        let takes = within.saturating_sub(ANSWER);
        let answer = self.cluster.hear(&connections, takes, connections.command(command, within)).await;
        let Err(error @ RequestError::Answer { .. }) = answer else { return answer };
        // Without failpoints, as the command itself.
        let request = Request::of("inspect", [command.clone()].into_iter());
        let mut answers = [Err(error)];
        self.cluster.follow(self.members, &server, &request, &mut answers, &mut Plain { within }).await;
        let [answer] = answers;
        answer
    }

    /// Sends a request to the member where the last one of `reads` went, whoever serves the slot by now.
    pub(crate) async fn request_beside(
        self,
        reads: SlotRoute<'_>,
        request: &Request,
        within: Duration,
    ) -> Result<Vec<Answer>, RequestError> {
        match reads.members.last() {
            Some(read) => {
                let connections = self.members.beside(self.cluster, read.endpoint());
                let takes = within.saturating_sub(ANSWER);
                self.cluster.hear(&connections, takes, connections.request(request, within)).await
            }
            None => Ok(Vec::new()),
        }
    }

    pub(crate) async fn ready(self) -> Result<(), Arc<Error>> {
        let server = self.cluster.reached(self.members, self.slot).await?;
        self.members.at(self.cluster, &server).ready().await
    }

    /// The connections of the last request, for what is asked of them and not of the cluster.
    pub(crate) fn last(self) -> Option<Arc<Connections>> {
        self.members.last()
    }

    /// Completes once another member than at first serves the slot, and the last request did not go there.
    pub(crate) async fn moved(self) {
        let first = self.cluster.server(self.slot);
        let mut changes = self.cluster.changes();
        let is = |server: &Arc<Endpoint>, other: Option<&Arc<Endpoint>>| {
            other.is_some_and(|other| Arc::ptr_eq(server, other))
        };
        loop {
            if changes.changed().await.is_err() {
                // Nobody changes it any more.
                std::future::pending::<()>().await;
            }
            let Some(server) = self.cluster.server(self.slot) else { continue };
            let asked = self.members.last();
            if !is(&server, first.as_ref()) && !is(&server, asked.as_ref().map(|asked| asked.endpoint())) {
                return;
            }
        }
    }

    pub(crate) fn give_up(self) {
        self.members.give_up();
    }

    /// The time of the member that serves the slot.
    pub(crate) fn now(self) -> SystemTime {
        self.cluster.server(self.slot).map_or_else(SystemTime::now, |server| server.clock.now())
    }

    /// Reads what a part of an answer is.
    pub(crate) fn read(self, part: Value) -> Answer {
        match self.cluster.server(self.slot) {
            Some(server) => self.members.beside(self.cluster, &server).read(part),
            None => match part {
                Value::ServerError(source) => Err(RequestError::Answer { address: self.address(), source }),
                part => Ok(part),
            },
        }
    }

    /// The address of the member that serves the slot.
    pub(crate) fn address(self) -> Arc<str> {
        let server = self.cluster.server(self.slot);
        server.map_or_else(|| self.cluster.address(), |server| Arc::clone(&server.address))
    }
}
