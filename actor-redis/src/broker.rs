//! The broker: which part answers which call.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actor_core::broker::{Broker, Enqueue, Enqueued};
use actor_core::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use actor_core::limiter::Limiters;
use actor_core::outbox::Outboxes;
use actor_core::results::Results;
use actor_core::schedule::Schedules;
use actor_core::settlement::{Settled, Settlement};
use actor_core::state::States;
use actor_core::{BrokerError, Control, QueueName};
use async_trait::async_trait;

use crate::builder::RedisBrokerBuilder;
use crate::cluster::{Cluster, Reach, Seeds};
use crate::connection::Quiet;
use crate::consumer::Consumers;
use crate::durable::Durable;
use crate::error::Error;
use crate::lease::Leases;
use crate::limiters::RedisLimiters;
use crate::link::{Link, Servers};
use crate::queue::{Queue, Queues};
use crate::results::Waiters;
use crate::script::Retention;
use crate::{announce, batcher, begin, durable, enqueue, settle};

/// A broker that keeps its messages in Redis. Clones share their connections.
///
/// `docs/redis-keys.md` shows what it keeps there.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use actor_redis::RedisBroker;
///
/// actor_core::install(RedisBroker::connect("redis://localhost:6379").await?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisBroker(Arc<Inner>);

pub(crate) struct Inner {
    servers: Arc<Servers>,
    /// For everything but waiting reads and renewals.
    pub(crate) commands: Arc<Link>,
    limiters: Arc<RedisLimiters>,
    pub(crate) queues: Queues,
    /// For what has to be more than stored.
    pub(crate) durable: Durable,
    consumers: Consumers,
    leases: Leases,
    /// Who waits for the end of a message.
    pub(crate) waiters: Waiters,
    max_message_bytes: usize,
    retention: Retention,
}

impl RedisBroker {
    /// Connects to the server at `url`, with every setting at its default.
    ///
    /// The forms of a URL: `redis://host`, `redis://user:password@host:6379/0`, the same with
    /// `rediss://` for TLS (feature `tls`), and `redis+unix:///path/to/socket?db=0&user=u&pass=p`. A cluster's names
    /// some of its members, any of which leads to all: `redis+cluster://user:password@n1:7000,n2:7001`, the same with
    /// `rediss+cluster://`.
    ///
    /// `redis+sentinel://user:password@s1:26379,s2:26379,s3:26379/mymaster/0` finds the primary that these Sentinels
    /// call `mymaster`. List all of them. The port is 26379 and the database 0 unless the URL says otherwise. User and
    /// password are the servers'; the Sentinels' own are set by
    /// [`sentinel_credentials`](RedisBrokerBuilder::sentinel_credentials). With `rediss+sentinel://` both the servers
    /// and the Sentinels are spoken to by TLS.
    ///
    /// # Errors
    ///
    /// The URL is wrong, or the server cannot be reached or used. See the predicates of [`Error`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect but on the connection that was being made.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url)?.connect().await
    }

    /// A broker with settings of its own.
    ///
    /// # Errors
    ///
    /// The URL is wrong.
    pub fn builder(url: &str) -> Result<RedisBrokerBuilder, Error> {
        RedisBrokerBuilder::new(url)
    }

    pub(crate) fn new(settings: RedisBrokerBuilder) -> Self {
        let queues = Queues::new(&settings.namespace);
        let servers = Arc::new(match settings.seeds {
            Some(all) => {
                let seeds = Seeds { first: settings.endpoint, all };
                Servers::Cluster(Cluster::new(seeds, settings.addresses, queues.slot()))
            }
            None => Servers::One(Arc::new(settings.endpoint)),
        });
        let commands = Arc::new(servers.link(Quiet::Ask, Reach::All));
        Self(Arc::new(Inner {
            limiters: Arc::new(RedisLimiters::new(Arc::clone(&commands), &settings.namespace)),
            commands,
            queues,
            consumers: Consumers::new(Arc::clone(&servers), settings.weighted),
            leases: Leases::new(Arc::clone(&servers)),
            waiters: Waiters::default(),
            durable: Durable::new(&servers, settings.durability),
            max_message_bytes: settings.max_message_bytes,
            retention: settings.retention,
            servers,
        }))
    }

    /// Stores messages in requests of their own.
    pub(crate) async fn store(&self, queue: &Arc<Queue>, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        let (with_them, apart) = announce::first(self, queue);
        let answers = enqueue::enqueue(self.0.commands.to(queue), queue, with_them, messages).await;
        if let Some(apart) = apart {
            announce::listed(apart).await;
        }
        answers
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for RedisBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBroker")
            .field("servers", &self.0.servers)
            .field("namespace", &self.0.queues.namespace())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for RedisBroker {
    async fn enqueue(&self, queue: &QueueName, mut messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        let queue = self.0.queues.get(queue);
        if messages.iter().any(|message| self.0.durable.is_for(message)) {
            return Box::pin(durable::enqueue(self, &queue, messages)).await;
        }
        match messages.pop() {
            Some(message) if messages.is_empty() => batcher::enqueue(self, &queue, message).await,
            last => {
                messages.extend(last);
                self.store(&queue, messages).await
            }
        }
    }

    async fn register(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError> {
        Ok(self.0.leases.register(worker, &self.0.queues, queues, lease).await?)
    }

    async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError> {
        Ok(self.0.leases.renew(worker, &self.0.queues, queues, lease).await?)
    }

    async fn stopping(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        Ok(self.0.leases.stopping(worker, &self.0.queues, queues).await?)
    }

    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        let consumer = self.0.consumers.get(consumer, &self.0.queues);
        Ok(consumer.claim(self.0.commands.to(consumer.queue()), max, wait).await?)
    }

    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
        let consumer = self.0.consumers.get(consumer, &self.0.queues);
        Ok(consumer.recover(self.0.commands.to(consumer.queue()), max, grace).await?)
    }

    async fn unpark(&self, consumer: &Consumer, abilities: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError> {
        let consumer = self.0.consumers.get(consumer, &self.0.queues);
        Ok(consumer.unpark(self.0.commands.to(consumer.queue()), abilities, max).await?)
    }

    async fn begin(&self, consumer: &Consumer, receipts: &[Receipt]) -> Vec<Result<Settled, BrokerError>> {
        let queue = self.0.queues.get(&consumer.queue);
        let begun = begin::begin(self.0.commands.to(&queue), &queue, consumer.worker.as_str(), receipts).await;
        begun.into_iter().map(|answer| answer.map_err(BrokerError::from)).collect()
    }

    async fn settle(
        &self,
        consumer: &Consumer,
        settlements: &[(Receipt, Settlement)],
    ) -> Vec<Result<Settled, BrokerError>> {
        let queue = self.0.queues.get(&consumer.queue);
        let commands = self.0.commands.to(&queue);
        let answers = settle::settle(commands, &queue, consumer.worker.as_str(), self.0.retention, settlements).await;
        self.0.consumers.settled(consumer, settlements, &answers);
        answers.into_iter().map(|answer| answer.map_err(BrokerError::from)).collect()
    }

    async fn deregister(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        // Whatever is answered, this worker asks for nothing any more.
        self.0.consumers.forget(worker);
        Ok(self.0.leases.deregister(worker, &self.0.queues, queues).await?)
    }

    fn control(&self) -> Option<&dyn Control> {
        Some(self)
    }

    fn now(&self) -> SystemTime {
        self.0.servers.now()
    }

    fn schedules(&self) -> Option<&dyn Schedules> {
        Some(self)
    }

    fn outboxes(&self) -> Option<&dyn Outboxes> {
        Some(self)
    }

    fn limiters(&self) -> Option<Arc<dyn Limiters>> {
        Some(Arc::<RedisLimiters>::clone(&self.0.limiters))
    }

    fn states(&self) -> Option<&dyn States> {
        Some(self)
    }

    fn results(&self) -> Option<&dyn Results> {
        Some(self)
    }

    fn max_message_bytes(&self) -> usize {
        self.0.max_message_bytes
    }
}
