//! Every promise of the seam, on a server of each test's own.

use std::time::Duration;

use actor_core::testing::conformance::Harness;
use actor_redis::RedisBroker;
use async_trait::async_trait;

use crate::server::Server;

struct OnRedis(Server);

#[async_trait]
impl Harness for OnRedis {
    type Broker = RedisBroker;

    async fn broker(&self) -> RedisBroker {
        self.0.broker().await
    }

    // The server's clock cannot be moved: the time really passes.
    async fn advance(&self, _: &RedisBroker, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

actor_core::conformance_tests!(OnRedis(Server::start()));
