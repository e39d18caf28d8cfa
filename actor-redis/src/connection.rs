//! A connection that is made again when it breaks.
//!
//! A request is never sent twice. One that found no connection was not sent; one that was handed to a
//! connection and got no answer may have happened, and says so. Once a new connection stands, what
//! the old one had sent can no longer happen: the server closes the old one first.

mod runtimes;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actor_core::failpoint::pass;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, Value};
use tokio::runtime;
use tokio::time::timeout;

use self::runtimes::{Failure, State};
use crate::connect::{self, Live, pause};
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind, RequestError};
use crate::reauthenticate;
use crate::request::{Answer, Request};

/// How long an answer may take. A healthy Redis answers within milliseconds; one that forks or loads
/// may take seconds.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);
/// How long a connection that was quiet may take to answer, before another one is made beside it.
const STILL_THERE: Duration = Duration::from_millis(500);
/// How long a connection is kept at least to a server that is no primary.
const STAY: Duration = Duration::from_secs(1);

/// How many connections this process has made.
static MADE: AtomicU64 = AtomicU64::new(0);

/// What to do before a request on a connection that was quiet for a while. A NAT, a balancer or a server that
/// lost its power may have forgotten it, without a sign: what is sent then gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quiet {
    /// Ask whether it still stands, and make another where it does not: the request is then not sent in vain,
    /// and its outcome is known.
    Ask,
    /// Send the request, which may be repeated.
    Trust,
}

/// A way to Redis: in each runtime that uses it one connection, made when it is first needed and again when it
/// broke. A runtime drives its connections itself, so that one that is blocked or ends holds up no other.
#[derive(Debug)]
pub(crate) struct Connections {
    endpoint: Arc<Endpoint>,
    quiet: Quiet,
    // Locked for moments only, by every request.
    state: Mutex<State>,
}

/// What a runtime has at the moment.
enum Standing {
    Ready(Arc<Live>),
    /// One on which nothing was heard for a while.
    Quiet(Arc<Live>),
    Missing,
}

impl Connections {
    pub(crate) fn new(endpoint: Arc<Endpoint>, quiet: Quiet) -> Self {
        Self { endpoint, quiet, state: Mutex::default() }
    }

    /// Makes sure that there is a connection, and that what was sent on those that were given up, in whatever
    /// runtime, can no longer happen.
    pub(crate) async fn ready(&self) -> Result<(), Arc<Error>> {
        let live = self.live().await?;
        let formers = self.lock().given_up();
        if !formers.is_empty() {
            connect::close(&self.endpoint, &live, &formers).await?;
            self.lock().are_closed(&formers);
        }
        Ok(())
    }

    /// Takes a new connection for the next request, in every runtime.
    pub(crate) fn give_up(&self) {
        self.lock().places.iter().filter_map(|place| place.live.as_ref()).for_each(|live| live.give_up());
    }

    /// Takes no further request on what is connected, and closes it here.
    pub(crate) fn leave(&self) {
        self.give_up();
        drop(self.lock().given_up());
    }

    /// Whether this runtime had a connection, or tried to make one, and has none.
    pub(crate) fn is_lost(&self) -> bool {
        let Ok(runtime) = current_runtime() else { return false };
        let state = self.lock();
        let place = state.places.iter().find(|place| place.runtime == runtime);
        place.is_some_and(|place| place.live.as_ref().is_none_or(|live| !live.is_alive()))
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Which connection this runtime has, of all that this process made; 0 while there is none.
    pub(crate) fn made(&self) -> u64 {
        self.own().map_or(0, |live| live.number)
    }

    /// The id of this runtime's connection, for `CLIENT UNBLOCK`; `None` while there is none.
    pub(crate) fn client(&self) -> Option<i64> {
        self.own().map(|live| live.peer.client).filter(|client| *client != 0)
    }

    /// Sends one command.
    ///
    /// # Errors
    ///
    /// Also where Redis refused.
    pub(crate) async fn command(&self, command: &Cmd, within: Duration) -> Result<Value, RequestError> {
        let live = self.live().await.map_err(RequestError::NotConnected)?;
        let mut connection = live.connection.clone();
        connection.set_response_timeout(within);
        let _waits = Arc::clone(&live.waits);
        let answer = live.answer(pin!(connection.send_packed_command(command))).await;
        match answer.inspect(|_| live.answered()) {
            Ok(answer) => self.read(answer),
            Err(source) => Err(self.silence(&live, within, source)),
        }
    }

    /// Sends commands together. The answers stand in the commands' order.
    ///
    /// # Errors
    ///
    /// There is no answer to any of them.
    pub(crate) async fn request(&self, request: &Request, within: Duration) -> Result<Vec<Answer>, RequestError> {
        let live = self.live().await.map_err(RequestError::NotConnected)?;
        #[cfg(feature = "failpoints")]
        crate::failpoint::before(request, &live.connection).await;
        let answers = self.send(&live, request.pipeline(), within).await?;
        let unknown = request.unknown_scripts(&answers);
        let mut answers: Vec<_> = answers.into_iter().map(|answer| self.read(answer)).collect();
        if let Some((again, places)) = unknown {
            pass("script.unknown");
            match self.send(&live, &again, within).await {
                Ok(late) => places.into_iter().zip(late).for_each(|(at, answer)| answers[at] = self.read(answer)),
                // The others were answered all the same.
                Err(error) => places.into_iter().for_each(|at| answers[at] = Err(error.clone())),
            }
        }
        #[cfg(feature = "failpoints")]
        crate::failpoint::after(request);
        Ok(answers)
    }

    /// What Redis answered, or that it refused.
    pub(crate) fn read(&self, answer: Value) -> Answer {
        match answer {
            Value::ServerError(source) => Err(self.refusal(source)),
            answer => Ok(answer),
        }
    }

    /// What Redis refused. Where it is not the primary, the address may lead to another by now: after a
    /// failover the former keeps its connections, and would refuse for ever.
    fn refusal(&self, source: redis::ServerError) -> RequestError {
        let error = RequestError::Answer { address: self.address(), source };
        if error.is_of_no_primary()
            && let Some(live) = self.own()
            && live.since.elapsed() >= STAY
        {
            live.give_up();
        }
        error
    }

    pub(crate) fn strange(&self, what: &'static str) -> RequestError {
        RequestError::Strange { address: self.address(), what }
    }

    /// Where this runtime's last connection led.
    pub(crate) fn address(&self) -> Arc<str> {
        let node = self.own().map(|live| Arc::clone(&live.node.address));
        node.unwrap_or_else(|| Arc::clone(&self.endpoint.address))
    }

    pub(crate) async fn send(
        &self,
        live: &Live,
        pipeline: &Pipeline,
        within: Duration,
    ) -> Result<Vec<Value>, RequestError> {
        let mut connection = live.connection.clone();
        connection.set_response_timeout(within);
        let _waits = Arc::clone(&live.waits);
        let answers = live.answer(pin!(connection.send_packed_commands(pipeline, 0, pipeline.len()))).await;
        match answers.inspect(|_| live.answered()) {
            Ok(answers) if answers.len() == pipeline.len() => Ok(answers),
            Ok(_) => {
                live.give_up();
                Err(self.strange("a number of answers that was not asked for"))
            }
            Err(source) => Err(self.silence(live, within, source)),
        }
    }

    /// Gives up a connection that did not answer.
    fn silence(&self, live: &Live, within: Duration, source: RedisError) -> RequestError {
        live.give_up();
        if source.kind() == ErrorKind::Parse {
            return self.strange("not Redis's protocol");
        }
        RequestError::NoAnswer { address: Arc::clone(&live.node.address), within, source }
    }

    /// The connection of this runtime: the one that stands, or a new one.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, Arc<Error>> {
        let runtime = current_runtime()?;
        match self.standing(runtime)? {
            Standing::Ready(live) => Ok(live),
            // Boxed, so that a request is small where the connection stands.
            Standing::Quiet(_) | Standing::Missing => Box::pin(self.make(runtime)).await,
        }
    }

    async fn make(&self, runtime: runtime::Id) -> Result<Arc<Live>, Arc<Error>> {
        let connecting = Arc::clone(&self.lock().place(runtime, &self.endpoint).connecting);
        let _connecting = connecting.lock().await;
        let quiet = match self.standing(runtime)? {
            Standing::Ready(live) => return Ok(live),
            Standing::Quiet(live) => live,
            Standing::Missing => return self.connect(runtime, None).await,
        };
        let asked = Instant::now();
        let asks = Arc::clone(&quiet);
        let mut answers = Box::pin(async move { asks.still_answers(ANSWER, &self.endpoint).await });
        match timeout(STILL_THERE, &mut answers).await {
            Ok(true) => return Ok(quiet),
            Ok(false) => {
                quiet.give_up();
                return self.connect(runtime, None).await;
            }
            Err(_) => {}
        }
        // Where it is the server that is slow, a new connection is no faster: whichever answers first.
        let answers = async {
            if !answers.await {
                std::future::pending::<()>().await;
            }
        };
        tokio::pin!(answers);
        let made = tokio::select! {
            biased;
            () = &mut answers => return Ok(quiet),
            made = self.connect(runtime, Some(&quiet)) => made,
        };
        if made.is_err() && timeout(ANSWER.saturating_sub(asked.elapsed()), answers).await.is_ok() {
            self.stands(runtime, &quiet);
            return Ok(quiet);
        }
        quiet.give_up();
        made
    }

    /// Makes a connection for this runtime, in place of one that may still stand.
    async fn connect(&self, runtime: runtime::Id, former: Option<&Live>) -> Result<Arc<Live>, Arc<Error>> {
        let mut formers = self.lock().given_up();
        formers.extend(former.map(|live| live.peer.clone()));
        let number = MADE.fetch_add(1, Ordering::Relaxed) + 1;
        let live = match connect::connect(&self.endpoint, number, &formers).await {
            Ok(live) => Arc::new(live),
            Err(error) => return Err(self.fail(runtime, error)),
        };
        reauthenticate::keep(&self.endpoint, &live);
        let mut state = self.lock();
        state.are_closed(&formers);
        state.place(runtime, &self.endpoint).live = Some(Arc::clone(&live));
        drop(state);
        self.stands(runtime, &live);
        Ok(live)
    }

    /// What this runtime has; the error of its last attempt while it is too early for the next.
    fn standing(&self, runtime: runtime::Id) -> Result<Standing, Arc<Error>> {
        let state = self.lock();
        let Some(place) = state.places.iter().find(|place| place.runtime == runtime) else {
            return Ok(Standing::Missing);
        };
        if let Some(live) = place.live.as_ref().filter(|live| live.is_alive()) {
            let live = Arc::clone(live);
            drop(state);
            if self.quiet == Quiet::Ask && live.is_quiet() {
                return Ok(Standing::Quiet(live));
            }
            self.endpoint.presence.used(&live.node.address);
            return Ok(Standing::Ready(live));
        }
        match &place.failure {
            Some(failure) if Instant::now() < failure.again_at => Err(Arc::clone(&failure.error)),
            _ => Ok(Standing::Missing),
        }
    }

    /// This runtime's connection stands.
    fn stands(&self, runtime: runtime::Id, live: &Live) {
        let failure = self.lock().place(runtime, &self.endpoint).failure.take();
        drop(failure);
        self.endpoint.presence.connected(&live.node.address);
    }

    fn fail(&self, runtime: runtime::Id, error: Error) -> Arc<Error> {
        let error = Arc::new(error);
        let before = self.lock().place(runtime, &self.endpoint).failure.take();
        let (attempts, away) = before.map_or((0, None), |failure| (failure.attempts, Some(failure.away)));
        let away = self.endpoint.presence.failed(&self.endpoint.address, &error, away);
        let again_at = Instant::now() + pause(attempts);
        let failure = Failure { attempts: attempts.saturating_add(1), error: Arc::clone(&error), again_at, away };
        self.lock().place(runtime, &self.endpoint).failure = Some(failure);
        error
    }

    /// The last connection of this runtime.
    fn own(&self) -> Option<Arc<Live>> {
        let runtime = current_runtime().ok()?;
        self.lock().places.iter().find(|place| place.runtime == runtime)?.live.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn current_runtime() -> Result<runtime::Id, Error> {
    runtime::Handle::try_current().map(|handle| handle.id()).map_err(|_| Kind::NoRuntime.into())
}
