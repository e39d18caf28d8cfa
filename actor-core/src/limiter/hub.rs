//! What this process knows of one broker's limiters.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::acquiring::Runs;
use super::error::LimiterError;
use super::keeper;
use super::lease::Lease;
use super::line::{Line, Lines};
use super::permit::{Asked, Permit};
use super::seam::{Held, Holder, Limiters};
use crate::{BrokerError, Key, MessageId};

/// Those of which somebody acquires or holds something.
static HUBS: Mutex<Vec<Weak<Hub>>> = Mutex::new(Vec::new());

/// Who waits for what of a broker's limiters, and which permits are held.
pub(super) struct Hub {
    limiters: Arc<dyn Limiters>,
    // Both are locked for moments only, by callers and the keeper.
    lines: Mutex<Lines>,
    kept: Mutex<Kept>,
    /// Wakes the keeper.
    pub(super) wake: Notify,
}

/// What the keeper keeps.
#[derive(Debug, Default)]
struct Kept {
    /// All that is asked for, held or being released: of each there is one.
    leases: HashMap<(&'static str, Held), Arc<Lease>>,
    /// What the keeper is to release.
    dropped: Vec<Arc<Lease>>,
    is_running: bool,
}

impl Hub {
    /// The one of these limiters.
    pub(super) fn of(limiters: Arc<dyn Limiters>) -> Arc<Self> {
        let mut hubs = HUBS.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.retain(|hub| hub.strong_count() > 0);
        let is_of = |hub: &Arc<Self>| std::ptr::addr_eq(Arc::as_ptr(&hub.limiters), Arc::as_ptr(&limiters));
        if let Some(hub) = hubs.iter().filter_map(Weak::upgrade).find(is_of) {
            return hub;
        }
        let hub = Arc::new(Self { limiters, lines: Mutex::default(), kept: Mutex::default(), wake: Notify::new() });
        hubs.push(Arc::downgrade(&hub));
        hub
    }

    pub(super) fn limiters(&self) -> &Arc<dyn Limiters> {
        &self.limiters
    }

    pub(super) fn line(&self, limiter: &'static str, key: &Key) -> Arc<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).get(limiter, key)
    }

    /// Begins to ask for a permit, with the keeper running that will renew it.
    pub(super) fn reserve(
        hub: &Arc<Self>,
        limiter: &'static str,
        key: &Key,
        run: Option<Runs>,
    ) -> Result<Asked, LimiterError> {
        let line = hub.line(limiter, key);
        let (id, token) = run.map_or_else(|| (MessageId::new(), 0), |run| (run.id, run.token));
        let mut kept = hub.kept();
        // Of the permits of one run each counts. What is still being released is not this one.
        let mut held = Held { key: key.clone(), holder: Holder::new(id, 0, token) };
        while kept.leases.contains_key(&(limiter, held.clone())) {
            held.holder.ordinal += 1;
        }
        Self::run_keeper(hub, &mut kept).map_err(|error| LimiterError::broker(limiter, error))?;
        let lease = Arc::new(Lease::new(limiter, held.clone(), line));
        kept.leases.insert((limiter, held), Arc::clone(&lease));
        drop(kept);
        Ok(Permit::asked(Arc::clone(hub), lease))
    }

    /// Has the keeper release it.
    pub(super) fn release(hub: &Arc<Self>, lease: Arc<Lease>) {
        lease.leave();
        let mut kept = hub.kept();
        match Self::run_keeper(hub, &mut kept) {
            Ok(()) => kept.dropped.push(lease),
            // The lease ends by itself.
            Err(_) => drop(kept.leases.remove(&(lease.limiter, lease.held.clone()))),
        }
        drop(kept);
        hub.wake.notify_one();
    }

    /// It was refused.
    pub(super) fn forget(&self, lease: &Lease) {
        self.kept().leases.remove(&(lease.limiter, lease.held.clone()));
    }

    /// It is released: others of this process may ask for it.
    pub(super) fn released(&self, lease: &Lease) {
        self.forget(lease);
        lease.line.released.notify_one();
    }

    /// What is to be released.
    pub(super) fn take_dropped(&self) -> Vec<Arc<Lease>> {
        std::mem::take(&mut self.kept().dropped)
    }

    /// What is to be renewed.
    pub(super) fn kept_leases(&self) -> Vec<Arc<Lease>> {
        self.kept().leases.values().filter(|lease| lease.is_kept()).cloned().collect()
    }

    /// Whether nothing is asked for, held or being released.
    pub(super) fn is_idle(&self) -> bool {
        self.kept().leases.is_empty()
    }

    /// Ends the keeper, unless there is something to keep.
    pub(super) fn ends_idle(&self) -> bool {
        let mut kept = self.kept();
        kept.is_running = !kept.leases.is_empty();
        !kept.is_running
    }

    /// The keeper's thread has ended, however it did.
    pub(super) fn ended(&self) {
        self.kept().is_running = false;
    }

    fn run_keeper(hub: &Arc<Self>, kept: &mut Kept) -> Result<(), BrokerError> {
        if !kept.is_running {
            keeper::start(Arc::clone(hub)).map_err(|error| BrokerError::unavailable(NO_THREAD).caused_by(error))?;
            kept.is_running = true;
        }
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const NO_THREAD: &str = "the operating system refused the thread that renews permits";

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("limiters", &self.limiters).finish_non_exhaustive()
    }
}
