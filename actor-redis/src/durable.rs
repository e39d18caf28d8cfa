//! Durable sends: what concurrent callers send is confirmed together.
//!
//! `WAIT` covers what its own connection wrote, and holds up whatever comes behind it there. Durable sends therefore
//! have a connection of their own, in a cluster one to each primary, on which each runtime has one group of messages under
//! way at a time. What is sent meanwhile, to whichever queues there, is the next group. So one wait serves all who wait, no sender waits for more than the
//! group before its own, and nothing else waits at all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actor_core::broker::{Enqueue, Enqueued};
use actor_core::{BrokerError, Durability};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use crate::RedisBroker;
use crate::announce;
use crate::cluster::Reach;
use crate::confirm::Need;
use crate::connection::{Connections, Quiet};
use crate::enqueue::{CHUNK_MESSAGES, Part};
use crate::error::{Error, Kind, RequestError};
use crate::exchange::Confirming;
use crate::link::{Link, Servers};
use crate::queue::Queue;
use crate::request::{Answer, REQUEST_BYTES, Request, fitting};

type Stored = Result<Enqueued, BrokerError>;

/// The way of durable sends to Redis. Its connections are made when they are first needed.
#[derive(Debug)]
pub(crate) struct Durable {
    /// That of messages which ask for none.
    level: Durability,
    link: Link,
    // One for each lane that has a group under way: few.
    waiting: Mutex<Vec<Waiting>>,
}

/// The way of one runtime to one server.
#[derive(Clone, Debug)]
struct Lane {
    runtime: runtime::Id,
    connections: Arc<Connections>,
}

impl PartialEq for Lane {
    fn eq(&self, other: &Self) -> bool {
        self.runtime == other.runtime && Arc::ptr_eq(&self.connections, &other.connections)
    }
}

/// What waits in a lane for the next group.
#[derive(Debug)]
struct Waiting {
    lane: Lane,
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
    let connections = match durable.link.connections(queue).await {
        Ok(connections) => connections,
        Err(error) => return messages.iter().map(|_| Err(unconnected(&error))).collect(),
    };
    let no_sync = if messages.iter().any(wants_sync) { cannot_sync(&connections).await } else { None };
    // In a cluster the set of queues has a slot of its own.
    let apart = announce::where_apart(broker, queue);
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
        stored.extend(send(broker, &connections, queue, taken, needs).await);
        (taken, needs) = (later, needs_later);
    }
    if let Some(apart) = apart {
        announce::listed(apart).await;
    }
    let mut stored = stored.into_iter();
    let answer = |refused: Option<RequestError>| match refused {
        Some(error) => Err(error.into()),
        None => stored.next().unwrap_or_else(|| Err(ended())),
    };
    refused.into_iter().map(answer).collect()
}

/// Sends with the next group.
async fn send(
    broker: &RedisBroker,
    connections: &Arc<Connections>,
    queue: &Arc<Queue>,
    messages: Vec<Enqueue>,
    needs: Vec<Need>,
) -> Vec<Stored> {
    let count = messages.len();
    let Ok(runtime) = Handle::try_current() else {
        let error = Arc::new(Kind::NoRuntime.into());
        return (0..count).map(|_| Err(unconnected(&error))).collect();
    };
    let (answer, answered) = oneshot::channel();
    let chunk = Chunk { queue: Arc::clone(queue), messages, needs, answer };
    let lane = Lane { runtime: runtime.id(), connections: Arc::clone(connections) };
    if broker.inner().durable.put(&lane, chunk) {
        runtime.spawn(send_groups(Duty { broker: broker.clone(), lane: Some(lane) }));
    }
    answered.await.unwrap_or_else(|_| (0..count).map(|_| Err(ended())).collect())
}

fn unconnected(error: &Arc<Error>) -> BrokerError {
    RequestError::NotConnected(Arc::clone(error)).into()
}

fn ended() -> BrokerError {
    BrokerError::unknown("the runtime that was sending it ended: it may or may not have been stored")
}

/// Why the server cannot say what is on its disk; also where it cannot be reached.
async fn cannot_sync(connections: &Connections) -> Option<Arc<Error>> {
    match connections.live().await {
        Ok(live) => live.cannot_sync().map(Arc::new),
        Err(error) => Some(error),
    }
}

/// Sends one group after another, until nobody waits.
async fn send_groups(mut duty: Duty) {
    while let Some(lane) = &duty.lane {
        // Lets everyone send who is ready to.
        tokio::task::yield_now().await;
        let inner = duty.broker.inner();
        match inner.durable.take(lane) {
            Some(group) => inner.durable.store(inner.queues.namespace(), &lane.connections, group).await,
            None => duty.lane = None,
        }
    }
}

/// The duty to send what waits in a lane. Where its runtime ends before, what waits is answered all the same.
struct Duty {
    broker: RedisBroker,
    lane: Option<Lane>,
}

impl Drop for Duty {
    fn drop(&mut self) {
        if let Some(lane) = &self.lane {
            drop(self.broker.inner().durable.abandon(lane));
        }
    }
}

impl Durable {
    pub(crate) fn new(servers: &Servers, level: Durability) -> Self {
        Self { level, link: servers.link(Quiet::Ask, Reach::All), waiting: Mutex::default() }
    }

    /// Whether a message has to be more than stored.
    pub(crate) fn is_for(&self, message: &Enqueue) -> bool {
        self.need(message) != Some(Need::default())
    }

    /// Connects, where every message will need it, and checks that each server can do what they ask for.
    pub(crate) async fn ready(&self) -> Result<(), Arc<Error>> {
        let need = Need::of(self.level).unwrap_or_default();
        if need == Need::default() {
            return Ok(());
        }
        let lives = self.link.each_live().await?;
        let unfit = lives.iter().find_map(|live| live.cannot_sync().filter(|_| need.sync));
        unfit.map_or(Ok(()), |error| Err(Arc::new(error)))
    }

    /// What a message needs that asks for nothing; `None` where it has only to be stored.
    pub(crate) fn by_default(&self) -> Option<Need> {
        Need::of(self.level).filter(|need| *need != Need::default())
    }

    /// Sends a request that stores in one queue, and waits until all of that is as durable as this.
    pub(crate) async fn request(&self, to: &Queue, request: &Request, need: Need) -> Result<Vec<Answer>, BrokerError> {
        let connections = self.link.connections(to).await.map_err(|error| unconnected(&error))?;
        if need.sync
            && let Some(error) = cannot_sync(&connections).await
        {
            return Err(unconnected(&error));
        }
        let mut confirming = Confirming::new(need, request.len());
        let answers = self.link.exchange(&connections, request, &mut confirming).await?;
        confirming.judge(request.len() - 1, need)?;
        Ok(answers)
    }

    fn need(&self, message: &Enqueue) -> Option<Need> {
        Need::of(message.durability.unwrap_or(self.level))
    }

    /// Stores a group, and answers its callers. One that was dropped has no use for its answer.
    async fn store(&self, namespace: &str, connections: &Connections, group: Vec<Chunk>) {
        let is_delayed = group.iter().flat_map(|chunk| &chunk.messages).any(|message| !message.delay.is_zero());
        let mut request = Request::new(if is_delayed { "schedule" } else { "enqueue" });
        let parts: Vec<_> = group
            .iter()
            .map(|chunk| {
                let announcement = match self.link {
                    Link::One(_) => chunk.queue.first_announcement(namespace),
                    Link::Cluster(..) => None,
                };
                Part::put(&mut request, &chunk.queue, announcement, &chunk.messages)
            })
            .collect();
        let need = group.iter().flat_map(|chunk| &chunk.needs).fold(Need::default(), |all, need| all.and(*need));
        let mut confirming = Confirming::new(need, request.len());
        let mut answers = match self.link.exchange(connections, &request, &mut confirming).await {
            Ok(answers) => answers.into_iter(),
            Err(error) => {
                for Chunk { queue, messages, answer, .. } in group {
                    queue.forget_announcement();
                    let _ = answer.send(messages.iter().map(|_| Err(error.clone().into())).collect());
                }
                return;
            }
        };
        let mut next = 0;
        let read = |(part, chunk): (Part<'_>, &Chunk)| -> Vec<Stored> {
            let own = answers.by_ref().take(part.len()).collect();
            let first = next;
            next += part.len();
            let places = part.places().into_iter().map(|place| first + place);
            let stored = part.read(self.link.to(&chunk.queue), own).into_iter().zip(places).zip(&chunk.needs);
            let judged = stored.map(|((stored, place), need)| {
                let stored = stored?;
                confirming.judge(place, *need).map(|()| stored)
            });
            judged.collect()
        };
        let stored: Vec<_> = parts.into_iter().zip(&group).map(read).collect();
        for (Chunk { answer, .. }, stored) in group.into_iter().zip(stored) {
            let _ = answer.send(stored);
        }
    }

    /// Puts in a chunk, and says whether it is the first of its lane.
    fn put(&self, lane: &Lane, chunk: Chunk) -> bool {
        let mut all = self.lock();
        if let Some(waiting) = all.iter_mut().find(|waiting| waiting.lane == *lane) {
            waiting.chunks.push_back(chunk);
            return false;
        }
        all.push(Waiting { lane: lane.clone(), chunks: VecDeque::from([chunk]) });
        true
    }

    /// The next group of a lane, of the size of one request. Where nobody waits, the lane has no group under way any more.
    fn take(&self, lane: &Lane) -> Option<Vec<Chunk>> {
        let mut all = self.lock();
        let at = all.iter().position(|waiting| waiting.lane == *lane)?;
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

    /// Takes all that waits in a lane whose runtime ended.
    fn abandon(&self, lane: &Lane) -> Option<Waiting> {
        let mut all = self.lock();
        let at = all.iter().position(|waiting| waiting.lane == *lane)?;
        Some(all.swap_remove(at))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
