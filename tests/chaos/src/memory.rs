//! What a NAT or a balancer remembers of a connection, and forgets when it is quiet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::now_us;
use crate::history::{Journal, What};

/// How long a network remembers a connection on which nothing comes, and whose network it is.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) after: Duration,
    pub(crate) on: String,
    pub(crate) journal: Arc<Journal>,
}

/// One connection, as its network remembers it.
pub(crate) struct Remembered {
    memory: Option<Memory>,
    last: AtomicU64,
    forgotten: AtomicBool,
}

impl Remembered {
    pub(crate) fn new(memory: Option<Memory>) -> Self {
        Self { memory, last: AtomicU64::new(now_us()), forgotten: AtomicBool::new(false) }
    }

    /// Whether the network knows nothing of the connection by now. What comes on it is swallowed then, and so is that
    /// an end closed it: the other end hears nothing any more, however often it is called. Else it is remembered anew.
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
