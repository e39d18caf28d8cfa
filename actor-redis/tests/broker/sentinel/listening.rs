use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_redis::RedisBroker;

use super::set::Set;
use crate::server::{message, queue, send};

/// Only against a test that hangs.
const HANGS: Duration = Duration::from_secs(20);

impl Set {
    /// Waits until so many listen to its Sentinels.
    async fn until_listeners(&self, count: usize) {
        let began = Instant::now();
        while self.sentinels.iter().map(super::set::Process::listeners).sum::<usize>() != count {
            assert!(began.elapsed() < HANGS, "there are not {count} who listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) async fn until_listened_to(&self) {
        self.until_listeners(1).await;
    }
}

#[test]
fn the_listener_lives_as_long_as_the_broker_and_no_longer() {
    let set = Set::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let broker = first.block_on(async {
        let broker = RedisBroker::connect(&set.url()).await.unwrap();
        set.until_listened_to().await;
        broker
    });
    // No runtime of the caller's has to live for it.
    drop(first);
    runtime().block_on(async {
        set.until_listened_to().await;
        send(&broker, vec![message("a")]).await;
        let other = broker.clone();
        drop(broker);
        set.until_listened_to().await;
        drop(other);
        set.until_listeners(0).await;
    });
}

#[tokio::test]
async fn a_broker_that_was_never_used_asks_nobody() {
    let set = Set::start();
    let broker = RedisBroker::builder(&set.url()).unwrap().connect_lazy().unwrap();
    set.until_listeners(0).await;
    assert!(broker.enqueue(&queue(), vec![message("a")]).await[0].is_ok());
    set.until_listened_to().await;
}

#[tokio::test]
async fn when_a_sentinel_is_gone_or_silent_another_is_listened_to() {
    let mut set = Set::start();
    let broker = RedisBroker::connect(&set.url()).await.unwrap();
    set.until_listened_to().await;
    let at = set.sentinels.iter().position(|sentinel| sentinel.listeners() == 1).unwrap();
    set.sentinels.remove(at).kill();
    set.until_listened_to().await;
    // One whose host is gone says nothing about that.
    let at = set.sentinels.iter().position(|sentinel| sentinel.listeners() == 1).unwrap();
    let silent = set.sentinels.remove(at);
    silent.freeze();
    set.until_listened_to().await;
    drop(broker);
    set.until_listeners(0).await;
}
