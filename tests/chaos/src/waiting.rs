//! `WAIT`: the remedy for what a failover loses. Who sends calls a message stored only once a replica
//! has it.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisResult};
use tokio::sync::Mutex;

/// How long a replica may take, in ms.
const PATIENCE_MS: u64 = 1_000;

/// A connection of its own, which asks how many replicas have what was written.
#[derive(Debug)]
pub(crate) struct Waiting {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Waiting {
    pub(crate) fn new(url: &str) -> RedisResult<Self> {
        Ok(Self { client: Client::open(url)?, connection: Mutex::default() })
    }

    /// A connection to the server that is the master now. Take it before sending: one that stands
    /// to the end of [`replicated`] has led to one and the same master all the while.
    pub(crate) async fn connection(&self) -> Option<MultiplexedConnection> {
        let mut connection = self.connection.lock().await;
        if connection.is_none() {
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(Some(std::time::Duration::from_millis(3 * PATIENCE_MS)));
            *connection = self.client.get_multiplexed_async_connection_with_config(&config).await.ok();
        }
        connection.clone()
    }

    /// Forgets a connection that failed.
    pub(crate) async fn renew(&self) {
        *self.connection.lock().await = None;
    }
}

/// Whether a replica has all that the master was told before.
///
/// `WAIT` speaks of the last write of its own connection. That is made here, after the one in question,
/// and replicas take writes in their order.
pub(crate) async fn replicated(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let mut both = Pipeline::new();
    both.cmd("INCR").arg("waited").ignore().cmd("WAIT").arg(1).arg(PATIENCE_MS);
    let (replicas,): (u64,) = both.query_async(connection).await?;
    Ok(replicas > 0)
}
