//! What all tests share that run at one time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Servers that begin with the first test that needs them, and end with the last: a static one would never be dropped,
/// and its processes would outlive the tests.
pub(crate) struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    pub(crate) fn get(&self, start: impl FnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let new = Arc::new(start());
            *shared = Arc::downgrade(&new);
            new
        })
    }
}

/// A namespace that no other test has: for it the shared servers are empty.
pub(crate) fn namespace() -> String {
    static TESTS: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", TESTS.fetch_add(1, Ordering::Relaxed))
}
