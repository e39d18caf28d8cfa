//! How a NAT or load balancer drops connections that are idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::now_us;
use crate::history::{Journal, What};

/// How long a network keeps an idle connection, and whose network it is.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) after: Duration,
    pub(crate) on: String,
    pub(crate) journal: Arc<Journal>,
}

/// One connection, as the network tracks it.
pub(crate) struct Remembered {
    memory: Option<Memory>,
    last: AtomicU64,
    forgotten: AtomicBool,
}

impl Remembered {
    pub(crate) fn new(memory: Option<Memory>) -> Self {
        Self { memory, last: AtomicU64::new(now_us()), forgotten: AtomicBool::new(false) }
    }

    /// Whether the network has dropped the connection. It then discards what arrives, and does not pass on that an end
    /// closed it, however often this is called. Otherwise the connection counts as active again.
    pub(crate) fn forgets(&self) -> bool {
        let Some(memory) = &self.memory else { return false };
        if self.forgotten.load(Ordering::Relaxed) {
            return true;
        }
        let now = now_us();
        let quiet = now.saturating_sub(self.last.swap(now, Ordering::Relaxed));
        let forgets = u128::from(quiet) > memory.after.as_micros();
        if forgets && !self.forgotten.swap(true, Ordering::Relaxed) {
            memory.journal.note(&What::Forgot { on: memory.on.clone() });
        }
        forgets
    }
}
