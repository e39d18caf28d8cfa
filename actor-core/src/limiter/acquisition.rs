//! What is to be acquired of a limiter: of which key, and how much.

use std::fmt;
use std::sync::Arc;

use super::acquiring::{Acquiring, Runs, Waits, acquire};
use super::error::LimiterError;
use super::line::declared;
use super::seam::{Limiters, Usage};
use super::{Limiter, LimiterKind};
use crate::install::installed;
use crate::{Broker, Context, Key, KeyError};

/// An acquisition of a [`Limiter`]: of one of its keys, or of more than one at once.
#[derive(Clone, Debug)]
#[must_use = "nothing is acquired until it is asked for"]
pub struct Acquisition {
    limiter: Limiter,
    key: Result<Key, KeyError>,
    cost: u32,
}

impl Acquisition {
    pub(super) fn new(limiter: Limiter) -> Self {
        Self { limiter, key: Ok(Key::default()), cost: 1 }
    }

    /// Of the limiter of this key: each key is limited by itself.
    pub fn key(self, key: impl fmt::Display) -> Self {
        Self { key: Key::new(key.to_string()), ..self }
    }

    /// So many at once. Default: 1, and at least. More than the limit counts as all of it.
    pub fn cost(self, cost: u32) -> Self {
        Self { cost: cost.max(1), ..self }
    }

    /// Acquires, if the limiter allows it now, through the broker that `send` uses.
    ///
    /// In an actor, `?` on a refusal becomes [`Failure::rate_limited`](crate::Failure::rate_limited): no attempt is spent,
    /// and the message runs again when there may be a permit.
    ///
    /// # Errors
    ///
    /// It was refused: [`LimiterError::retry_after`] says when to ask again. Or the broker failed: see the predicates.
    ///
    /// # Cancel safety
    ///
    /// Of a bucket or a window it may or may not have been acquired when the future is dropped. A permit of a concurrent
    /// limiter that was granted to a future which is dropped is released.
    pub fn try_acquire(self) -> Acquiring {
        self.start(Waits::No, None, None)
    }

    /// Acquires, and waits until the limiter allows it, through the broker that `send` uses.
    ///
    /// Callers of one process, limiter and key take turns in the order in which they came, and only the first asks the
    /// broker: for a bucket or a window at the time that the broker said, for a concurrent limiter as soon as this process
    /// releases a permit, and otherwise every 20 to 250 ms. Processes compete with each other in no order. It waits
    /// without a limit: wrap it in `tokio::time::timeout` for one.
    ///
    /// # Errors
    ///
    /// The broker failed: see the predicates of [`LimiterError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the turn. What was acquired meanwhile is as for [`try_acquire`](Self::try_acquire).
    pub fn acquire(self) -> Acquiring {
        self.start(Waits::Yes, None, None)
    }

    /// [`try_acquire`](Self::try_acquire) for a run's message. See [`acquire_for`](Self::acquire_for).
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_for(self, cx: &Context) -> Acquiring {
        self.start(Waits::No, Some(cx), None)
    }

    /// [`acquire`](Self::acquire) for a run's message, which holds the permit of a concurrent limiter. If its worker dies,
    /// the next run of the message takes the permit over, in place of waiting for the end of its lease. A run that was
    /// superseded releases nothing that a newer one took over.
    ///
    /// Several permits of one run are counted each. The next run takes them over in the order in which it asks.
    ///
    /// ```
    /// use actor_core::{Context, Failure, Limiter, actor};
    ///
    /// static FTP: Limiter = Limiter::concurrent("ftp", 5);
    ///
    /// #[actor(queue = "files")]
    /// async fn upload(cx: &Context, path: String) -> Result<(), Failure> {
    ///     let _permit = FTP.acquire_for(cx).await?;
    ///     println!("{path}");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_for(self, cx: &Context) -> Acquiring {
        self.start(Waits::Yes, Some(cx), None)
    }

    /// [`try_acquire`](Self::try_acquire) through `broker`.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_with(self, broker: &dyn Broker) -> Acquiring {
        self.start(Waits::No, None, Some(broker))
    }

    /// [`acquire`](Self::acquire) through `broker`.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_with(self, broker: &dyn Broker) -> Acquiring {
        self.start(Waits::Yes, None, Some(broker))
    }

    /// What is used of the limiter's key now, through the broker that `send` uses.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn usage(self) -> Result<Usage, LimiterError> {
        let key = self.key.map_err(LimiterError::key)?;
        let limiters = found(None)?;
        limiters.usage(&self.limiter, &key).await.map_err(|error| LimiterError::broker(self.limiter.name(), error))
    }

    fn start(self, waits: Waits, cx: Option<&Context>, broker: Option<&dyn Broker>) -> Acquiring {
        let Self { limiter, key, cost } = self;
        let run = match limiter.kind() {
            LimiterKind::Concurrent { .. } => cx.map(|cx| Runs { id: cx.id(), token: cx.fencing_token() }),
            _ => None,
        };
        // The broker is looked up here, not at the first poll: the future may be polled on another thread.
        let ready = || Ok((found(broker)?, declared(limiter)?, key.map_err(LimiterError::key)?));
        match ready() {
            Ok((limiters, (), key)) => Acquiring::new(acquire(limiters, limiter, key, cost, run, waits)),
            Err(error) => Acquiring::new(std::future::ready(Err(error))),
        }
    }
}

/// The limiters of the broker, or of the installed one.
fn found(broker: Option<&dyn Broker>) -> Result<Arc<dyn Limiters>, LimiterError> {
    let limiters = match broker {
        Some(broker) => broker.limiters(),
        None => installed().ok_or_else(LimiterError::not_installed)?.limiters(),
    };
    limiters.ok_or_else(LimiterError::unsupported)
}
