//! The limiters of a [`MemoryBroker`](super::MemoryBroker): what is used of each, by its clock.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::clock::Moment;
use super::gate::rate::{changed, opens, used};
use super::{Shared, lock};
use crate::limiter::{Acquire, Acquired, Changed, Held, Holder, Limiter, LimiterKind, Limiters, Usage};
use crate::{BrokerError, Key, MessageId, Rate};

pub(super) struct MemoryLimiters {
    // Locked first, for the time.
    shared: Arc<Mutex<Shared>>,
    used: Mutex<Used>,
    /// The clock was moved, or something was released.
    changed: Arc<Notify>,
}

/// What is used, by name and key.
#[derive(Default)]
struct Used {
    all: HashMap<(String, Key), State>,
    /// How many there may be before those that are used no more are looked for.
    enough: usize,
}

/// What is used of one limiter and key.
#[derive(Debug, Default)]
struct State {
    /// When all would be used up that a bucket has let through.
    allowed: Moment,
    /// When each was let through a window, and until when the last of them counts.
    window: VecDeque<Moment>,
    counts_until: Moment,
    held: HashMap<(MessageId, u32), Permit>,
}

#[derive(Debug)]
struct Permit {
    token: u64,
    cost: u32,
    ends: Moment,
}

impl MemoryLimiters {
    pub(super) fn new(shared: Arc<Mutex<Shared>>) -> Self {
        Self { shared, used: Mutex::default(), changed: Arc::default() }
    }

    /// Wakes whoever waits for the time or a release.
    pub(super) fn changed(&self) {
        self.changed.notify_waiters();
    }

    fn with<T>(&self, limiter: &str, key: &Key, work: impl FnOnce(&mut State, Moment) -> T) -> T {
        let now = lock(&self.shared).clock.now();
        let mut used = lock(&self.used);
        if used.all.len() > used.enough {
            used.all.retain(|_, state| !state.is_idle(now));
            used.enough = 2 * used.all.len() + 64;
        }
        work(used.all.entry((limiter.to_owned(), key.clone())).or_default(), now)
    }
}

impl State {
    fn is_idle(&self, now: Moment) -> bool {
        let is_over = |ends: Moment| ends <= now;
        is_over(self.allowed) && is_over(self.counts_until) && self.held.values().all(|permit| is_over(permit.ends))
    }

    /// When so many may be acquired, if they may not be now.
    fn opens(&mut self, kind: LimiterKind, cost: u32, holder: Option<Holder>, now: Moment) -> Option<Moment> {
        match kind {
            LimiterKind::Bucket(rate) => {
                self.allowed = changed(self.allowed, most_at_once(rate), now);
                Some(opens(self.allowed, cost, rate))
            }
            LimiterKind::Window { max, span } => {
                // The newest of those that must have left the span before.
                let leaving = (self.window.len() + cost as usize).checked_sub(max as usize + 1)?;
                Some(self.window[leaving].after(span))
            }
            LimiterKind::Concurrent { max } => {
                self.held.retain(|_, permit| permit.ends > now);
                let first = self.held.values().map(|permit| permit.ends).min();
                let own = holder.and_then(|holder| self.held.get(&(holder.id, holder.ordinal)));
                if let Some(newer) = own.filter(|own| holder.is_some_and(|holder| holder.token < own.token)) {
                    return Some(newer.ends);
                }
                let others = self.count() - own.map_or(0, |own| u64::from(own.cost));
                if others + u64::from(cost) > u64::from(max) { first } else { None }
            }
        }
        .filter(|opens| *opens > now)
    }

    fn take(&mut self, acquire: &Acquire, cost: u32, now: Moment) {
        match acquire.limiter.kind() {
            LimiterKind::Bucket(rate) => self.allowed = used(self.allowed, cost, rate, now),
            LimiterKind::Window { max, span } => {
                let left = (self.window.len() + cost as usize).saturating_sub(max as usize);
                self.window.drain(..left);
                self.window.extend(std::iter::repeat_n(now, cost as usize));
                self.counts_until = now.after(span);
            }
            LimiterKind::Concurrent { .. } => {
                let Holder { id, ordinal, token } = acquire.holder;
                self.held.insert((id, ordinal), Permit { token, cost, ends: now.after(acquire.lease) });
            }
        }
    }

    /// The permit of this holder, with this token.
    fn own(&mut self, holder: Holder) -> Option<&mut Permit> {
        self.held.get_mut(&(holder.id, holder.ordinal)).filter(|permit| permit.token == holder.token)
    }

    /// How much is held.
    fn count(&self) -> u64 {
        self.held.values().map(|permit| u64::from(permit.cost)).sum()
    }

    fn used(&self, kind: LimiterKind, now: Moment) -> u64 {
        match kind {
            LimiterKind::Bucket(rate) => {
                let used = now.until(self.allowed).as_nanos().div_ceil(rate.interval().as_nanos().max(1));
                u64::try_from(used).unwrap_or(u64::MAX)
            }
            LimiterKind::Window { span, .. } => {
                self.window.iter().rev().take_while(|at| at.after(span) > now).count() as u64
            }
            LimiterKind::Concurrent { .. } => self.count(),
        }
    }
}

/// A rate of which no more can be used up than this one's burst.
fn most_at_once(rate: Rate) -> Rate {
    Rate { burst: rate.burst.max(rate.starts), ..rate }
}

#[async_trait]
impl Limiters for MemoryLimiters {
    async fn acquire(&self, acquire: &Acquire) -> Result<Acquired, BrokerError> {
        let kind = acquire.limiter.kind();
        let cost = kind.counted(acquire.cost);
        let opens = self.with(acquire.limiter.name(), &acquire.key, |state, now| {
            let opens = state.opens(kind, cost, Some(acquire.holder), now);
            if opens.is_none() {
                state.take(acquire, cost, now);
            }
            opens.map(|opens| now.until(opens))
        });
        Ok(opens.map_or(Acquired::Granted, |retry_after| Acquired::Refused { retry_after }))
    }

    async fn renew(&self, limiter: &str, held: &[Held], lease: Duration) -> Result<Vec<bool>, BrokerError> {
        let renew = |held: &Held| {
            self.with(limiter, &held.key, |state, now| {
                state.own(held.holder).map(|permit| permit.ends = now.after(lease)).is_some()
            })
        };
        Ok(held.iter().map(renew).collect())
    }

    async fn release(&self, limiter: &str, held: &[Held]) -> Result<Vec<bool>, BrokerError> {
        let release = |held: &Held| {
            self.with(limiter, &held.key, |state, _| {
                let is_own = state.own(held.holder).is_some();
                is_own && state.held.remove(&(held.holder.id, held.holder.ordinal)).is_some()
            })
        };
        let released = held.iter().map(release).collect();
        self.changed.notify_waiters();
        Ok(released)
    }

    async fn usage(&self, limiter: &Limiter, key: &Key) -> Result<Usage, BrokerError> {
        let kind = limiter.kind();
        Ok(self.with(limiter.name(), key, |state, now| {
            let opens = state.opens(kind, 1, None, now);
            Usage::new(state.used(kind, now), opens.map_or(Duration::ZERO, |opens| now.until(opens)))
        }))
    }

    fn changed(&self) -> Changed {
        Box::pin(Arc::clone(&self.changed).notified_owned())
    }

    fn passes(&self, duration: Duration) -> Changed {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            // A test's worker runs one message after the other: nobody else would move a clock on that is held.
            if !lock(&shared).clock.advance_held(duration) {
                sleep(duration).await;
            }
        })
    }
}

impl fmt::Debug for MemoryLimiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limiters of {} keys", lock(&self.used).all.len())
    }
}
