//! A connection that is made again when it breaks.
//!
//! A request is never sent twice. One that found no connection was not sent; one that was handed to a
//! connection and got no answer may have happened, and says so. Once a new connection stands, what
//! the old one had sent can no longer happen: the server is told to close the old one first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actor_core::failpoint::pass;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, RedisError, RedisResult, Value};
use tokio::runtime;

use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind, Trouble};
use crate::request::{Answer, Request};
use crate::server::{self, Server};

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an answer may take. A healthy Redis answers within milliseconds; one that forks or loads
/// may take seconds.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);
/// The first and the longest pause between attempts to connect. With the longest, a server that is
/// back is found again within a second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// How long a connection is kept at least to a server that is no primary.
const STAY: Duration = Duration::from_secs(1);

/// Whose runtime drives a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// The runtime that first needed it.
    Any,
    /// Always the caller's: a runtime that is blocked must not hold up another one's requests.
    Caller,
}

/// One connection to Redis, made when it is first needed and again when it broke.
#[derive(Debug)]
pub(crate) struct Link {
    endpoint: Arc<Endpoint>,
    driver: Driver,
    // Locked for moments only, by every request.
    state: Mutex<State>,
    // Held while connecting, so that only one caller does.
    connecting: tokio::sync::Mutex<()>,
    /// How many connections were made so far.
    made: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    live: Option<Arc<Live>>,
    /// The connection before, which the next one has the server close.
    former: Option<Peer>,
    failure: Option<Failure>,
}

/// A connection that stands.
#[derive(Debug)]
struct Live {
    connection: MultiplexedConnection,
    peer: Peer,
    /// Cleared when the connection's driver ends.
    alive: Arc<AtomicBool>,
    runtime: runtime::Id,
    since: Instant,
}

/// A connection as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Unique within one life of the server; 0 where the server did not tell.
    client: i64,
    run_id: Option<String>,
}

/// The attempts that failed since a connection last stood.
#[derive(Debug)]
struct Failure {
    attempts: u32,
    error: Arc<Error>,
    again_at: Instant,
}

/// Lives in a connection's driver, and says when that has ended, for whatever reason.
struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Link {
    pub(crate) fn new(endpoint: Arc<Endpoint>, driver: Driver) -> Self {
        Self {
            endpoint,
            driver,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            made: AtomicU64::default(),
        }
    }

    /// Makes sure that there is a connection.
    pub(crate) async fn ready(&self) -> Result<(), Arc<Error>> {
        self.live().await.map(drop)
    }

    /// Takes a new connection for the next request.
    pub(crate) fn give_up(&self) {
        if let Some(live) = &self.lock().live {
            live.alive.store(false, Ordering::Release);
        }
    }

    /// The server's clock.
    pub(crate) fn clock(&self) -> &Clock {
        &self.endpoint.clock
    }

    /// How many connections were made so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// The id of the connection, for `CLIENT UNBLOCK`; `None` while there is none.
    pub(crate) fn client(&self) -> Option<i64> {
        self.lock().live.as_ref().map(|live| live.peer.client).filter(|client| *client != 0)
    }

    /// Sends one command.
    ///
    /// # Errors
    ///
    /// Also where Redis refused.
    pub(crate) async fn command(&self, command: &Cmd, within: Duration) -> Result<Value, Trouble> {
        let live = self.live().await.map_err(Trouble::NotConnected)?;
        let mut connection = live.connection.clone();
        connection.set_response_timeout(within);
        match connection.send_packed_command(command).await {
            Ok(Value::ServerError(source)) => Err(self.refusal(source)),
            Ok(answer) => Ok(answer),
            Err(source) => Err(self.silence(&live, within, source)),
        }
    }

    /// Sends commands together. The answers stand in the commands' order.
    ///
    /// # Errors
    ///
    /// There is no answer to any of them.
    pub(crate) async fn request(&self, request: &Request, within: Duration) -> Result<Vec<Answer>, Trouble> {
        let live = self.live().await.map_err(Trouble::NotConnected)?;
        #[cfg(feature = "failpoints")]
        crate::failpoint::before(request, &live.connection).await;
        let answers = self.send(&live, request.pipeline(), within).await?;
        let late = match request.unknown_scripts(&answers) {
            Some((again, places)) => {
                pass("script.unknown");
                Some((self.send(&live, &again, within).await, places))
            }
            None => None,
        };
        #[cfg(feature = "failpoints")]
        crate::failpoint::after(request);
        let read = |answer| match answer {
            Value::ServerError(source) => Err(self.refusal(source)),
            answer => Ok(answer),
        };
        let mut answers: Vec<_> = answers.into_iter().map(read).collect();
        match late {
            Some((Ok(late), places)) => {
                for (place, answer) in places.into_iter().zip(late) {
                    answers[place] = read(answer);
                }
            }
            // The others were answered all the same.
            Some((Err(trouble), places)) => {
                for place in places {
                    answers[place] = Err(trouble.clone());
                }
            }
            None => {}
        }
        Ok(answers)
    }

    /// What Redis refused. Where it is not the primary, the address may lead to another by now: after a
    /// failover the former keeps its connections, and would refuse for ever.
    pub(crate) fn refusal(&self, source: redis::ServerError) -> Trouble {
        let trouble = Trouble::Answer { address: Arc::clone(&self.endpoint.address), source };
        if trouble.is_of_no_primary()
            && let Some(live) = &self.lock().live
            && live.since.elapsed() >= STAY
        {
            live.alive.store(false, Ordering::Release);
        }
        trouble
    }

    pub(crate) fn strange(&self, what: &'static str) -> Trouble {
        Trouble::Strange { address: Arc::clone(&self.endpoint.address), what }
    }

    async fn send(&self, live: &Live, pipeline: &Pipeline, within: Duration) -> Result<Vec<Value>, Trouble> {
        let mut connection = live.connection.clone();
        connection.set_response_timeout(within);
        let answers = connection.send_packed_commands(pipeline, 0, pipeline.len()).await;
        match answers {
            Ok(answers) if answers.len() == pipeline.len() => Ok(answers),
            Ok(_) => {
                live.alive.store(false, Ordering::Release);
                Err(self.strange("a number of answers that was not asked for"))
            }
            Err(source) => Err(self.silence(live, within, source)),
        }
    }

    /// Gives up a connection that did not answer.
    fn silence(&self, live: &Live, within: Duration, source: RedisError) -> Trouble {
        live.alive.store(false, Ordering::Release);
        Trouble::NoAnswer { address: Arc::clone(&self.endpoint.address), within, source }
    }

    /// The connection that stands, or a new one.
    async fn live(&self) -> Result<Arc<Live>, Arc<Error>> {
        if let Some(live) = self.standing()? {
            return Ok(live);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(live) = self.standing()? {
            return Ok(live);
        }
        let former = self.lock().former.clone();
        match connect(&self.endpoint, former).await {
            Ok(live) => {
                let live = Arc::new(live);
                self.made.fetch_add(1, Ordering::Relaxed);
                let mut state = self.lock();
                state.failure = None;
                state.live = Some(Arc::clone(&live));
                state.former = None;
                self.endpoint.is_here();
                Ok(live)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The connection that stands; the error of the last attempt while it is too early for the next.
    fn standing(&self) -> Result<Option<Arc<Live>>, Arc<Error>> {
        let mut state = self.lock();
        if let Some(live) = &state.live {
            let driven = self.driver == Driver::Any || current_runtime().is_ok_and(|id| id == live.runtime);
            if driven && live.alive.load(Ordering::Acquire) {
                return Ok(Some(Arc::clone(live)));
            }
            state.former = state.live.take().map(|live| live.peer.clone());
        }
        match &state.failure {
            Some(failure) if Instant::now() < failure.again_at => Err(Arc::clone(&failure.error)),
            _ => Ok(None),
        }
    }

    fn fail(&self, error: Error) -> Arc<Error> {
        let error = Arc::new(error);
        let mut state = self.lock();
        let attempts = state.failure.as_ref().map_or(0, |failure| failure.attempts);
        self.endpoint.is_away(&error);
        let again_at = Instant::now() + pause(attempts);
        state.failure = Some(Failure { attempts: attempts.saturating_add(1), error: Arc::clone(&error), again_at });
        error
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(endpoint: &Endpoint, former: Option<Peer>) -> Result<Live, Error> {
    let runtime = current_runtime()?;
    let alive = Arc::new(AtomicBool::new(true));
    let guard = Alive(Arc::clone(&alive));
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(CONNECT))
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
    if let Some(former) = former
        && former.client != 0
        && former.run_id.is_some()
        && former.run_id == server.run_id
    {
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
    Ok(Live { connection, peer, alive, runtime, since: Instant::now() })
}

/// How long to pause after this many attempts that failed, and one more.
fn pause(attempts: u32) -> Duration {
    let ceiling = PAUSE.1.min(PAUSE.0 * 2u32.saturating_pow(attempts.min(16)));
    // Many processes that lost the same server must not come back in step.
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn current_runtime() -> Result<runtime::Id, Error> {
    runtime::Handle::try_current().map(|handle| handle.id()).map_err(|_| Kind::NoRuntime.into())
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
