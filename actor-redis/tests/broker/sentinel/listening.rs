use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_redis::RedisBroker;

use super::failover::{send_until_stored, waiting_read};
use super::liar::Liar;
use super::set::{Set, url};
use crate::server::{Server, message, queue, send, worker};

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

/// Two servers of which one is to be promoted, and Sentinels that still name the other.
async fn before_a_promotion(sentinels: usize) -> (Server, Server, Vec<Liar>, RedisBroker) {
    let on_a_port = || Server::on_port(|port| vec!["--port".to_owned(), port.to_owned()]);
    let (former, promoted) = (on_a_port(), on_a_port());
    let mut liars = Vec::new();
    for _ in 0..sentinels {
        liars.push(Liar::naming(port(&former)).await);
    }
    let broker = RedisBroker::connect(&url(liars.iter().map(|liar| liar.port))).await.unwrap();
    (former, promoted, liars, broker)
}

fn port(server: &Server) -> u16 {
    server.port().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_was_missed_is_made_up_for_at_the_next_sentinel() {
    let (former, promoted, sentinels, broker) = before_a_promotion(2).await;
    let consumer = worker(&broker).await;
    let waits = waiting_read(&broker, &consumer, former.raw()).await;
    // Nobody says so, and whoever is listened to goes away then.
    sentinels.iter().for_each(|sentinel| sentinel.name(port(&promoted)));
    let began = Instant::now();
    sentinels.iter().for_each(Liar::be_silent);
    let (ended, is_unknown) = waits.await.unwrap();
    assert!(is_unknown && ended.duration_since(began) < Duration::from_secs(8), "{:?}", ended.duration_since(began));
    send(&broker, vec![message("a")]).await;
    assert_eq!(promoted.run::<i64>("XLEN {actor:mail}:ready:normal"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_have_not_heard_of_a_promotion_hold_up_nobody_who_has() {
    let (former, promoted, sentinels, broker) = before_a_promotion(3).await;
    send(&broker, vec![message("before")]).await;
    // Nor is the former primary waited for, which they still name.
    former.freeze();
    sentinels[0].name(port(&promoted));
    sentinels.iter().for_each(|sentinel| sentinel.announce(port(&former), port(&promoted)));
    let error = broker.enqueue(&queue(), vec![message("lost")]).await.remove(0).unwrap_err();
    assert!(error.is_unknown(), "{error}");
    let began = Instant::now();
    assert_eq!(send_until_stored(&broker, "after").await, 0);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(promoted.run::<i64>("XLEN {actor:mail}:ready:normal"), 1);
    former.thaw();
}
