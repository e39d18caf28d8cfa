//! A connection that is made again when it breaks.
//!
//! A request is never sent twice. One that found no connection was not sent; one that was handed to a
//! connection and got no answer may have happened, and says so. Once a new connection stands, what
//! the old one had sent can no longer happen: the server is told to close the old one first.
//!
//! A connection is driven by the runtime that made it, and stands still while that one does. So each runtime that
//! uses a link has a connection of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actor_core::failpoint::pass;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::runtime;

use crate::clock::Clock;
use crate::connect::{Live, Peer, connect, pause};
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind, Trouble};
use crate::request::{Answer, Request};

/// How long an answer may take. A healthy Redis answers within milliseconds; one that forks or loads
/// may take seconds.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// How long a connection is kept at least to a server that is no primary.
const STAY: Duration = Duration::from_secs(1);

/// How long a connection may be quiet before it is asked for a sign of life. Far less than what a NAT or a
/// balancer takes to forget one, and long enough that who sends often never asks.
const QUIET: Duration = Duration::from_secs(1);
/// How long a sign of life may take. Without one nothing was sent, and a new connection is made.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How many connections of runtimes that ended are remembered, to be closed on the server. Their runtimes have
/// closed them already, unless the network was away.
const MOST_ORPHANS: usize = 64;

/// How many lines there were in this process.
static LINES: AtomicU64 = AtomicU64::new(0);

/// Whether requests may be asked for again when it is not known what became of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requests {
    /// They may, so that nothing is asked before.
    Repeatable,
    /// Not all of them: a quiet connection is asked for a sign of life first.
    Once,
}

/// One connection to Redis for each runtime, made when it is first needed and again when it broke.
#[derive(Debug)]
pub(crate) struct Link {
    endpoint: Arc<Endpoint>,
    requests: Requests,
    /// How many connections were made so far.
    made: AtomicU64,
    // Both are locked for moments only, the first by every request.
    lines: Mutex<Vec<Arc<Line>>>,
    /// The connections of runtimes that ended, which the next one has the server close.
    orphans: Mutex<Vec<Peer>>,
}

/// What one runtime has of a link.
#[derive(Debug)]
struct Line {
    /// Unique among all of this process.
    id: u64,
    runtime: runtime::Id,
    // Locked for moments only, by every request.
    state: Mutex<State>,
    // Held while connecting, so that only one caller does.
    connecting: tokio::sync::Mutex<()>,
    /// Which connection it has, of all that were made; 0 for none so far.
    number: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    live: Option<Arc<Live>>,
    /// The connection before, which the next one has the server close.
    former: Option<Peer>,
    failure: Option<Failure>,
}

/// The attempts that failed since a connection last stood.
#[derive(Debug)]
struct Failure {
    attempts: u32,
    error: Arc<Error>,
    again_at: Instant,
}

impl Link {
    pub(crate) fn new(endpoint: Arc<Endpoint>, requests: Requests) -> Self {
        let (lines, orphans) = (Mutex::default(), Mutex::default());
        Self { endpoint, requests, made: AtomicU64::default(), lines, orphans }
    }

    /// Makes sure that there is a connection.
    pub(crate) async fn ready(&self) -> Result<(), Arc<Error>> {
        self.live().await.map(drop)
    }

    /// Takes a new connection for the next request.
    pub(crate) fn give_up(&self) {
        if let Some(live) = self.here() {
            live.give_up();
        }
    }

    /// The server's clock.
    pub(crate) fn clock(&self) -> &Clock {
        &self.endpoint.clock
    }

    /// Which connection this runtime has, of all that were made; 0 for none so far.
    pub(crate) fn number(&self) -> u64 {
        self.line().map_or(0, |line| line.number.load(Ordering::Relaxed))
    }

    /// The id of the connection, for `CLIENT UNBLOCK`; `None` while there is none.
    pub(crate) fn client(&self) -> Option<i64> {
        self.here().map(|live| live.peer.client).filter(|client| *client != 0)
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
            Ok(answer) => {
                live.heard();
                match answer {
                    Value::ServerError(source) => Err(self.refusal(source)),
                    answer => Ok(answer),
                }
            }
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
            && let Some(live) = self.here()
            && live.age() >= STAY
        {
            live.give_up();
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
            Ok(answers) if answers.len() == pipeline.len() => {
                live.heard();
                Ok(answers)
            }
            Ok(_) => {
                live.give_up();
                Err(self.strange("a number of answers that was not asked for"))
            }
            Err(source) => Err(self.silence(live, within, source)),
        }
    }

    /// Gives up a connection that did not answer.
    fn silence(&self, live: &Live, within: Duration, source: RedisError) -> Trouble {
        live.give_up();
        Trouble::NoAnswer { address: Arc::clone(&self.endpoint.address), within, source }
    }

    /// The connection that stands and can be relied on, or a new one.
    async fn live(&self) -> Result<Arc<Live>, Arc<Error>> {
        let line = self.line()?;
        if let Some(live) = line.standing()? {
            let is_relied_on = self.requests == Requests::Repeatable || live.quiet() < QUIET;
            if is_relied_on || !self.endpoint.is_remote || has_answered(&live).await {
                return Ok(live);
            }
            tracing::debug!(address = %self.endpoint.address, "a quiet connection gave no sign of life: making another");
            live.give_up();
        }
        let _connecting = line.connecting.lock().await;
        if let Some(live) = line.standing()? {
            return Ok(live);
        }
        let mut former: Vec<Peer> = line.lock().former.clone().into_iter().collect();
        former.append(&mut self.orphans());
        match connect(&self.endpoint, former).await {
            Ok(live) => {
                let live = Arc::new(live);
                let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
                let mut state = line.lock();
                line.number.store(number, Ordering::Relaxed);
                state.live = Some(Arc::clone(&live));
                state.former = None;
                state.failure = None;
                drop(state);
                self.endpoint.is_here(line.id);
                Ok(live)
            }
            Err(error) => {
                self.endpoint.is_away(line.id, &error);
                Err(line.fail(error))
            }
        }
    }

    /// The connection that this runtime has, if any.
    fn here(&self) -> Option<Arc<Live>> {
        self.line().ok()?.lock().live.clone()
    }

    /// What this runtime has of the link.
    fn line(&self) -> Result<Arc<Line>, Arc<Error>> {
        let runtime = runtime::Handle::try_current().map_err(|_| Arc::new(Kind::NoRuntime.into()))?.id();
        // Nothing panics while it is held.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.iter().find(|line| line.runtime == runtime) {
            return Ok(Arc::clone(line));
        }
        // Of the runtimes that ended, the drivers have too.
        lines.retain(|line| Arc::strong_count(line) > 1 || line.is_alive() || !self.leave(line));
        let line = Arc::new(Line {
            id: LINES.fetch_add(1, Ordering::Relaxed),
            runtime,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            number: AtomicU64::default(),
        });
        lines.push(Arc::clone(&line));
        Ok(line)
    }

    /// Remembers what is to be closed of a line that nobody uses.
    fn leave(&self, line: &Line) -> bool {
        let mut state = line.lock();
        let peers = [state.live.take().map(|live| live.peer.clone()), state.former.take()];
        let mut orphans = self.orphans();
        orphans.extend(peers.into_iter().flatten());
        let over = orphans.len().saturating_sub(MOST_ORPHANS);
        orphans.drain(..over);
        true
    }

    fn orphans(&self) -> MutexGuard<'_, Vec<Peer>> {
        // Nothing panics while it is held.
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn is_alive(&self) -> bool {
        self.lock().live.as_ref().is_some_and(|live| live.is_alive())
    }

    /// The connection that stands; the error of the last attempt while it is too early for the next.
    fn standing(&self) -> Result<Option<Arc<Live>>, Arc<Error>> {
        let mut state = self.lock();
        if let Some(live) = &state.live {
            if live.is_alive() {
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
        let again_at = Instant::now() + pause(attempts);
        state.failure = Some(Failure { attempts: attempts.saturating_add(1), error: Arc::clone(&error), again_at });
        error
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection that was quiet still leads to the server. Any answer is a sign of life, also a refusal.
async fn has_answered(live: &Live) -> bool {
    let mut connection = live.connection.clone();
    connection.set_response_timeout(SIGN_OF_LIFE);
    let answered = connection.send_packed_command(&redis::cmd("PING")).await.is_ok();
    if answered {
        live.heard();
    }
    answered
}
