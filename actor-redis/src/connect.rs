//! Making a connection, and closing those before it on the server.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actor_core::failpoint::pass;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, PushInfo, RedisResult, Value};
use tokio::sync::mpsc::UnboundedSender;

use crate::endpoint::{Endpoint, Source};
use crate::error::{Error, Kind};
use crate::node::Node;
use crate::reauthenticate::Reauthentication;
use crate::report;
use crate::server::{self, Server};

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// The first and the longest pause between attempts to connect. With the longest, a server that is
/// back is found again within a second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// After which quiet a connection is asked whether it still stands. Within this time hardly anything forgets
/// it, and the question costs at most one command a second.
const QUIET: Duration = Duration::from_secs(1);

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) connection: MultiplexedConnection,
    /// The server that it leads to.
    pub(crate) node: Arc<Node>,
    pub(crate) peer: Peer,
    /// Which of all that this process made it is.
    pub(crate) number: u64,
    pub(crate) since: Instant,
    /// When the server may close it, unless it is authenticated again.
    pub(crate) ends_at: Option<Instant>,
    pub(crate) reauthentication: OnceLock<Reauthentication>,
    /// The server's version, where it cannot say what is on its disk.
    cannot_sync: Option<String>,
    /// Where what the server says by itself goes, once somebody listens.
    heard: Arc<OnceLock<UnboundedSender<PushInfo>>>,
    /// Cleared when the connection's driver ends, or when it is given up.
    alive: Arc<AtomicBool>,
    /// Shared with each request that waits for its answer.
    pub(crate) waits: Arc<()>,
    /// When the last answer came, in ms after `since`.
    answered: AtomicU64,
}

/// A connection as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Unique within one run of the server; 0 where the server did not tell.
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
        self.alive.load(Ordering::Acquire) && !self.node.is_demoted()
    }

    /// Waits for an answer, for as long as anything that this server does still counts.
    pub(crate) async fn answer<T>(&self, mut answer: Pin<&mut impl Future<Output = RedisResult<T>>>) -> RedisResult<T> {
        let Some(demotion) = &self.node.demotion else { return answer.await };
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            () = demotion.announced() => {
                Err(io::Error::new(ErrorKind::ConnectionAborted, "Sentinel has promoted another server").into())
            }
        }
    }

    /// Has what the server says by itself sent there.
    pub(crate) fn listen(&self, heard: UnboundedSender<PushInfo>) {
        // Who makes a connection to listen does so once.
        let _ = self.heard.set(heard);
    }

    /// Takes it for no further request.
    pub(crate) fn give_up(&self) {
        self.alive.store(false, Ordering::Release);
    }

    /// Why a message that should be synced is not sent on it.
    pub(crate) fn cannot_sync(&self) -> Option<Error> {
        let version = self.cannot_sync.clone()?;
        Some(Kind::CannotSync { address: self.node.address.to_string(), version }.into())
    }

    /// Notes that an answer came.
    pub(crate) fn answered(&self) {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.answered.store(ms, Ordering::Relaxed);
    }

    /// Whether nothing was heard on it for a while, and nobody waits to hear anything: of a request that
    /// waits, its own time decides.
    pub(crate) fn is_quiet(&self) -> bool {
        let answered = Duration::from_millis(self.answered.load(Ordering::Relaxed));
        Arc::strong_count(&self.waits) == 1 && self.since.elapsed().saturating_sub(answered) >= QUIET
    }

    /// Asks the server for what every user may ask, and changes nothing. Any answer will do.
    pub(crate) async fn still_answers(&self, within: Duration, endpoint: &Endpoint) -> bool {
        let mut connection = self.connection.clone();
        connection.set_response_timeout(within);
        let (asked, command) = (Instant::now(), redis::cmd("TIME"));
        let time = pin!(connection.send_packed_command(&command));
        let Ok(time) = self.answer(time).await else { return false };
        endpoint.learn_time(asked, &time);
        self.answered();
        true
    }
}

/// Makes a connection, and has the server close the former ones.
pub(crate) async fn connect(endpoint: &Endpoint, number: u64, formers: &[Peer]) -> Result<Live, Error> {
    let live = match &endpoint.source {
        Source::Server(node) => open(endpoint, node, number).await?,
        Source::Sentinels(sentinels) => sentinels.connect(endpoint, number).await?,
    };
    close(endpoint, &live, formers).await?;
    Ok(live)
}

/// Makes a connection to one server, and checks that server.
pub(crate) async fn open(endpoint: &Endpoint, node: &Arc<Node>, number: u64) -> Result<Live, Error> {
    let given = endpoint.credentials(&node.address).await?;
    let alive = Arc::new(AtomicBool::new(true));
    let guard = Alive(Arc::clone(&alive));
    let heard = Arc::new(OnceLock::<UnboundedSender<PushInfo>>::new());
    let pushed = Arc::clone(&heard);
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(CONNECT))
        .set_push_sender(move |push: PushInfo| {
            let _lives_as_long_as_the_driver = &guard;
            if let Some(heard) = pushed.get() {
                // An error means that nobody listens any more.
                let _ = heard.send(push);
            }
            Ok::<(), ()>(())
        });
    let no_thread = |source: io::Error| Kind::NoThread { address: node.address.to_string(), source: source.into() };
    let config = node.resolving(config).map_err(no_thread)?;
    let failed = |source| endpoint.unconnected(&node.address, source);
    let client = match &given {
        Some(given) => Cow::Owned(node.authenticated(&given.credentials)?),
        None => Cow::Borrowed(&node.client),
    };
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.map_err(failed)?;
    drop(config);
    pass("connect.made");
    let asked = Instant::now();
    let introduced = introduce(&mut connection).await.map_err(failed)?;
    pass("connect.introduced");
    let server = introduced.server;
    server.check(&node.address)?;
    // One that does not say what it is, is taken.
    if node.demotion.is_some() && server.is_replica() {
        return Err(Kind::Replica { address: node.address.to_string() }.into());
    }
    server.warn(&node.address, &endpoint.warned);
    report::first_met(endpoint, &node.address, &mut connection, server.run_id.as_deref()).await?;
    endpoint.learn_time(asked, &introduced.time);
    Ok(Live {
        connection,
        node: Arc::clone(node),
        number,
        since: Instant::now(),
        cannot_sync: server.cannot_sync(),
        peer: Peer { client: introduced.client, run_id: server.run_id },
        ends_at: given.and_then(|given| given.ends_at),
        reauthentication: OnceLock::new(),
        heard,
        alive,
        waits: Arc::default(),
        answered: AtomicU64::new(0),
    })
}

/// Has the server close connections, where it is the one that had them.
pub(crate) async fn close(endpoint: &Endpoint, live: &Live, formers: &[Peer]) -> Result<(), Error> {
    let here = &live.peer.run_id;
    let mut pipeline = Pipeline::new();
    let closed = formers.iter().filter(|former| former.client != 0 && here.is_some() && former.run_id == *here);
    for former in closed.clone() {
        pipeline.cmd("CLIENT").arg("KILL").arg("ID").arg(former.client);
    }
    if pipeline.is_empty() {
        return Ok(());
    }
    let mut connection = live.connection.clone();
    connection.set_response_timeout(CONNECT);
    let answers = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
    let answers = answers.map_err(|source| endpoint.unconnected(&live.node.address, source))?;
    pass("connect.former_closed");
    for (former, answer) in closed.zip(answers) {
        match answer {
            Value::ServerError(refusal) => endpoint.warned.of_lingering(&live.node.address, &refusal),
            _ => tracing::debug!(client = former.client, "the former connection was closed"),
        }
    }
    Ok(())
}

/// How long to pause after this many attempts that failed, and one more.
pub(crate) fn pause(attempts: u32) -> Duration {
    let ceiling = PAUSE.1.min(PAUSE.0 * 2u32.saturating_pow(attempts.min(16)));
    // Many processes that lost the same server must not come back in step.
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// What every new connection is told.
struct Introduced {
    client: i64,
    time: Value,
    server: Server,
}

/// Asks what every new connection asks. What the server does not answer stays unknown.
async fn introduce(connection: &mut MultiplexedConnection) -> RedisResult<Introduced> {
    let mut pipeline = Pipeline::new();
    pipeline.cmd("CLIENT").arg("ID").cmd("TIME");
    for question in server::questions() {
        pipeline.add_command(question);
    }
    let answers = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await?;
    let [client, time, about @ ..] = answers.as_slice() else {
        return Ok(Introduced { client: 0, time: Value::Nil, server: Server::default() });
    };
    let client = match client {
        Value::Int(client) => *client,
        // Without its id, nobody could have the server close it when it breaks: rather none, for now.
        Value::ServerError(refusal) if refusal.code() == "BUSY" => return Err(refusal.clone().into()),
        _ => 0,
    };
    Ok(Introduced { client, time: time.clone(), server: Server::read(about) })
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
