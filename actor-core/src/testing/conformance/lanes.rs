//! Whose turn it is, and how long a message holds its slots.

use std::time::Duration;

use bytes::Bytes;

use super::Harness;
use super::limits::{declared, per_key};
use super::scene::{
    DELAY, HOUR, REACHED, Scene, dead_lettered, lane, limited, message, parked, release, retry, text, texts,
};
use crate::broker::{Broker, Enqueue};
use crate::delivery::Consumer;
use crate::inspect::{Inspect, Which};
use crate::settlement::{Outcome, Settled, Settlement};
use crate::{Key, Lane, Limit, MessageId, Priority, Queue};

impl<H: Harness> Scene<H> {
    /// Sends so many messages of a key, whose bodies name it.
    pub(super) async fn fill(&self, key: &str, count: usize) {
        self.enqueue((0..count).map(|_| lane(key, key, 1)).collect()).await;
    }

    /// Runs so many messages, one after the other, each for as long as its key says. Returns their keys.
    pub(super) async fn run(&self, consumer: &Consumer, count: usize, ran: impl Fn(&str) -> Duration) -> Vec<String> {
        let mut keys = Vec::new();
        for _ in 0..count {
            let delivery = self.claim_one(consumer).await;
            let key = text(&delivery.body);
            let mut done = Settlement::from(Outcome::Done);
            done.ran = ran(&key);
            assert_eq!(self.settle(consumer, &delivery, done).await, Settled::Applied);
            keys.push(key);
        }
        keys
    }
}

pub(super) fn count(keys: &[String], of: &str) -> usize {
    keys.iter().filter(|key| *key == of).count()
}

fn a_while(_: &str) -> Duration {
    Duration::from_millis(10)
}

/// However many messages one of them has.
pub async fn lanes_take_turns<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(100))).await;
    scene.fill("a", 30).await;
    for key in ["b", "c"] {
        scene.fill(key, 4).await;
    }
    let ran = scene.run(&worker, 12, |_| Duration::ZERO).await;
    assert_eq!(["a", "b", "c"].map(|key| count(&ran, key)), [4, 4, 4], "{ran:?}");
    // Also where more are asked for at a time.
    scene.fill("b", 10).await;
    let delivered = texts(&scene.deliver(&worker, 12).await);
    assert_eq!(["a", "b"].map(|key| count(&delivered, key)), [6, 6], "{delivered:?}");
}

/// Whose messages run ten times longer gets a tenth of the starts.
pub async fn a_fair_queue_shares_by_how_long_messages_run<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(Queue::fair)).await;
    scene.fill("long", 40).await;
    scene.fill("short", 110).await;
    let ran = scene.run(&worker, 110, |key| Duration::from_millis(if key == "long" { 100 } else { 10 })).await;
    let long = count(&ran, "long");
    assert!((8..=13).contains(&long), "{long} of 110 were long ones");
}

/// Nor has it to wait until others have had as little.
pub async fn a_newcomer_begins_with_the_others<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(Queue::fair)).await;
    scene.fill("old", 60).await;
    scene.run(&worker, 20, a_while).await;
    scene.fill("new", 20).await;
    let ran = scene.run(&worker, 20, a_while).await;
    assert!(ran[..3].contains(&"new".to_owned()), "{ran:?}");
    let new = count(&ran, "new");
    assert!((9..=11).contains(&new), "{new} of 20 were the newcomer's: {ran:?}");
}

/// Keys that are used once and never again, and more of them than can be run: each of them is one to share with.
pub async fn newcomers_without_end_starve_nobody<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(100))).await;
    scene.fill("old", 30).await;
    let mut ran = Vec::new();
    for number in 0..30 {
        scene.fill(&format!("new {number:02}"), 1).await;
        ran.extend(scene.run(&worker, 1, |_| Duration::ZERO).await);
    }
    let old = count(&ran, "old");
    assert!((4..=16).contains(&old), "{old} of 30 were the old one's: {ran:?}");
}

/// Sending one message at a time is no way to be first.
pub async fn a_lane_that_empties_and_comes_back_gains_nothing<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(Queue::fair)).await;
    scene.fill("steady", 40).await;
    scene.fill("also steady", 40).await;
    let mut ran = Vec::new();
    scene.fill("comes back", 1).await;
    for _ in 0..45 {
        let more = scene.run(&worker, 1, a_while).await;
        if more == ["comes back"] {
            scene.fill("comes back", 1).await;
        }
        ran.extend(more);
    }
    let back = count(&ran, "comes back");
    assert!((13..=17).contains(&back), "{back} of 45 were of the one that comes back: {ran:?}");
}

/// A key's own order. Its turn is as any other's.
pub async fn priorities_hold_within_a_lane<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(1))).await;
    for (body, priority) in [
        ("low", Priority::Low),
        ("normal 1", Priority::Normal),
        ("high 1", Priority::High),
        ("normal 2", Priority::Normal),
        ("high 2", Priority::High),
    ] {
        let key = Key::new("a").expect("it is short");
        scene.enqueue(vec![message(body, priority).lane(Lane::new(key))]).await;
    }
    let ran = scene.run(&worker, 5, a_while).await;
    assert_eq!(ran, ["high 1", "high 2", "normal 1", "normal 2", "low"]);
}

/// Another's turn comes with it.
pub async fn each_way_of_settling_frees_the_slot<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(1))).await;
    let ways: [(&str, Settlement); 5] = [
        ("done", Outcome::Done.into()),
        ("retried", retry("it", HOUR)),
        ("parked", parked("it", "a", HOUR)),
        ("dead-lettered", dead_lettered("it".into(), "it failed")),
        ("refused by a limit elsewhere", limited("it", HOUR)),
    ];
    for (way, settlement) in ways {
        scene.send_in(way, &["it"]).await;
        let delivery = scene.claim_one(&worker).await;
        scene.send_in("next", &["next"]).await;
        scene.delivers_nothing(&worker).await;
        assert_eq!(scene.settle(&worker, &delivery, settlement).await, Settled::Applied, "{way}");
        let next = scene.deliver(&worker, 1).await;
        assert_eq!(texts(&next), ["next"], "{way}");
        scene.done(&worker, &next[0]).await;
    }
}

/// It may come at any time, from a worker that was thought dead.
pub async fn a_stale_settlement_frees_nothing<H: Harness>(scene: Scene<H>) {
    let limits = declared(|queue| queue.concurrency(1));
    let (late, other) = (scene.limited("late", limits).await, scene.limited("other", limits).await);
    scene.send_in("a", &["1", "2", "3"]).await;
    let held = scene.claim_one(&late).await;
    scene.end_lease(&late).await;
    let recovered = scene.recover(&other, 10).await;
    assert_eq!(texts(&recovered), ["1"]);
    let ends =
        [retry("1", Duration::ZERO), limited("1", HOUR), dead_lettered("1".into(), "no"), parked("1", "a", HOUR)];
    for end in ends {
        assert_eq!(scene.settle(&late, &held, end).await, Settled::Stale);
        scene.delivers_nothing(&other).await;
    }
    scene.done(&other, &recovered[0]).await;
    assert_eq!(texts(&scene.deliver(&other, 1).await), ["2"]);
    for (worker, delivery) in [(&other, &recovered[0]), (&late, &held)] {
        assert_eq!(scene.settle(worker, delivery, retry("1", HOUR)).await, Settled::Stale);
    }
    scene.delivers_nothing(&other).await;
}

/// Nothing ran, and nobody goes instead of it.
pub async fn what_is_released_keeps_its_slot<H: Harness>(scene: Scene<H>) {
    let limits = declared(|queue| queue.concurrency(1));
    let (one, other) = (scene.limited("one", limits).await, scene.limited("other", limits).await);
    scene.send_in("a", &["first"]).await;
    scene.send_in("b", &["second"]).await;
    let first = scene.claim_one(&one).await;
    assert_eq!(scene.settle(&one, &first, release("first")).await, Settled::Applied);
    let again = scene.at_once(&other).await;
    assert_eq!(texts(&again), ["first"]);
    scene.waiting(1).await;
    scene.done(&other, &again[0]).await;
    assert_eq!(texts(&scene.at_once(&other).await), ["second"]);
}

/// It starts once, as far as the rate is concerned.
pub async fn what_is_released_takes_its_start_once<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.rate(2, HOUR).burst(2))).await;
    scene.send_in("a", &["1", "2", "3"]).await;
    for _ in 0..3 {
        let first = scene.claim_one(&worker).await;
        assert_eq!(scene.settle(&worker, &first, release("1")).await, Settled::Applied);
    }
    assert_eq!(texts(&scene.at_once(&worker).await), ["1", "2"]);
}

/// It may still run there, and it will run elsewhere.
pub async fn what_a_dead_worker_held_counts_until_its_new_holder_settles_it<H: Harness>(scene: Scene<H>) {
    let limits = per_key(Limit::new().concurrency(2));
    let (killed, heir) = (scene.limited("killed", limits).await, scene.limited("heir", limits).await);
    scene.send_in("a", &["1", "2", "3", "4"]).await;
    scene.deliver(&killed, 2).await;
    scene.delivers_nothing(&heir).await;
    scene.end_lease(&killed).await;
    scene.delivers_nothing(&heir).await;
    let recovered = scene.recover(&heir, 10).await;
    assert_eq!(texts(&recovered), ["1", "2"]);
    scene.delivers_nothing(&heir).await;
    scene.done(&heir, &recovered[0]).await;
    assert_eq!(texts(&scene.at_once(&heir).await), ["3"]);
    scene.done(&heir, &recovered[1]).await;
    assert_eq!(texts(&scene.at_once(&heir).await), ["4"]);
}

/// The late success of a worker that was declared dead ends the message, and its slot with it, once.
pub async fn a_late_success_frees_the_slot_once<H: Harness>(scene: Scene<H>) {
    let limits = declared(|queue| queue.concurrency(1));
    let (late, other) = (scene.limited("late", limits).await, scene.limited("other", limits).await);
    scene.send_in("a", &["1", "2", "3"]).await;
    let held = scene.claim_one(&late).await;
    scene.end_lease(&late).await;
    let recovered = scene.recover(&other, 10).await;
    scene.done(&late, &held).await;
    assert_eq!(texts(&scene.at_once(&other).await), ["2"]);
    // A broker may say that it ended it too.
    scene.settle(&other, &recovered[0], Outcome::Done.into()).await;
    scene.delivers_nothing(&other).await;
}

/// Whoever can run it asks for it, within its limits.
pub async fn what_was_parked_is_delivered_within_its_limits<H: Harness>(scene: Scene<H>) {
    let limits = per_key(Limit::new().concurrency(1));
    let (old, new) = (scene.limited("old", limits).await, scene.limited("new", limits).await);
    scene.send_in("a", &["parked", "next", "last"]).await;
    let delivery = scene.claim_one(&old).await;
    assert_eq!(scene.settle(&old, &delivery, parked("parked", "a", HOUR)).await, Settled::Applied);
    let next = scene.claim_one(&old).await;
    let unpark = async || scene.broker.unpark(&new, &["a"], 10).await.expect(REACHED);
    assert_eq!(texts(&unpark().await), [""; 0]);
    scene.delivers_nothing(&new).await;
    scene.done(&old, &next).await;
    let unparked = unpark().await;
    assert_eq!(texts(&unparked), ["parked"]);
    scene.delivers_nothing(&new).await;
    scene.done(&new, &unparked[0]).await;
    assert_eq!(texts(&scene.at_once(&new).await), ["last"]);
}

/// It goes to the lane that it was sent to.
pub async fn a_replayed_dead_letter_waits_in_its_lane<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(2))).await;
    let id = MessageId::new();
    let body = Bytes::from(format!(r#"{{"v":2,"id":"{id}","actor":"a","queue":"q","args":[],"key":"a","cost":2}}"#));
    let key = Key::new("a").expect("it is short");
    scene.enqueue(vec![Enqueue::new(id, Priority::Normal, body.clone()).lane(Lane::new(key).cost(2))]).await;
    let delivery = scene.claim_one(&worker).await;
    let end = dead_lettered(delivery.body.clone(), "it failed");
    assert_eq!(scene.settle(&worker, &delivery, end).await, Settled::Applied);
    scene.send_in("a", &["1"]).await;
    let running = scene.claim_one(&worker).await;
    assert_eq!(scene.broker.replay(&scene.queue, Which::All).await.expect(REACHED), 1);
    scene.delivers_nothing(&worker).await;
    scene.waiting(1).await;
    scene.done(&worker, &running).await;
    let replayed = scene.at_once(&worker).await;
    assert_eq!(replayed.len(), 1);
    scene.send_in("a", &["2"]).await;
    scene.delivers_nothing(&worker).await;
    scene.done(&worker, &replayed[0]).await;
    assert_eq!(texts(&scene.at_once(&worker).await), ["2"]);
}

/// Each key is used once.
pub async fn many_keys_of_one_message_are_delivered_once<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(1).rate(1, DELAY))).await;
    let keys: Vec<_> = (0..2_000).map(|number| format!("key {number:04}")).collect();
    scene.enqueue(keys.iter().map(|key| lane(key, key, 1)).collect()).await;
    let mut delivered = Vec::new();
    while delivered.len() < keys.len() {
        let some = scene.claim(&worker, 100).await;
        let ends: Vec<_> = some.iter().map(|one| (one.receipt.clone(), Outcome::Done.into())).collect();
        assert!(scene.settle_all(&worker, &ends).await.iter().all(|settled| *settled == Settled::Applied));
        delivered.extend(texts(&some));
    }
    delivered.sort();
    assert_eq!(delivered, keys);
    scene.delivers_nothing(&worker).await;
    scene.waiting(0).await;
    scene.counts([0, 0, 0, 0]).await;
}
