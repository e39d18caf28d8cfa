//! Every promise of the seam, on a server of each test's own.

use std::time::Duration;

use actor_core::testing::conformance::Harness;
use actor_redis::RedisBroker;
use async_trait::async_trait;

use crate::cluster::members::Cluster;
use crate::server::Server;

/// Where the variable `ACTOR_TEST_CLUSTER` is 3, a cluster of three primaries and three replicas.
enum OnRedis {
    Server(Server),
    Cluster(Cluster),
}

impl OnRedis {
    fn start() -> Self {
        match std::env::var("ACTOR_TEST_CLUSTER").as_deref() {
            Ok("3") => Self::Cluster(Cluster::of(3, 3, &["--cluster-node-timeout", "30000"])),
            _ => Self::Server(Server::start()),
        }
    }
}

#[async_trait]
impl Harness for OnRedis {
    type Broker = RedisBroker;

    async fn broker(&self) -> RedisBroker {
        match self {
            Self::Server(server) => server.broker().await,
            Self::Cluster(cluster) => RedisBroker::connect(&cluster.url()).await.unwrap(),
        }
    }

    // The server's clock cannot be moved: the time really passes.
    async fn advance(&self, _: &RedisBroker, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

actor_core::conformance_tests!(OnRedis::start());
actor_core::schedule_conformance_tests!(OnRedis::start());
actor_core::state_conformance_tests!(OnRedis::start());
