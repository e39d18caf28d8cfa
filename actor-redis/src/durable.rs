//! Durable sends: what concurrent callers send is confirmed together.
//!
//! `WAIT` covers what its own connection wrote, and holds up whatever comes behind it there. Durable sends therefore
//! have a connection of their own, on which each runtime has one group of messages under way at a time. What is sent
//! meanwhile, to whichever queues, is the next group. So one wait serves all who wait, no sender waits for more than the
//! group before its own, and nothing else waits at all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actor_core::broker::{Enqueue, Enqueued};
use actor_core::{BrokerError, Durability};
use redis::{Pipeline, Value};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use crate::RedisBroker;
use crate::confirm::{Confirmed, Need};
use crate::connect::Live;
use crate::connection::{ANSWER, Connections, Quiet};
use crate::endpoint::Endpoint;
use crate::enqueue::{CHUNK_MESSAGES, Part};
use crate::error::{Error, Kind, RequestError};
use crate::queue::Queue;
use crate::request::{Answer, REQUEST_BYTES, Request, fitting};

type Stored = Result<Enqueued, BrokerError>;

/// The way of durable sends to Redis. Its connections are made when they are first needed.
#[derive(Debug)]
pub(crate) struct Durable {
    /// That of messages which ask for none.
    level: Durability,
    endpoint: Arc<Endpoint>,
    connections: Connections,
    // One for each runtime that has a group under way: few.
    waiting: Mutex<Vec<Waiting>>,
}

/// What waits in a runtime for the next group.
#[derive(Debug)]
struct Waiting {
    runtime: runtime::Id,
    chunks: VecDeque<Chunk>,
}

/// Messages of one caller, as many as one request takes, and where to answer.
#[derive(Debug)]
struct Chunk {
    queue: Arc<Queue>,
    messages: Vec<Enqueue>,
    needs: Vec<Need>,
    answer: oneshot::Sender<Vec<Stored>>,
}

/// Stores messages, and waits until each is as durable as it should be. The answers stand in their order; none is sent
/// twice.
pub(crate) async fn enqueue(broker: &RedisBroker, queue: &Arc<Queue>, messages: Vec<Enqueue>) -> Vec<Stored> {
    let durable = &broker.inner().durable;
    let wants_sync = |message: &Enqueue| durable.need(message).is_some_and(|need| need.sync);
    let no_sync = if messages.iter().any(wants_sync) { durable.cannot_sync().await } else { None };
    let (mut refused, mut taken, mut needs) = (Vec::with_capacity(messages.len()), Vec::new(), Vec::new());
    for message in messages {
        let need = durable.need(&message).ok_or(RequestError::Unsupported("the message's durability"));
        let need = need.and_then(|need| match &no_sync {
            Some(error) if need.sync => Err(RequestError::NotConnected(Arc::clone(error))),
            _ => Ok(need),
        });
        match need {
            Ok(need) => {
                taken.push(message);
                needs.push(need);
                refused.push(None);
            }
            Err(error) => refused.push(Some(error)),
        }
    }
    let mut stored = Vec::with_capacity(taken.len());
    while !taken.is_empty() {
        let fits = fitting(taken.iter().take(CHUNK_MESSAGES).map(|message| message.body.len()));
        let (later, needs_later) = (taken.split_off(fits), needs.split_off(fits));
        stored.extend(send(broker, queue, taken, needs).await);
        (taken, needs) = (later, needs_later);
    }
    let mut stored = stored.into_iter();
    let answer = |refused: Option<RequestError>| match refused {
        Some(error) => Err(error.into()),
        None => stored.next().unwrap_or_else(|| Err(ended())),
    };
    refused.into_iter().map(answer).collect()
}

/// Sends with the next group.
async fn send(broker: &RedisBroker, queue: &Arc<Queue>, messages: Vec<Enqueue>, needs: Vec<Need>) -> Vec<Stored> {
    let count = messages.len();
    let Ok(runtime) = Handle::try_current() else {
        let error = RequestError::NotConnected(Arc::new(Kind::NoRuntime.into()));
        return (0..count).map(|_| Err(error.clone().into())).collect();
    };
    let (answer, answered) = oneshot::channel();
    let chunk = Chunk { queue: Arc::clone(queue), messages, needs, answer };
    if broker.inner().durable.put(runtime.id(), chunk) {
        runtime.spawn(send_groups(Duty { broker: broker.clone(), runtime: Some(runtime.id()) }));
    }
    answered.await.unwrap_or_else(|_| (0..count).map(|_| Err(ended())).collect())
}

fn ended() -> BrokerError {
    BrokerError::unknown("the runtime that was sending it ended: it may or may not have been stored")
}

/// Sends one group after another, until nobody waits.
async fn send_groups(mut duty: Duty) {
    while let Some(runtime) = duty.runtime {
        // Lets everyone send who is ready to.
        tokio::task::yield_now().await;
        let inner = duty.broker.inner();
        match inner.durable.take(runtime) {
            Some(group) => inner.durable.store(inner.queues.namespace(), group).await,
            None => duty.runtime = None,
        }
    }
}

/// The duty to send what waits in a runtime. Where the runtime ends before, what waits is answered all the same.
struct Duty {
    broker: RedisBroker,
    runtime: Option<runtime::Id>,
}

impl Drop for Duty {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime {
            drop(self.broker.inner().durable.abandon(runtime));
        }
    }
}

impl Durable {
    pub(crate) fn new(endpoint: Arc<Endpoint>, level: Durability) -> Self {
        let connections = Connections::new(Arc::clone(&endpoint), Quiet::Ask);
        Self { level, endpoint, connections, waiting: Mutex::default() }
    }

    /// Whether a message has to be more than stored.
    pub(crate) fn is_for(&self, message: &Enqueue) -> bool {
        self.need(message) != Some(Need::default())
    }

    /// Connects, where every message will need it, and checks that the server can do what they ask for.
    pub(crate) async fn ready(&self) -> Result<(), Arc<Error>> {
        match Need::of(self.level) {
            Some(need) if need == Need::default() => Ok(()),
            Some(need) if need.sync => self.cannot_sync().await.map_or(Ok(()), Err),
            _ => self.connections.ready().await,
        }
    }

    fn need(&self, message: &Enqueue) -> Option<Need> {
        Need::of(message.durability.unwrap_or(self.level))
    }

    /// Why the server cannot say what is on its disk; also where it cannot be reached.
    async fn cannot_sync(&self) -> Option<Arc<Error>> {
        match self.connections.live().await {
            Ok(live) => live.cannot_sync().map(Arc::new),
            Err(error) => Some(error),
        }
    }

    /// Stores a group, and answers its callers. One that was dropped has no use for its answer.
    async fn store(&self, namespace: &str, group: Vec<Chunk>) {
        let is_delayed = group.iter().flat_map(|chunk| &chunk.messages).any(|message| !message.delay.is_zero());
        let mut request = Request::new(if is_delayed { "schedule" } else { "enqueue" });
        let parts: Vec<_> = group
            .iter()
            .map(|chunk| {
                Part::put(&mut request, &chunk.queue, chunk.queue.first_announcement(namespace), &chunk.messages)
            })
            .collect();
        let need = group.iter().flat_map(|chunk| &chunk.needs).fold(Need::default(), |all, need| all.and(*need));
        let (mut answers, confirmed) = match self.request(&request, need).await {
            Ok((answers, confirmed)) => (answers.into_iter(), confirmed),
            Err(error) => {
                for Chunk { queue, messages, answer, .. } in group {
                    queue.forget_announcement();
                    let _ = answer.send(messages.iter().map(|_| Err(error.clone().into())).collect());
                }
                return;
            }
        };
        let read = |part: Part<'_>| {
            let own = answers.by_ref().take(part.len()).collect();
            part.read(&self.connections, own)
        };
        let stored: Vec<_> = parts.into_iter().map(read).collect();
        for (Chunk { needs, answer, .. }, stored) in group.into_iter().zip(stored) {
            let judge = |(stored, need): (Result<Enqueued, RequestError>, Need)| -> Stored {
                let stored = stored?;
                confirmed.judge(need, &self.endpoint.address).map(|()| stored)
            };
            let _ = answer.send(stored.into_iter().zip(needs).map(judge).collect());
        }
    }

    /// Sends a request, and what asks whether it is confirmed.
    async fn request(&self, request: &Request, need: Need) -> Result<(Vec<Answer>, Confirmed), RequestError> {
        let live = self.connections.live().await.map_err(RequestError::NotConnected)?;
        #[cfg(feature = "failpoints")]
        crate::failpoint::before(request, &live.connection).await;
        let (answers, mut confirmed) = self.send(&live, request.pipeline(), need).await?;
        let unknown = request.unknown_scripts(&answers);
        let mut answers: Vec<_> = answers.into_iter().map(|answer| self.connections.read(answer)).collect();
        if let Some((again, places)) = unknown {
            match self.send(&live, &again, need).await {
                Ok((late, covers_all)) => {
                    confirmed = covers_all;
                    places.into_iter().zip(late).for_each(|(at, answer)| answers[at] = self.connections.read(answer));
                }
                // The others were answered all the same.
                Err(error) => places.into_iter().for_each(|at| answers[at] = Err(error.clone())),
            }
        }
        #[cfg(feature = "failpoints")]
        crate::failpoint::after(request);
        Ok((answers, confirmed))
    }

    /// Sends commands and the questions about them, without waiting in between. Where the connection breaks after the
    /// commands were answered, it is known that they took effect.
    async fn send(
        &self,
        live: &Live,
        commands: &Pipeline,
        need: Need,
    ) -> Result<(Vec<Value>, Confirmed), RequestError> {
        let questions = need.questions();
        let confirm = async {
            if questions.is_empty() {
                return Ok(Ok(Vec::new()));
            }
            Ok(self.connections.send(live, &questions, ANSWER + need.limit()).await)
        };
        // The first poll of each hands it to the connection, so that they stand there in this order.
        let (answers, confirmed) = tokio::try_join!(biased; self.connections.send(live, commands, ANSWER), confirm)?;
        let read = |answers: Vec<Value>| answers.into_iter().map(|answer| self.connections.read(answer)).collect();
        Ok((answers, Confirmed::new(need, confirmed.map(read))))
    }

    /// Puts in a chunk, and says whether it is the first of its runtime.
    fn put(&self, runtime: runtime::Id, chunk: Chunk) -> bool {
        let mut all = self.lock();
        if let Some(waiting) = all.iter_mut().find(|waiting| waiting.runtime == runtime) {
            waiting.chunks.push_back(chunk);
            return false;
        }
        all.push(Waiting { runtime, chunks: VecDeque::from([chunk]) });
        true
    }

    /// The next group of a runtime, of the size of one request. Where nobody waits, the runtime has no group under way
    /// any more.
    fn take(&self, runtime: runtime::Id) -> Option<Vec<Chunk>> {
        let mut all = self.lock();
        let at = all.iter().position(|waiting| waiting.runtime == runtime)?;
        let chunks = &mut all[at].chunks;
        if chunks.is_empty() {
            all.swap_remove(at);
            return None;
        }
        let (mut bytes, mut messages) = (0, 0);
        let fits = chunks.iter().take_while(|chunk| {
            bytes += chunk.messages.iter().map(|message| message.body.len()).sum::<usize>();
            messages += chunk.messages.len();
            bytes <= REQUEST_BYTES && messages <= CHUNK_MESSAGES
        });
        let fits = fits.count().max(1);
        Some(chunks.drain(..fits).collect())
    }

    /// Takes all that waits in a runtime which ended.
    fn abandon(&self, runtime: runtime::Id) -> Option<Waiting> {
        let mut all = self.lock();
        let at = all.iter().position(|waiting| waiting.runtime == runtime)?;
        Some(all.swap_remove(at))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
