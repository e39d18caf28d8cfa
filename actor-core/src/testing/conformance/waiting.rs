//! What waits in lanes is seen and repaired, and a claim is woken when it may go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Harness;
use super::limits::{declared, per_key};
use super::scene::{DELAY, HOUR, REACHED, Scene, lane, release, text, texts};
use crate::Limit;
use crate::broker::Broker;
use crate::delivery::{Consumer, Wait};
use crate::inspect::{Inspect, Page, State};
use crate::settlement::Settled;

/// By lane, each in the order in which it is delivered.
pub async fn waiting_messages_are_counted_and_listed_by_lane<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(1))).await;
    for number in 0..9 {
        for key in ["b", "a", "c@x"] {
            scene.send_in(key, &[&format!("{key} {number}")]).await;
        }
    }
    scene.waiting(27).await;
    scene.counts([0, 0, 0, 0]).await;
    let running = scene.claim_one(&worker).await;
    scene.waiting(26).await;
    scene.counts([0, 1, 0, 0]).await;
    let (mut shown, mut page) = (Vec::new(), Page::first(10));
    loop {
        let listing = scene.broker.list(&scene.queue, State::Waiting, page).await.expect(REACHED);
        assert!(listing.messages.len() <= 10, "a page of {} messages", listing.messages.len());
        shown.extend(listing.messages.iter().map(|listed| text(&listed.body)));
        assert!(shown.len() <= 26, "more is shown than there is: {shown:?}");
        page = match listing.next {
            Some(next) => Page::after(next, 10),
            None => break,
        };
    }
    let lanes = shown.chunk_by(|one, next| one.split(' ').next() == next.split(' ').next());
    let lanes: Vec<_> = lanes.map(<[String]>::to_vec).collect();
    assert_eq!(lanes.len(), 3, "{shown:?}");
    assert!(lanes.iter().all(|lane| lane.is_sorted()), "{lanes:?}");
    let mut all = shown;
    all.push(text(&running.body));
    all.sort();
    let mut expected: Vec<_> =
        (0..9).flat_map(|number| ["b", "a", "c@x"].map(|key| format!("{key} {number}"))).collect();
    expected.sort();
    assert_eq!(all, expected);
}

/// Whatever its key is.
pub async fn a_waiting_message_is_read_and_deleted<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(1))).await;
    for key in ["", "a", "ü@{1}:\u{0} \n"] {
        scene.send_in(key, &["running", "deleted", "kept"]).await;
    }
    let running = scene.deliver(&worker, 3).await;
    let listed = scene.list(State::Waiting).await;
    assert_eq!(listed.len(), 6);
    for message in listed.iter().filter(|message| message.body == "deleted") {
        let read = async || scene.broker.read(&scene.queue, State::Waiting, &message.handle).await.expect(REACHED);
        assert_eq!(read().await.map(|read| text(&read.body)).as_deref(), Some("deleted"));
        let delete = async || scene.broker.delete(&scene.queue, State::Waiting, &message.handle).await.expect(REACHED);
        assert!(delete().await);
        assert!(!delete().await, "it is deleted once");
        assert!(read().await.is_none());
    }
    scene.waiting(3).await;
    for delivery in &running {
        scene.done(&worker, delivery).await;
    }
    let kept = scene.at_once(&worker).await;
    assert_eq!(texts(&kept), ["kept"; 3]);
}

/// However many there are, and however many lanes.
pub async fn all_that_waits_is_purged<H: Harness>(scene: Scene<H>) {
    let limits = declared(|queue| queue.concurrency(1));
    let worker = scene.limited("worker", limits).await;
    scene.send_in("a", &["running"]).await;
    let running = scene.claim_one(&worker).await;
    let keys = (0..2_500).map(|number| format!("key {}", number % 500));
    scene.enqueue(keys.map(|key| lane("it", &key, 1)).collect()).await;
    scene.waiting(2_500).await;
    assert_eq!(scene.broker.purge(&scene.queue, State::Waiting).await.expect(REACHED), 2_500);
    assert_eq!(scene.broker.purge(&scene.queue, State::Waiting).await.expect(REACHED), 0);
    scene.waiting(0).await;
    assert!(scene.list(State::Waiting).await.is_empty());
    scene.send_in("key 7", &["new", "newer"]).await;
    scene.delivers_nothing(&worker).await;
    scene.done(&worker, &running).await;
    assert_eq!(texts(&scene.at_once(&worker).await), ["new"]);
}

/// One that was let go, and that no worker has.
async fn released<H: Harness>(scene: &Scene<H>, worker: &Consumer) {
    let delivery = scene.claim_one(worker).await;
    assert_eq!(scene.settle(worker, &delivery, release("released")).await, Settled::Applied);
    scene.counts([1, 0, 0, 0]).await;
}

/// It held a slot from when it was let go.
pub async fn deleting_or_purging_what_was_let_go_frees_its_slot<H: Harness>(scene: Scene<H>) {
    let limits = declared(|queue| queue.concurrency(1).per_key(Limit::new().concurrency(1)));
    let worker = scene.limited("worker", limits).await;
    scene.send_in("a", &["1", "2", "3", "4"]).await;
    released(&scene, &worker).await;
    let handle = scene.list(State::Ready).await.remove(0).handle;
    assert!(scene.broker.delete(&scene.queue, State::Ready, &handle).await.expect(REACHED));
    let delivery = scene.claim_one(&worker).await;
    assert_eq!(texts(std::slice::from_ref(&delivery)), ["2"]);
    scene.delivers_nothing(&worker).await;
    scene.done(&worker, &delivery).await;
    released(&scene, &worker).await;
    assert_eq!(scene.broker.purge(&scene.queue, State::Ready).await.expect(REACHED), 1);
    assert_eq!(texts(&scene.at_once(&worker).await), ["4"]);
}

/// A claim of `claimer` that waits while `other` does something, and what it delivers.
async fn wakes<H: Harness>(scene: &Scene<H>, claimer: &Consumer, event: impl AsyncFnOnce()) -> Vec<String> {
    let (waiting, claimer) = (Arc::clone(&scene.broker), claimer.clone());
    let wait = Wait::new(Duration::from_secs(20));
    let claim = tokio::spawn(async move { waiting.claim(&claimer, 10, &wait).await.expect(REACHED) });
    // Long enough that it waits; one that does not would find what comes as well.
    tokio::time::sleep(Duration::from_millis(50)).await;
    event().await;
    let begun = Instant::now();
    let delivered = claim.await.expect("it does not panic");
    assert!(begun.elapsed() < Duration::from_secs(10), "it was not woken");
    texts(&delivered)
}

/// Whoever settles.
pub async fn a_waiting_claim_is_woken_when_another_worker_frees_a_slot<H: Harness>(scene: Scene<H>) {
    let limits = per_key(Limit::new().concurrency(1));
    let (holder, claimer) = (scene.limited("holder", limits).await, scene.limited("claimer", limits).await);
    scene.send_in("a", &["1", "2"]).await;
    let held = scene.claim_one(&holder).await;
    scene.delivers_nothing(&claimer).await;
    assert_eq!(wakes(&scene, &claimer, async || scene.done(&holder, &held).await).await, ["2"]);
}

/// By time alone.
pub async fn a_waiting_claim_gets_a_message_when_its_rate_opens<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().rate(1, DELAY))).await;
    scene.send_in("a", &["1", "2"]).await;
    let first = scene.claim_one(&worker).await;
    scene.done(&worker, &first).await;
    assert_eq!(wakes(&scene, &worker, async || scene.advance(DELAY).await).await, ["2"]);
}

/// As by any message.
pub async fn a_waiting_claim_is_woken_by_a_message_of_a_lane<H: Harness>(scene: Scene<H>) {
    let limits = declared(|queue| queue.concurrency(2).rate(100, HOUR).burst(100).fair());
    let worker = scene.limited("worker", limits).await;
    scene.delivers_nothing(&worker).await;
    assert_eq!(wakes(&scene, &worker, async || scene.send_in("a", &["1"]).await).await, ["1"]);
    assert_eq!(wakes(&scene, &worker, async || scene.send_in("b", &["2"]).await).await, ["2"]);
    scene.send_in("c", &["3"]).await;
    scene.delivers_nothing(&worker).await;
}
