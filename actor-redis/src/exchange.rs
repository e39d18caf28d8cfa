//! How a request goes to one server: by itself, or with what asks whether it is confirmed.

use std::sync::Arc;
use std::time::Duration;

use actor_core::BrokerError;
use redis::{Pipeline, Value};

use crate::confirm::{Confirmed, Need};
use crate::connect::Live;
use crate::connection::{ANSWER, Connections};
use crate::error::RequestError;
use crate::request::{Answer, Request};

/// What sends a request to one server, and in a cluster what is redirected to the next.
pub(crate) trait Exchange {
    /// Sends a request. `places`, where it is sent again: where the answers to its commands stand in those of the first.
    fn send(
        &mut self,
        connections: &Connections,
        request: &Request,
        places: &[usize],
    ) -> impl Future<Output = Result<Vec<Answer>, RequestError>> + Send;

    /// How long a server that answers may take by itself.
    fn takes(&self) -> Duration;
}

/// A request by itself.
pub(crate) struct Plain {
    pub(crate) within: Duration,
}

impl Exchange for Plain {
    async fn send(&mut self, to: &Connections, request: &Request, _: &[usize]) -> Result<Vec<Answer>, RequestError> {
        to.request(request, self.within).await
    }

    fn takes(&self) -> Duration {
        self.within.saturating_sub(ANSWER)
    }
}

/// A request whose commands are confirmed on the connection that they went on.
pub(crate) struct Confirming {
    need: Need,
    /// What each server confirmed, and its address.
    confirmed: Vec<(Arc<str>, Confirmed)>,
    /// For each command, where what confirms it stands among those.
    of: Vec<usize>,
}

impl Confirming {
    pub(crate) fn new(need: Need, commands: usize) -> Self {
        Self { need, confirmed: Vec::new(), of: vec![0; commands] }
    }

    /// Whether a message that a command stored is as durable as it should be.
    pub(crate) fn judge(&self, command: usize, need: Need) -> Result<(), BrokerError> {
        // What was answered was sent, and what was sent has this.
        let (address, confirmed) = &self.confirmed[self.of[command]];
        confirmed.judge(need, address)
    }
}

impl Exchange for Confirming {
    async fn send(
        &mut self,
        connections: &Connections,
        request: &Request,
        places: &[usize],
    ) -> Result<Vec<Answer>, RequestError> {
        let live = connections.live().await.map_err(RequestError::NotConnected)?;
        #[cfg(feature = "failpoints")]
        crate::failpoint::before(request, &live.connection).await;
        let (answers, mut confirmed) = send(connections, &live, request.pipeline(), self.need).await?;
        let unknown = request.unknown_scripts(&answers);
        let mut answers: Vec<_> = answers.into_iter().map(|answer| connections.read(answer)).collect();
        if let Some((again, places)) = unknown {
            match send(connections, &live, &again, self.need).await {
                Ok((late, covers_all)) => {
                    confirmed = covers_all;
                    places.into_iter().zip(late).for_each(|(at, answer)| answers[at] = connections.read(answer));
                }
                // The others were answered all the same.
                Err(error) => places.into_iter().for_each(|at| answers[at] = Err(error.clone())),
            }
        }
        #[cfg(feature = "failpoints")]
        crate::failpoint::after(request);
        places.iter().for_each(|place| self.of[*place] = self.confirmed.len());
        self.confirmed.push((Arc::clone(&live.node.address), confirmed));
        Ok(answers)
    }

    fn takes(&self) -> Duration {
        self.need.limit()
    }
}

/// Sends commands and the questions about them, without waiting in between. Where the connection breaks after the
/// commands were answered, it is known that they took effect.
async fn send(
    connections: &Connections,
    live: &Live,
    commands: &Pipeline,
    need: Need,
) -> Result<(Vec<Value>, Confirmed), RequestError> {
    let questions = need.questions();
    let confirm = async {
        if questions.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        Ok(connections.send(live, &questions, ANSWER + need.limit()).await)
    };
    // The first poll of each hands it to the connection, so that they stand there in this order.
    let (answers, confirmed) = tokio::try_join!(biased; connections.send(live, commands, ANSWER), confirm)?;
    let read = |answers: Vec<Value>| answers.into_iter().map(|answer| connections.read(answer)).collect();
    Ok((answers, Confirmed::new(need, confirmed.map(read))))
}
