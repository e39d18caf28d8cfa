//! When a server is asked for its settings, and what becomes of the answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value};

use super::facts::{Facts, questions};
use super::{Finding, FindingKind, Joined, ServerReport};
use crate::broker::RedisBroker;
use crate::connection::{ANSWER, Connections};
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind, RequestError};
use crate::request::Request;

/// How a server refuses all questions while a script runs: what it says then is nothing about its settings.
const BUSY: &str = "BUSY";

/// What connections to one server share about its settings.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    /// Whether a server whose settings can lose acknowledged messages is refused.
    pub(crate) strict: bool,
    // Locked for moments, by whoever connects.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The run of the server whose settings were taken last. A server that does not tell its run has one.
    taken: Option<Option<String>>,
    /// What was logged. Each is logged once, however often the server is started again.
    logged: Vec<FindingKind>,
}

impl RedisBroker {
    /// Reads the settings of the server, and its state, that put messages at risk. It connects where no connection
    /// stands, sends one request of INFO and CONFIG GET, and changes nothing. Of a cluster it asks each primary, and each
    /// finding has the [`address`](Finding::address) of its own.
    ///
    /// The first connection to each run of a server reads the same, and logs what was found. What the server does not
    /// say is a finding too, and no error: see [`FindingKind::InfoRefused`] and [`FindingKind::ConfigRefused`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use actor_redis::{RedisBroker, Risk};
    ///
    /// let report = RedisBroker::connect("redis://localhost").await?.check().await?;
    /// println!("{report}");
    /// for finding in report.findings().iter().filter(|finding| finding.risk() == Risk::Loss) {
    ///     println!("{:?}: {:?}", finding.kind(), finding.line());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The server, or a primary of the cluster, could not be reached or used, as at [`connect`](Self::connect). The same call may succeed later if
    /// [`Error::is_transient`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn check(&self) -> Result<ServerReport, Error> {
        let mut report = ServerReport::default();
        for connections in self.inner().commands.all().await.map_err(|error| (*error).clone())? {
            report.add(check(&connections).await?);
        }
        Ok(report)
    }
}

/// Reads the settings of one server.
async fn check(connections: &Connections) -> Result<ServerReport, Error> {
    let answers = connections.request(&Request::of("inspect", questions()), ANSWER).await;
    let (endpoint, address) = (connections.endpoint(), connections.address());
    let answers = match answers {
        Ok(answers) => answers,
        Err(RequestError::NotConnected(error)) => return Err((*error).clone()),
        Err(RequestError::NoAnswer { source, .. }) => return Err(endpoint.unconnected(&address, source)),
        Err(_) => return Err(Kind::Stranger { address: address.to_string() }.into()),
    };
    for answer in &answers {
        if let Err(RequestError::Answer { source, .. }) = answer
            && source.code() == BUSY
        {
            return Err(endpoint.unconnected(&address, source.clone().into()));
        }
    }
    Ok(ServerReport::of(&address, &Facts::read(answers.into_iter().map(Result::ok))))
}

/// Reads the settings of a server that has just been connected to, unless those of this run of it were taken: names
/// what they risk, or refuses them.
pub(crate) async fn first_met(
    endpoint: &Endpoint,
    address: &Arc<str>,
    connection: &mut MultiplexedConnection,
    run: Option<&str>,
) -> Result<(), Error> {
    let inspection = &endpoint.inspection;
    if inspection.has_taken(run) {
        return Ok(());
    }
    let mut pipeline = Pipeline::new();
    for question in questions() {
        pipeline.add_command(question);
    }
    let answers = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
    let answers = answers.map_err(|source| endpoint.unconnected(address, source))?;
    let mut refusals = answers.iter().filter_map(|answer| match answer {
        Value::ServerError(refusal) => Some(refusal),
        _ => None,
    });
    if let Some(refusal) = refusals.find(|refusal| refusal.code() == BUSY) {
        return Err(endpoint.unconnected(address, refusal.clone().into()));
    }
    let said = |answer: Value| (!matches!(answer, Value::ServerError(_))).then_some(answer);
    let report = ServerReport::of(address, &Facts::read(answers.into_iter().map(said)));
    let refused: Vec<_> = report.refused_by_strict().collect();
    if inspection.strict && !refused.is_empty() {
        let address = address.to_string();
        return Err(Kind::Lossy { address, findings: Joined(&refused).to_string() }.into());
    }
    let (warned, others): (Vec<_>, Vec<_>) =
        inspection.take(run, &report).into_iter().partition(|finding| finding.is_warned_of());
    if !warned.is_empty() {
        tracing::warn!(%address, findings = %Joined(&warned), "redis settings put messages at risk");
    }
    if !others.is_empty() {
        tracing::debug!(%address, findings = %Joined(&others), "redis settings are worth knowing");
    }
    Ok(())
}

impl Inspection {
    fn has_taken(&self, run: Option<&str>) -> bool {
        self.state().taken.as_ref().is_some_and(|taken| taken.as_deref() == run)
    }

    /// The same for another server, of which nothing is known yet.
    pub(crate) fn beside(&self) -> Self {
        Self { strict: self.strict, ..Self::default() }
    }

    /// Takes the settings of a run. Returns what was not logged before.
    fn take<'a>(&self, run: Option<&str>, report: &'a ServerReport) -> Vec<&'a Finding> {
        let mut state = self.state();
        state.taken = Some(run.map(str::to_owned));
        let news: Vec<_> = report.findings().iter().filter(|finding| !state.logged.contains(&finding.kind())).collect();
        state.logged.extend(news.iter().map(|finding| finding.kind()));
        news
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
