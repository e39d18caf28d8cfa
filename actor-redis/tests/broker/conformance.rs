//! Every promise of the seam. All tests that run at one time share a server, in which each has a namespace of its own.

use std::sync::Arc;
use std::time::Duration;

use actor_core::testing::conformance::Harness;
use actor_redis::RedisBroker;
use async_trait::async_trait;

use crate::cluster::members::Cluster;
use crate::server::Server;
use crate::shared::{Shared, namespace};

/// Where the variable `ACTOR_TEST_CLUSTER` is 3, the server is a cluster of three primaries and three replicas, over which
/// the namespaces are spread.
struct OnRedis {
    server: Arc<Kind>,
    namespace: String,
}

enum Kind {
    Server(Server),
    Cluster(Cluster),
}

impl OnRedis {
    fn start() -> Self {
        static SERVER: Shared<Kind> = Shared::new();
        let start = || match std::env::var("ACTOR_TEST_CLUSTER").as_deref() {
            // On a busy machine, nobody is to take another's place: what a failover loses is not what is tested.
            Ok("3") => Kind::Cluster(Cluster::of(3, 3, &["--cluster-node-timeout", "30000"])),
            _ => Kind::Server(Server::start()),
        };
        Self { server: SERVER.get(start), namespace: namespace() }
    }
}

#[async_trait]
impl Harness for OnRedis {
    type Broker = RedisBroker;

    async fn broker(&self) -> RedisBroker {
        let url = match self.server.as_ref() {
            Kind::Server(server) => server.url(),
            Kind::Cluster(cluster) => cluster.url(),
        };
        RedisBroker::builder(&url).unwrap().namespace(&self.namespace).connect().await.unwrap()
    }

    // The server's clock cannot be moved: the time really passes.
    async fn advance(&self, _: &RedisBroker, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

#[allow(clippy::print_stdout)] // For whoever reads why the test failed.
impl Drop for OnRedis {
    fn drop(&mut self) {
        if let (true, Kind::Cluster(cluster)) = (std::thread::panicking(), self.server.as_ref()) {
            println!("{}", cluster.nodes());
        }
    }
}

actor_core::conformance_tests!(OnRedis::start());
actor_core::schedule_conformance_tests!(OnRedis::start());
actor_core::limiter_conformance_tests!(OnRedis::start());
actor_core::result_conformance_tests!(OnRedis::start());
actor_core::state_conformance_tests!(OnRedis::start());
