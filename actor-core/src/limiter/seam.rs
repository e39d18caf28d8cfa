//! The seam: a storage that keeps limiters. It costs the path of a message nothing.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;

use super::{Limiter, LimiterKind};
use crate::{BrokerError, Key, MessageId};

/// What completes once something may be acquired earlier than was answered, or some time has passed.
pub type Changed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A storage that keeps what is used of limiters, by name and key.
///
/// `actor_core::testing::conformance::limiters` tests every promise.
///
/// - One clock decides what is used up and which lease has ended: the storage's.
/// - Of any number of callers at once, no more are granted than the limiter allows.
/// - Each call is judged by the definition that it carries. What was used under another definition of the same kind counts:
///   of a bucket no more than this one's burst, or all of its number where that is more.
/// - A name and key of which nothing is used leave nothing behind.
#[async_trait]
pub trait Limiters: fmt::Debug + Send + Sync + 'static {
    /// Acquires, if the limiter allows it now.
    ///
    /// For a [concurrent](LimiterKind::Concurrent) limiter the holder has a permit from then until it is released or its
    /// lease has ended. Asking again for the same holder grants the same permit, with a new lease: it may be repeated where
    /// the outcome is unknown. A larger [token](Holder::token) takes the permit over; a smaller one is refused.
    ///
    /// # Errors
    ///
    /// The storage could not be reached or refused. [`BrokerError::is_unknown`]: it may have been acquired all the same.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have been acquired when the future is dropped.
    async fn acquire(&self, acquire: &Acquire) -> Result<Acquired, BrokerError>;

    /// Prolongs the leases of permits of one limiter to `lease` from now, also of those that have run out without anybody
    /// having noticed. The answers stand in their order: whether each is still held by this holder, with this token.
    ///
    /// Called from a thread and a runtime of its own.
    ///
    /// # Errors
    ///
    /// The storage could not be reached. Nothing is known of the leases then. It may be repeated.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have happened when the future is dropped.
    async fn renew(&self, limiter: &str, held: &[Held], lease: Duration) -> Result<Vec<bool>, BrokerError>;

    /// Releases permits of one limiter. The answers stand in their order: whether each was held by this holder, with this
    /// token. A permit that was taken over is not released.
    ///
    /// # Errors
    ///
    /// The storage could not be reached. It may be repeated; else the leases end by themselves.
    ///
    /// # Cancel safety
    ///
    /// It may or may not have happened when the future is dropped.
    async fn release(&self, limiter: &str, held: &[Held]) -> Result<Vec<bool>, BrokerError>;

    /// What is used of a limiter's key now.
    ///
    /// # Errors
    ///
    /// The storage could not be reached.
    async fn usage(&self, limiter: &Limiter, key: &Key) -> Result<Usage, BrokerError>;

    /// What completes once something may be acquired earlier than was answered to whoever asked after this call, for a
    /// storage whose time can be moved or that knows of every release. Default: it never completes. Whoever waits then
    /// asks again.
    fn changed(&self) -> Changed {
        Box::pin(std::future::pending())
    }

    /// What completes once so much of the storage's time has passed that whoever waits for a bucket or a window may ask
    /// again. Default: as much of this process's time.
    fn passes(&self, duration: Duration) -> Changed {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// What is to be acquired.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Acquire {
    /// Of which limiter, with its definition.
    pub limiter: Limiter,
    /// Of which key.
    pub key: Key,
    /// How many, at least 1. More than the limit counts as all of it.
    pub cost: u32,
    /// Who holds the permit of a concurrent limiter.
    pub holder: Holder,
    /// How long the permit of a concurrent limiter is held if it is not renewed.
    pub lease: Duration,
}

impl Acquire {
    /// One of a limiter without a key, for the usual lease.
    #[must_use]
    pub fn new(limiter: Limiter, holder: Holder) -> Self {
        Self { limiter, key: Key::default(), cost: 1, holder, lease: super::LEASE }
    }

    /// The same of this key.
    #[must_use]
    pub fn key(self, key: Key) -> Self {
        Self { key, ..self }
    }

    /// The same for so many, and one at least.
    #[must_use]
    pub fn cost(self, cost: u32) -> Self {
        Self { cost: cost.max(1), ..self }
    }

    /// The same for this lease.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// The permit that it asks for.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { key: self.key.clone(), holder: self.holder }
    }
}

/// Who holds a permit: a message, or one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Holder {
    /// The message, or an id of the caller's own.
    pub id: MessageId,
    /// Which of the permits of this message, from 0 on.
    pub ordinal: u32,
    /// The fencing token of the message's delivery; 0 where there is none.
    pub token: u64,
}

impl Holder {
    /// The holder of the permit number `ordinal` of a message that was delivered with this fencing token.
    #[must_use]
    pub fn new(id: MessageId, ordinal: u32, token: u64) -> Self {
        Self { id, ordinal, token }
    }
}

/// A permit of a concurrent limiter, as a storage knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Held {
    /// Of which key.
    pub key: Key,
    /// Who holds it.
    pub holder: Holder,
}

/// What became of an acquisition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquired {
    /// It was acquired.
    Granted,
    /// It may not be now.
    Refused {
        /// When it may be, unless others are first: exact for a bucket and a window. For a concurrent limiter it is when
        /// the next lease ends, if no permit is released or renewed before.
        retry_after: Duration,
    },
}

/// What is used of a limiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// How many are used: of a bucket's burst, in the span that ends now, or held.
    pub used: u64,
    /// When the next one may be acquired, as [`Acquired::Refused`] says it; zero for at once.
    pub opens_after: Duration,
}

impl Usage {
    /// So many are used, and the next may be acquired after so long.
    #[must_use]
    pub fn new(used: u64, opens_after: Duration) -> Self {
        Self { used, opens_after }
    }
}

impl LimiterKind {
    /// What a cost counts as: all of the limit where it is more.
    #[must_use]
    pub fn counted(self, cost: u32) -> u32 {
        let most = match self {
            Self::Bucket(rate) => rate.starts.max(rate.burst),
            Self::Window { max, .. } | Self::Concurrent { max } => max,
        };
        cost.clamp(1, most)
    }
}
