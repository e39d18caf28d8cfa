//! All tests that run at one time share a set, in which each has a namespace of its own.

use std::sync::Arc;
use std::time::Duration;

use actor_core::testing::conformance::Harness;
use actor_redis::RedisBroker;
use async_trait::async_trait;

use super::set::Set;
use crate::shared::{Shared, namespace};

struct OnSentinel {
    set: Arc<Set>,
    namespace: String,
}

impl OnSentinel {
    fn start() -> Self {
        static SET: Shared<Set> = Shared::new();
        Self { set: SET.get(Set::start), namespace: namespace() }
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
actor_core::limiter_conformance_tests!(OnSentinel::start());
actor_core::result_conformance_tests!(OnSentinel::start());
actor_core::state_conformance_tests!(OnSentinel::start());
