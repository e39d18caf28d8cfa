//! Reading and repairing queues, for people and screens.

mod control;
mod index;
mod lanes;
mod limits;
mod list;
mod repair;

use actor_core::inspect::{Counts, Handle, Inspect, Listed, Listing, Page, State, Which};
use actor_core::{BrokerError, QueueName};
use async_trait::async_trait;
use redis::FromRedisValue;

pub(crate) use self::control::Sought;
use crate::broker::RedisBroker;
use crate::entry::EntryId;
use crate::error::RequestError;
use crate::keys::{self, Keys, Level, PAUSED};
use crate::link::Route;
use crate::queue::Queue;
use crate::request::Request;
use crate::script::{self, Call};

#[async_trait]
impl Inspect for RedisBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BrokerError> {
        let key = keys::queues(self.inner().queues.namespace());
        let names: Vec<String> =
            self.inner().commands.to_set(&self.inner().queues).ask(redis::cmd("SMEMBERS").arg(key)).await?;
        // What is no name was put there by someone else.
        let mut queues: Vec<QueueName> = names.iter().filter_map(|name| name.parse().ok()).collect();
        queues.sort_unstable();
        Ok(queues)
    }

    async fn counts(&self, queue: &QueueName) -> Result<Counts, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let counts = script::counted(self.at(&queue).run(script::count(&queue.keys)).await?);
        self.known(&queue, counts != Counts::default()).await?;
        Ok(counts)
    }

    async fn list(&self, queue: &QueueName, state: State, page: Page) -> Result<Listing, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let limit = page.limit.clamp(1, list::LONGEST_PAGE);
        let listing = self.at(&queue).list(state, page.after.as_ref(), limit).await?;
        self.known(&queue, !listing.messages.is_empty()).await?;
        Ok(listing)
    }

    async fn read(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<Option<Listed>, BrokerError> {
        let queue = self.inner().queues.get(queue);
        Ok(self.at(&queue).read(state, handle).await?)
    }

    async fn replay(&self, queue: &QueueName, which: Which) -> Result<u64, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let replayed = match which {
            Which::One(handle) => self.at(&queue).replay_one(handle).await?,
            Which::All => self.at(&queue).replay_all().await?,
            _ => return Err(RequestError::Unsupported("this choice of dead letters").into()),
        };
        self.known(&queue, replayed > 0).await?;
        Ok(replayed)
    }

    async fn delete(&self, queue: &QueueName, state: State, handle: &Handle) -> Result<bool, BrokerError> {
        let queue = self.inner().queues.get(queue);
        Ok(self.at(&queue).delete(state, handle).await?)
    }

    async fn purge(&self, queue: &QueueName, state: State) -> Result<u64, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let purged = self.at(&queue).purge(state).await?;
        self.known(&queue, purged > 0).await?;
        Ok(purged)
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BrokerError> {
        let queue = self.inner().queues.get(queue);
        // Below every lease and every mark, so that a heartbeat sees it first.
        let () = self.to(&queue).ask(redis::cmd("ZADD").arg(&queue.keys.workers).arg(-1).arg(PAUSED)).await?;
        queue.set_paused(true);
        Ok(())
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BrokerError> {
        let queue = self.inner().queues.get(queue);
        let () = self.to(&queue).ask(redis::cmd("ZREM").arg(&queue.keys.workers).arg(PAUSED)).await?;
        queue.set_paused(false);
        Ok(())
    }
}

impl RedisBroker {
    pub(crate) fn to<'a>(&'a self, queue: &'a Queue) -> Route<'a> {
        self.inner().commands.to(queue)
    }

    pub(crate) fn at<'a>(&'a self, queue: &'a Queue) -> Inspector<'a> {
        Inspector { connections: self.to(queue), keys: &queue.keys }
    }

    /// Fails where nothing was found in a queue of a name that is not known.
    pub(crate) async fn known(&self, queue: &Queue, found: bool) -> Result<(), BrokerError> {
        if found {
            return Ok(());
        }
        // Whoever may not read the list of queues learns nothing from it.
        let Ok(known) = self.queues().await else { return Ok(()) };
        // What is not listed may be served all the same, where the list was lost or is forbidden to workers.
        let is_served = known.contains(&queue.name)
            || self.to(queue).ask::<bool>(redis::cmd("EXISTS").arg(&queue.keys.workers)).await?;
        if is_served { Ok(()) } else { Err(BrokerError::no_such_queue(&queue.name, &known)) }
    }
}

/// Reads and repairs one queue.
pub(crate) struct Inspector<'a> {
    pub(crate) connections: Route<'a>,
    pub(crate) keys: &'a Keys,
}

impl Inspector<'_> {
    pub(crate) async fn run<T: FromRedisValue>(&self, call: Call) -> Result<T, RequestError> {
        self.connections.run(Request::calling("inspect", call)).await
    }
}

/// What names an entry of a ready stream, as `normal:1700000000000-0`.
fn entry_handle(level: Level, id: EntryId) -> String {
    format!("{}:{id}", level.name())
}

pub(crate) fn read_entry_handle(text: &str) -> Option<(Level, EntryId)> {
    let (name, id) = text.rsplit_once(':')?;
    let level = Level::ALL.into_iter().find(|level| level.name() == name)?;
    Some((level, EntryId::parse(id.as_bytes())?))
}
