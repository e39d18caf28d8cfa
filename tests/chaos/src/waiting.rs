//! `WAIT`, the remedy for what a failover loses: a producer counts a message as stored only once a replica has it.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisResult};
use tokio::sync::Mutex;

/// How long a replica may take, in ms.
const PATIENCE_MS: u64 = 1_000;

/// A connection that asks how many replicas have what was written.
#[derive(Debug)]
pub(crate) struct Waiting {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Waiting {
    pub(crate) fn new(url: &str) -> RedisResult<Self> {
        Ok(Self { client: Client::open(url)?, connection: Mutex::default() })
    }

    /// A connection to the current master. Open it before sending: if it survives until the end of [`replicated`], it
    /// has led to the same master all along.
    pub(crate) async fn connection(&self) -> Option<MultiplexedConnection> {
        let mut connection = self.connection.lock().await;
        if connection.is_none() {
            let config = AsyncConnectionConfig::new()
                .set_response_timeout(Some(std::time::Duration::from_millis(3 * PATIENCE_MS)));
            *connection = self.client.get_multiplexed_async_connection_with_config(&config).await.ok();
        }
        connection.clone()
    }

    /// Closes a connection that failed.
    pub(crate) async fn renew(&self) {
        *self.connection.lock().await = None;
    }
}

/// Whether a replica has everything written to the master before.
///
/// `WAIT` covers the last write of its own connection. This makes one, after the write in question; replicas apply
/// writes in order.
pub(crate) async fn replicated(connection: &mut MultiplexedConnection) -> RedisResult<bool> {
    let mut both = Pipeline::new();
    both.cmd("INCR").arg("waited").ignore().cmd("WAIT").arg(1).arg(PATIENCE_MS);
    let (replicas,): (u64,) = both.query_async(connection).await?;
    Ok(replicas > 0)
}
