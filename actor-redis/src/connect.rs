//! Making a connection: what is asked of every server, and the closing of the connections before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actor_core::failpoint::pass;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, RedisResult, Value};

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::server::{self, Server};

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// The first and the longest pause between attempts to connect. With the longest, a server that is
/// back is found again within a second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) peer: Peer,
    /// Cleared when the connection's driver ends, and where the connection is given up.
    alive: Arc<AtomicBool>,
    since: Instant,
    /// When it was heard of last, in ms after it was made.
    heard_ms: AtomicU64,
}

/// A connection as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Unique within one life of the server; 0 where the server did not tell.
    pub(crate) client: i64,
    run_id: Option<String>,
}

/// Lives in a connection's driver, and says when that has ended, for whatever reason.
struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Live {
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Has the next request take a new connection.
    pub(crate) fn give_up(&self) {
        self.alive.store(false, Ordering::Release);
    }

    /// How long it has stood.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Notes that the server has answered.
    pub(crate) fn heard(&self) {
        self.heard_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// How long nothing was heard of the server.
    pub(crate) fn quiet(&self) -> Duration {
        Duration::from_millis(self.age_ms().saturating_sub(self.heard_ms.load(Ordering::Relaxed)))
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Makes a connection, and has the server close those before it.
pub(crate) async fn connect(endpoint: &Endpoint, former: Vec<Peer>) -> Result<Live, Error> {
    let alive = Arc::new(AtomicBool::new(true));
    let guard = Alive(Arc::clone(&alive));
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(CONNECT))
        .set_dns_resolver(endpoint.resolver.clone())
        .set_push_sender(move |_: PushInfo| {
            let _lives_as_long_as_the_driver = &guard;
            Ok::<(), ()>(())
        });
    let failed = |source| Error::connecting(&endpoint.address, source);
    let mut connection = endpoint.client.get_multiplexed_async_connection_with_config(&config).await.map_err(failed)?;
    drop(config);
    pass("connect.made");
    let (client, server) = introduce(endpoint, &mut connection).await.map_err(failed)?;
    pass("connect.introduced");
    server.check(&endpoint.address)?;
    server.warn(&endpoint.address, &endpoint.warned);
    let here = |peer: &Peer| peer.client != 0 && peer.run_id.is_some() && peer.run_id == server.run_id;
    for former in former.into_iter().filter(here) {
        let mut kill = Cmd::new();
        kill.arg("CLIENT").arg("KILL").arg("ID").arg(former.client);
        let killed = connection.send_packed_command(&kill).await.map_err(failed)?;
        pass("connect.former_closed");
        match killed {
            Value::ServerError(refusal) => endpoint.warned.of_lingering(&endpoint.address, &refusal),
            _ => tracing::debug!(client = former.client, "the former connection was closed"),
        }
    }
    let peer = Peer { client, run_id: server.run_id };
    Ok(Live { connection, peer, alive, since: Instant::now(), heard_ms: AtomicU64::new(0) })
}

/// How long to pause after this many attempts that failed, and one more.
pub(crate) fn pause(attempts: u32) -> Duration {
    let ceiling = PAUSE.1.min(PAUSE.0 * 2u32.saturating_pow(attempts.min(16)));
    // Many processes that lost the same server must not come back in step.
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Asks what every new connection asks. What the server does not answer stays unknown.
async fn introduce(endpoint: &Endpoint, connection: &mut MultiplexedConnection) -> RedisResult<(i64, Server)> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("CLIENT").arg("ID").cmd("TIME");
    for question in server::questions() {
        pipeline.add_command(question);
    }
    let asked = Instant::now();
    let answers = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await?;
    let [client, time, about @ ..] = answers.as_slice() else {
        return Ok((0, Server::default()));
    };
    if let Ok((seconds, micros)) = redis::from_redis_value_ref::<(i64, i64)>(time) {
        endpoint.clock.measure(asked, seconds.saturating_mul(1_000_000).saturating_add(micros));
    }
    let client = match client {
        Value::Int(client) => *client,
        // Without its id, nobody could have the server close it when it breaks: rather none, for now.
        Value::ServerError(refusal) if refusal.code() == "BUSY" => return Err(refusal.clone().into()),
        _ => 0,
    };
    Ok((client, Server::read(about)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_well_under_a_second() {
        assert!(pause(0) <= Duration::from_millis(50));
        for attempts in [4, 10, 1_000, u32::MAX] {
            let pause = pause(attempts);
            assert!((Duration::from_millis(250)..=Duration::from_millis(500)).contains(&pause), "{pause:?}");
        }
    }
}
