//! Members that do not answer: what a request does that waits for one.
//!
//! A member that stands still says nothing of its replica, which takes its place. Only the others know of that.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Cluster;
use crate::connection::Connections;
use crate::endpoint::Endpoint;
use crate::error::RequestError;

/// How long an answer is late before the other members are asked.
const LATE: Duration = Duration::from_millis(500);
/// How long an answer is waited for once the member serves nothing any more. One that lives answers sooner, and says
/// for what it is no longer the one to ask.
const LAST: Duration = Duration::from_millis(300);

impl Cluster {
    /// Waits for the answer to what is sent to a member, for as long as the member may serve anything. `takes` is how long
    /// it may take by itself.
    pub(super) async fn hear<T>(
        &self,
        connections: &Connections,
        takes: Duration,
        answer: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        // First by itself: what found no connection was not sent.
        let connected = async { connections.live().await.map_err(RequestError::NotConnected) };
        if self.unless_replaced(connections, Duration::ZERO, connected).await.transpose()?.is_none() {
            let (endpoint, source) = (connections.endpoint(), std::io::Error::from(std::io::ErrorKind::TimedOut));
            let error = endpoint.unconnected(&endpoint.address, source.into());
            return Err(RequestError::NotConnected(Arc::new(error)));
        }
        self.unless_replaced(connections, takes, answer).await.unwrap_or_else(|| {
            connections.give_up();
            Err(RequestError::silence(connections.address(), LAST))
        })
    }

    /// `None` where there is no answer, and the member serves nothing any more.
    async fn unless_replaced<T>(
        &self,
        connections: &Connections,
        takes: Duration,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut changes = self.changes();
        let mut answer = pin!(answer);
        let mut late = takes + LATE;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Some(answer),
                _ = changes.changed() => {}
                () = sleep(late) => {
                    late = LATE;
                    self.suspect();
                }
            }
            if self.is_replaced(connections.endpoint()) {
                return timeout(LAST, &mut answer).await.ok();
            }
        }
    }

    /// Whether others serve all that this member served.
    fn is_replaced(&self, server: &Arc<Endpoint>) -> bool {
        let state = self.state();
        state.map.as_ref().is_some_and(|map| !map.serving().iter().any(|serving| Arc::ptr_eq(serving, server)))
    }
}
