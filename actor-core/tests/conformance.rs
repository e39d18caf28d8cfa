//! The in-process broker keeps every promise of the seam.

use std::time::Duration;

use actor_core::MemoryBroker;
use actor_core::testing::conformance::Harness;
use async_trait::async_trait;

struct InProcess;

#[async_trait]
impl Harness for InProcess {
    type Broker = MemoryBroker;

    async fn broker(&self) -> MemoryBroker {
        MemoryBroker::new()
    }

    async fn advance(&self, broker: &MemoryBroker, duration: Duration) {
        broker.advance(duration);
    }
}

actor_core::conformance_tests!(InProcess);
actor_core::schedule_conformance_tests!(InProcess);
actor_core::limiter_conformance_tests!(InProcess);
actor_core::result_conformance_tests!(InProcess);
actor_core::state_conformance_tests!(InProcess);
