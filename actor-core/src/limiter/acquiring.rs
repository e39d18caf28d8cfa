//! Acquiring: once, or in turn until the limiter allows it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::error::LimiterError;
use super::hub::Hub;
use super::permit::Permit;
use super::seam::{Acquire, Acquired, Holder, Limiters};
use super::{Limiter, LimiterKind};
use crate::send::blocking;
use crate::{BrokerError, Key, MessageId};

/// Until when whoever waits for a permit asks again, at first and at most. Releases elsewhere are not heard of.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];

/// When to ask for a permit again that may be released at any time.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A permit on its way: the future of every acquisition.
///
/// # Cancel safety
///
/// Of a bucket or a window it may or may not have been acquired when the future is dropped. A permit of a concurrent
/// limiter that was granted to a future which is dropped is released.
#[must_use = "nothing is acquired until the future is awaited"]
pub struct Acquiring(Pin<Box<dyn Future<Output = Result<Permit, LimiterError>> + Send>>);

impl Acquiring {
    pub(super) fn new(future: impl Future<Output = Result<Permit, LimiterError>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }

    /// Blocks the thread until it is acquired or refused, for sync actors and programs without a runtime. In async code,
    /// await it.
    ///
    /// ```
    /// use actor_core::{Context, Failure, Limiter, actor};
    ///
    /// static LICENCES: Limiter = Limiter::concurrent("licences", 2);
    ///
    /// #[actor(queue = "video")]
    /// fn transcode(cx: &Context, file: String) -> Result<(), Failure> {
    ///     let _permit = LICENCES.acquire_for(cx).blocking()?;
    ///     println!("{file}");
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As of the future, or the operating system refused a thread.
    pub fn blocking(self) -> Result<Permit, LimiterError> {
        blocking::wait(self).unwrap_or_else(|error| Err(LimiterError::no_thread(error)))
    }
}

impl Future for Acquiring {
    type Output = Result<Permit, LimiterError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Acquiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acquiring")
    }
}

/// Whether a refusal is waited out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Yes,
    No,
}

/// The delivery of a message, which holds the permits that its run acquires.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) id: MessageId,
    pub(super) token: u64,
}

/// What is asked of the storage.
struct Asks {
    hub: Arc<Hub>,
    limiter: Limiter,
    key: Key,
    cost: u32,
    run: Option<Runs>,
}

pub(super) async fn acquire(
    limiters: Arc<dyn Limiters>,
    limiter: Limiter,
    key: Key,
    cost: u32,
    run: Option<Runs>,
    waits: Waits,
) -> Result<Permit, LimiterError> {
    let asks = Asks { hub: Hub::of(limiters), limiter, key, cost, run };
    let is_concurrent = matches!(limiter.kind(), LimiterKind::Concurrent { .. });
    if waits == Waits::No {
        let longest = if is_concurrent { ASK_AGAIN } else { Duration::MAX };
        return asks.ask().await?.map_err(|after| LimiterError::refused(limiter.name(), after.min(longest)));
    }
    let line = asks.hub.line(limiter.name(), &asks.key);
    let _turn = line.turn.lock().await;
    let [mut pause, longest] = PAUSES;
    loop {
        // Made before the storage is asked, so that no change is missed.
        let changed = asks.hub.limiters().changed();
        let mut after = match asks.ask().await? {
            Ok(permit) => return Ok(permit),
            Err(after) => after,
        };
        if is_concurrent {
            after = after.min(pause);
            pause = (2 * pause).min(longest);
        }
        let passed = if is_concurrent { Box::pin(sleep(after)) } else { asks.hub.limiters().passes(after) };
        tokio::select! {
            () = passed => {}
            () = changed => {}
            () = line.released.notified(), if is_concurrent => {}
        }
    }
}

impl Asks {
    /// Asks once. A refusal says when to ask again.
    async fn ask(&self) -> Result<Result<Permit, Duration>, LimiterError> {
        let asked = Instant::now();
        if !matches!(self.limiter.kind(), LimiterKind::Concurrent { .. }) {
            let nobody = Holder::new(MessageId::new(), 0, 0);
            return match self.hub.limiters().acquire(&self.by(nobody)).await {
                Ok(Acquired::Granted) => Ok(Ok(Permit::used())),
                Ok(Acquired::Refused { retry_after }) => Ok(Err(retry_after)),
                Err(error) => Err(LimiterError::broker(self.limiter.name(), error)),
            };
        }
        let permit = Hub::reserve(&self.hub, self.limiter.name(), &self.key, self.run)?;
        let acquire = self.by(permit.holder());
        let mut answer = self.hub.limiters().acquire(&acquire).await;
        if answer.as_ref().is_err_and(BrokerError::is_unknown) {
            // Asking again for the same holder is the same permit.
            answer = self.hub.limiters().acquire(&acquire).await;
        }
        match answer {
            Ok(Acquired::Granted) => Ok(Ok(permit.granted(asked))),
            Ok(Acquired::Refused { retry_after }) => {
                permit.forget();
                Ok(Err(retry_after))
            }
            // Dropped, the permit is released in case that it was granted.
            Err(error) => Err(LimiterError::broker(self.limiter.name(), error)),
        }
    }

    fn by(&self, holder: Holder) -> Acquire {
        Acquire::new(self.limiter, holder).key(self.key.clone()).cost(self.cost)
    }
}
