use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Delivery, Wait};
use actor_core::settlement::{Outcome, Settled};
use actor_redis::RedisBroker;

use super::set::Set;
use crate::server::{LEASE, bodies, claim, message, queue, send, worker};

/// How soon after the Sentinels' decision there is service again.
const SOON: Duration = Duration::from_secs(2);
/// How soon what waits is told: no second is needed, in which those that follow the new primary are counted.
const AT_ONCE: Duration = Duration::from_millis(800);

async fn connect(set: &Set) -> RedisBroker {
    RedisBroker::connect(&set.url()).await.unwrap()
}

/// Sends until it is stored; how often the outcome was unknown.
pub(crate) async fn send_until_stored(broker: &RedisBroker, body: &str) -> usize {
    let mut unknown = 0;
    loop {
        match broker.enqueue(&queue(), vec![message(body)]).await.remove(0) {
            Ok(_) => return unknown,
            Err(error) => {
                assert!(error.is_transient() || error.is_unknown(), "{error}");
                unknown += usize::from(error.is_unknown());
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Claims until there is nothing more, over all that fails meanwhile.
async fn claim_all(broker: &RedisBroker, consumer: &Consumer) -> Vec<Delivery> {
    let mut all = Vec::new();
    loop {
        match broker.claim(consumer, 100, &Wait::new(Duration::from_millis(300))).await {
            Ok(delivered) if delivered.is_empty() => return all,
            Ok(delivered) => all.extend(delivered),
            Err(error) => assert!(error.is_transient() || error.is_unknown(), "{error}"),
        }
    }
}

async fn settle_all(broker: &RedisBroker, consumer: &Consumer, delivered: Vec<Delivery>) {
    for delivery in delivered {
        let done = [(delivery.receipt, Outcome::Done.into())];
        let settled = loop {
            match broker.settle(consumer, &done).await.remove(0) {
                Ok(settled) => break settled,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        assert_eq!(settled, Settled::Applied);
    }
}

/// A read that waits for long at this server; when it ended, and whether its outcome is unknown.
pub(super) async fn waiting_read(
    broker: &RedisBroker,
    consumer: &Consumer,
    mut raw: redis::Connection,
) -> tokio::task::JoinHandle<(Instant, bool)> {
    assert!(claim(broker, consumer, 1).await.is_empty());
    let (broker, consumer) = (broker.clone(), consumer.clone());
    let waits = tokio::spawn(async move {
        let error = broker.claim(&consumer, 1, &Wait::new(Duration::from_secs(30))).await.unwrap_err();
        (Instant::now(), error.is_unknown())
    });
    while !redis::cmd("CLIENT").arg("LIST").query::<String>(&mut raw).unwrap().contains("flags=b") {
        tokio::task::yield_now().await;
    }
    waits
}

/// A set of which this test kills or freezes the primary, so that its worker and its messages go on elsewhere.
struct Scene {
    set: Set,
    broker: RedisBroker,
    consumer: Consumer,
}

impl Scene {
    async fn start() -> Self {
        let set = Set::start();
        let broker = connect(&set).await;
        let consumer = worker(&broker).await;
        Self { set, broker, consumer }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_and_replicated_survives_the_primarys_death() {
    let Scene { mut set, broker, consumer } = Scene::start().await;
    send(&broker, (0..50).map(|number| message(&number.to_string())).collect()).await;
    let mut held = claim(&broker, &consumer, 20).await;
    let settled = bodies(&held[..10]);
    settle_all(&broker, &consumer, held.drain(..10).collect()).await;
    set.until_in_sync();
    set.servers[0].kill();
    // Each is stored once: where no connection stood, nothing was sent.
    let unknown = send_until_stored(&broker, "after").await;
    assert!(unknown <= 1, "one request was under way at most");
    let held_over = bodies(&held);
    settle_all(&broker, &consumer, held).await;
    let delivered = claim_all(&broker, &consumer).await;
    let mut seen = bodies(&delivered);
    settle_all(&broker, &consumer, delivered).await;
    seen.extend(held_over);
    seen.extend(settled);
    let wanted: BTreeSet<_> = (0..50).map(|number| number.to_string()).chain(["after".to_owned()]).collect();
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(seen.len(), wanted.len(), "what was settled does not come back: {seen:?}");
    // The lease went on too.
    assert!(broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap().held);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_service_soon_after_the_sentinels_have_decided() {
    let Scene { mut set, broker, .. } = Scene::start().await;
    send(&broker, vec![message("before")]).await;
    set.until_in_sync();
    set.servers[0].kill();
    let stored = tokio::spawn({
        let broker = broker.clone();
        async move {
            send_until_stored(&broker, "after").await;
            Instant::now()
        }
    });
    let (decided, set) = tokio::task::spawn_blocking(move || (set.until_one_moved_on(), set)).await.unwrap();
    let late = stored.await.unwrap().saturating_duration_since(decided);
    assert!(late < SOON, "{late:?} after the decision");
    drop(set);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_at_a_frozen_primary_ends_when_another_is_promoted() {
    let Scene { set, broker, consumer } = Scene::start().await;
    let waits = waiting_read(&broker, &consumer, set.primary().raw()).await;
    set.until_in_sync();
    set.primary().freeze();
    let (decided, set) = tokio::task::spawn_blocking(move || (set.until_one_moved_on(), set)).await.unwrap();
    let (ended, is_unknown) = waits.await.unwrap();
    assert!(is_unknown, "it may have delivered something");
    let late = ended.saturating_duration_since(decided);
    assert!(late < AT_ONCE, "{late:?} after the decision");
    // The heartbeat and everything else too: nothing waits for the former primary's answer.
    let began = Instant::now();
    send_until_stored(&broker, "after").await;
    while broker.renew(&consumer.worker, &[queue()], LEASE).await.is_err() {}
    assert_eq!(bodies(&claim_all(&broker, &consumer).await), ["after"]);
    assert!(began.elapsed() < 2 * SOON, "{:?}", began.elapsed());
    drop(set);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_by_hand_is_followed_while_the_former_primary_still_takes_writes() {
    let Scene { set, broker, consumer } = Scene::start().await;
    send(&broker, vec![message("before")]).await;
    set.until_in_sync();
    let _: String = set.sentinels[0].run("SENTINEL FAILOVER mymaster");
    let (_, set) = tokio::task::spawn_blocking(move || (set.until_all_moved_on(), set)).await.unwrap();
    let began = Instant::now();
    // The Sentinels leave the former primary as it is for 8 s. What it takes in that time is lost.
    assert!(set.primary().run::<String>("INFO replication").contains("role:master"));
    let promoted = set.named_by(&set.sentinels[0]);
    while promoted.run::<i64>("XLEN {actor:mail}:ready:normal") < 2 {
        send_until_stored(&broker, "after").await;
        assert!(began.elapsed() < SOON, "it sends to the former primary");
    }
    while !broker.renew(&consumer.worker, &[queue()], LEASE).await.is_ok_and(|renewed| renewed.held) {}
    let bodies = bodies(&claim_all(&broker, &consumer).await);
    assert!(bodies.len() >= 2 && bodies[0] == "before", "{bodies:?}");
}
