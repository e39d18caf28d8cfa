//! A private broker, and what it takes to inspect it.

use std::sync::Arc;
use std::time::Duration;

use actor_core::broker::{Broker, Enqueue};
use actor_core::delivery::{Consumer, WorkerId};
use actor_core::inspect::{Counts, Listed, Page, State};
use actor_core::{Inspect, MemoryBroker, MessageId, Priority, QueueName, Worker, WorkerBuilder};
use actor_redis::{RedisBroker, RedisBrokerBuilder as Settings};
use bytes::Bytes;

use super::RedisServer;
use super::probe::within;

/// A private broker.
pub struct Stage {
    kind: Kind,
    /// The broker that the test sends with.
    pub broker: Arc<dyn Broker>,
    /// The same broker, for inspection.
    pub inspect: Arc<dyn Inspect>,
}

enum Kind {
    Memory(MemoryBroker),
    Redis(RedisServer, Set),
}

/// The settings of every broker of a stage.
type Set = fn(Settings) -> Settings;

impl Stage {
    pub fn memory() -> Self {
        let broker = MemoryBroker::new();
        Self { broker: Arc::new(broker.clone()), inspect: Arc::new(broker.clone()), kind: Kind::Memory(broker) }
    }

    pub async fn redis() -> Self {
        Self::on(RedisServer::start()).await
    }

    pub async fn on(server: RedisServer) -> Self {
        Self::with(server, |settings| settings).await
    }

    /// With other settings than the defaults.
    pub async fn with(server: RedisServer, set: Set) -> Self {
        let broker = connect(&server, set).await;
        Self { broker: Arc::new(broker.clone()), inspect: Arc::new(broker), kind: Kind::Redis(server, set) }
    }

    /// A broker for one more process. On Redis it has its own connections.
    pub async fn another(&self) -> Arc<dyn Broker> {
        match &self.kind {
            Kind::Memory(broker) => Arc::new(broker.clone()),
            Kind::Redis(server, set) => Arc::new(connect(server, *set).await),
        }
    }

    /// A worker of one queue, with its own broker. The test adds states.
    pub async fn worker(&self, queue: &str) -> WorkerBuilder {
        Worker::builder(self.another().await).queues([name(queue)])
    }

    /// Stores bytes that no sender of this library wrote.
    pub async fn put(&self, queue: &str, body: impl Into<Bytes>) {
        let message = Enqueue::new(MessageId::new(), Priority::Normal, body.into());
        let answer = self.broker.enqueue(&name(queue), vec![message]).await.pop();
        answer.expect("one message has one answer").expect("the broker answers");
    }

    pub fn server(&mut self) -> &mut RedisServer {
        match &mut self.kind {
            Kind::Redis(server, _) => server,
            Kind::Memory(_) => panic!("only a server behaves like this"),
        }
    }

    pub async fn counts(&self, queue: &str) -> Counts {
        // After a cut, the first call may be the one that notices.
        match self.inspect.counts(&name(queue)).await {
            Ok(counts) => counts,
            Err(error) if error.is_no_such_queue() => Counts::default(),
            Err(_) => self.inspect.counts(&name(queue)).await.expect("the broker answers"),
        }
    }

    /// Waits for these counts.
    pub async fn until(&self, queue: &str, wanted: impl Fn(&Counts) -> bool) -> Counts {
        within(async {
            loop {
                let counts = self.counts(queue).await;
                if wanted(&counts) {
                    return counts;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }

    /// Every message in a state.
    pub async fn list(&self, queue: &str, state: State) -> Vec<Listed> {
        let (mut all, mut page) = (Vec::new(), Page::first(1_000));
        loop {
            let listing = match self.inspect.list(&name(queue), state, page.clone()).await {
                Err(error) if error.is_no_such_queue() => return all,
                listing => listing.expect("the broker answers"),
            };
            all.extend(listing.messages);
            page.after = listing.next;
            if page.after.is_none() {
                return all;
            }
        }
    }

    /// Waits until all is done that there was to do.
    pub async fn until_empty(&self, queue: &str) -> Counts {
        self.until(queue, |counts| counts.outstanding() == 0).await
    }

    /// Declares the queue's only holder dead. What it held is left to be recovered.
    pub async fn declare_dead(&self, queue: &str) {
        let holder = self
            .list(queue, State::InFlight)
            .await
            .pop()
            .and_then(|delivered| delivered.worker)
            .expect("it is in flight");
        let (holder, queues) = (WorkerId::from_text(&holder), [name(queue)]);
        let successor = Consumer::new(WorkerId::new("successor"), name(queue));
        self.broker.register(&successor.worker, &queues, Duration::from_secs(3_600)).await.expect("the broker answers");
        let took = async || {
            // It may renew its lease at any moment.
            self.broker.renew(&holder, &queues, Duration::ZERO).await.expect("the broker answers");
            !self.broker.recover(&successor, 1, Duration::ZERO).await.expect("the broker answers").is_empty()
        };
        while !took().await {}
        self.broker.deregister(&successor.worker, &queues).await.expect("the broker answers");
    }

    /// The reason of the only dead letter.
    pub async fn dead_reason(&self, queue: &str) -> String {
        self.until(queue, |counts| counts.dead == 1).await;
        let mut dead = self.list(queue, State::Dead).await;
        dead.pop().and_then(|dead_letter| dead_letter.reason).expect("a dead letter has a reason")
    }
}

async fn connect(server: &RedisServer, set: Set) -> RedisBroker {
    let settings = RedisBroker::builder(&server.url()).expect("a path in a temporary directory makes a URL");
    set(settings).connect().await.expect("the server was started before")
}

pub fn name(queue: &str) -> QueueName {
    queue.parse().expect("a test's queue has a proper name")
}
