//! All tests that run at one time share a set, in which each has a namespace of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use actor_core::testing::conformance::Harness;
use actor_redis::RedisBroker;
use async_trait::async_trait;

use super::set::Set;

struct OnSentinel {
    set: Arc<Set>,
    namespace: String,
}

impl OnSentinel {
    fn start() -> Self {
        static SHARED: Mutex<Weak<Set>> = Mutex::new(Weak::new());
        static TESTS: AtomicUsize = AtomicUsize::new(0);
        let mut shared = SHARED.lock().unwrap();
        let set = shared.upgrade().unwrap_or_else(|| Arc::new(Set::start()));
        *shared = Arc::downgrade(&set);
        Self { set, namespace: format!("test-{}", TESTS.fetch_add(1, Ordering::Relaxed)) }
    }
}

#[async_trait]
impl Harness for OnSentinel {
    type Broker = RedisBroker;

    async fn broker(&self) -> RedisBroker {
        RedisBroker::builder(&self.set.url()).unwrap().namespace(&self.namespace).connect().await.unwrap()
    }

    async fn advance(&self, _: &RedisBroker, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

actor_core::conformance_tests!(OnSentinel::start());
actor_core::state_conformance_tests!(OnSentinel::start());
