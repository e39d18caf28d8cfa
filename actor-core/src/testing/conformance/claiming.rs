//! Messages are in flight.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Harness;
use super::scene::{Scene, message, release, texts};
use crate::Priority;
use crate::broker::Broker;
use crate::delivery::Wait;
use crate::settlement::Settled;

/// First in, first out.
pub async fn messages_of_one_priority_are_delivered_in_their_order<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["1", "2", "3"]).await;
    scene.enqueue(["4", "5"].map(|body| message(body, Priority::Normal)).into()).await;
    assert_eq!(texts(&scene.deliver(&worker, 2).await), ["1", "2"]);
    scene.send(&["6"]).await;
    assert_eq!(texts(&scene.deliver(&worker, 4).await), ["3", "4", "5", "6"]);
}

/// The order is strict: a lower priority waits while a higher one is there.
pub async fn a_higher_priority_goes_first<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    let sent = [("l1", Priority::Low), ("n1", Priority::Normal), ("h1", Priority::High)];
    let more = [("l2", Priority::Low), ("n2", Priority::Normal), ("h2", Priority::High)];
    for (body, priority) in sent.into_iter().chain(more) {
        scene.enqueue(vec![message(body, priority)]).await;
    }
    assert_eq!(texts(&scene.deliver(&worker, 6).await), ["h1", "h2", "n1", "n2", "l1", "l2"]);
    scene.enqueue(vec![message("l3", Priority::Low)]).await;
    scene.enqueue(vec![message("h3", Priority::High)]).await;
    let next = scene.claim(&worker, 1).await;
    assert_eq!(texts(&next).first().map(String::as_str), Some("h3"));
}

/// So that a worker starts them in that order too, when it claimed the lower one before.
pub async fn a_delivery_ranks_its_message_by_priority<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    let mut ranks = Vec::new();
    for priority in [Priority::Low, Priority::Normal, Priority::High] {
        scene.enqueue(vec![message("it", priority)]).await;
        ranks.push(scene.claim_one(&worker).await.rank);
    }
    assert!(ranks.is_sorted_by(|lower, higher| lower > higher), "{ranks:?}");
    scene.enqueue(vec![message("released", Priority::Low)]).await;
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(scene.settle(&worker, &delivery, release("released")).await, Settled::Applied);
    let again = scene.claim_one(&worker).await.rank;
    assert!(again <= ranks[0] && again > ranks[1], "what was released ranks {again}, of {ranks:?}");
}

/// A worker asks for what it has room for.
pub async fn a_claim_of_one_priority_keeps_to_its_maximum<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["1", "2", "3"]).await;
    assert_eq!(texts(&scene.claim(&worker, 2).await), ["1", "2"]);
    scene.counts([1, 2, 0, 0]).await;
}

/// What is over must not wait in the hands of a worker that did not ask for it. Nothing of it is lost or overtaken.
pub async fn a_claim_of_several_priorities_keeps_to_its_maximum<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    // Nothing is known to wait at any priority.
    scene.delivers_nothing(&worker).await;
    let mut expected = Vec::new();
    for priority in [Priority::Low, Priority::Normal, Priority::High] {
        let bodies: Vec<_> = (0..7).map(|number| format!("{priority:?} {number}")).collect();
        scene.enqueue(bodies.iter().map(|body| message(body, priority)).collect()).await;
        expected.splice(..0, bodies);
    }
    let mut delivered = Vec::new();
    while delivered.len() < expected.len() {
        let some = scene.claim(&worker, 3).await;
        assert!(some.len() <= 3, "{:?}", texts(&some));
        delivered.extend(texts(&some));
    }
    assert_eq!(delivered, expected);
    scene.counts([0, 21, 0, 0]).await;
}

/// Zero is not "as many as there are".
pub async fn a_claim_of_none_delivers_none<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    scene.send(&["it"]).await;
    let delivered = scene.broker.claim(&worker, 0, &Wait::new(Duration::ZERO)).await;
    assert_eq!(texts(&delivered.expect("it can be reached")), [""; 0]);
    scene.counts([1, 0, 0, 0]).await;
}

/// With nothing to deliver a claim waits no longer than its limit.
pub async fn a_claim_on_an_empty_queue_ends_at_its_limit<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    for limit in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50)] {
        let delivered = scene.broker.claim(&worker, 10, &Wait::new(limit)).await;
        assert_eq!(texts(&delivered.expect("it can be reached")), [""; 0]);
    }
}

/// However many workers there are, and however they race.
pub async fn claimers_at_once_never_share_a_message<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let sent: Vec<String> = (0..500).map(|number| format!("message {number}")).collect();
    scene.enqueue(sent.iter().map(|body| message(body, Priority::Normal)).collect()).await;
    let (mut claimers, left) = (JoinSet::new(), Arc::new(AtomicUsize::new(sent.len())));
    for name in ["one", "two", "three", "four"] {
        let (broker, worker, left) = (scene.broker.clone(), scene.worker(name).await, left.clone());
        claimers.spawn(async move {
            let mut bodies = Vec::new();
            while left.load(Relaxed) > 0 {
                let delivered = broker.claim(&worker, 7, &Wait::new(Duration::from_millis(10))).await;
                let delivered = texts(&delivered.expect("it can be reached"));
                left.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(delivered.len()))).ok();
                bodies.extend(delivered);
            }
            bodies
        });
    }
    let mut delivered: Vec<String> = claimers.join_all().await.concat();
    delivered.sort_by_key(|body| sent.iter().position(|sent| sent == body));
    assert!(delivered == sent, "{} messages were in flight of {}", delivered.len(), sent.len());
}

/// It does not have to wait for its limit.
pub async fn a_waiting_claim_is_woken_by_a_message<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    for priority in [Priority::Low, Priority::Normal, Priority::High] {
        let (delivered, ()) = tokio::join!(scene.deliver(&worker, 1), scene.enqueue(vec![message("it", priority)]));
        assert_eq!(texts(&delivered), ["it"]);
    }
}

/// No wake-up is lost where several workers wait for several messages.
pub async fn every_waiting_claim_is_woken<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let [a, b, c] = [scene.worker("a").await, scene.worker("b").await, scene.worker("c").await];
    for _ in 0..20 {
        let send = async {
            scene.send(&["1"]).await;
            scene.enqueue(vec![message("2", Priority::Normal), message("3", Priority::Normal)]).await;
        };
        let (a, b, c, ()) = tokio::join!(scene.deliver(&a, 1), scene.deliver(&b, 1), scene.deliver(&c, 1), send);
        let mut delivered = texts(&[a, b, c].into_iter().flatten().collect::<Vec<_>>());
        delivered.sort();
        assert_eq!(delivered, ["1", "2", "3"]);
    }
}

/// Soon, whatever its limit is, and also where it was stopped before it began.
pub async fn a_stopped_claim_returns<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    let wait = Wait::new(Duration::from_secs(3600));
    let stop = async {
        tokio::task::yield_now().await;
        wait.stop();
    };
    let (delivered, ()) = tokio::join!(scene.broker.claim(&worker, 1, &wait), stop);
    assert_eq!(texts(&delivered.expect("it can be reached")), [""; 0]);
    let delivered = scene.broker.claim(&worker, 1, &wait).await;
    assert_eq!(texts(&delivered.expect("it can be reached")), [""; 0]);
}

/// A message that arrives at the moment of the stop is returned by this claim or by the next.
pub async fn what_a_claim_that_is_being_stopped_delivers_is_not_lost<H: Harness>(harness: &H) {
    let scene = Scene::new(harness).await;
    let worker = scene.worker("worker").await;
    for _ in 0..20 {
        let wait = Wait::new(Duration::from_secs(3600));
        let race = async {
            tokio::join!(scene.send(&["it"]), async { wait.stop() });
        };
        let (delivered, ()) = tokio::join!(scene.broker.claim(&worker, 1, &wait), race);
        if delivered.expect("it can be reached").is_empty() {
            scene.claim_one(&worker).await;
        }
        scene.delivers_nothing(&worker).await;
    }
    scene.counts([0, 20, 0, 0]).await;
}
