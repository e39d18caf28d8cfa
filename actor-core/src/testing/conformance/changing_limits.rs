//! Limits that are changed while their queue runs.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Harness;
use super::lanes::count;
use super::limits::{declared, per_key};
use super::scene::{DELAY, HOUR, REACHED, Scene, lane, limited, texts};
use crate::broker::Broker;
use crate::control::{LaneState, LimitControl, LimitOf, LimitSource, ListedLane};
use crate::inspect::Page;
use crate::settlement::Settled;
use crate::{Key, Limit, Queue};

fn key(key: &str) -> Key {
    Key::new(key).expect("a test's keys are short")
}

fn at_most(max: u32) -> Option<Limit> {
    Some(Limit::new().concurrency(max))
}

impl<H: Harness> Scene<H> {
    /// Through the trait objects, as a program asks for it.
    fn limit_control(&self) -> &dyn LimitControl {
        self.control().limit_control().expect("this broker changes limits")
    }

    async fn set(&self, of: LimitOf, limit: Option<Limit>) {
        self.limit_control().set_limit(&self.queue, &of, limit).await.expect(REACHED);
    }

    async fn set_of(&self, of: &str, limit: Option<Limit>) {
        self.set(LimitOf::Key(key(of)), limit).await;
    }

    async fn weigh(&self, of: &str, weight: Option<u32>) {
        let weight = weight.and_then(NonZeroU32::new);
        self.limit_control().set_weight(&self.queue, &key(of), weight).await.expect(REACHED);
    }

    async fn pause_lane(&self, of: &str) {
        self.limit_control().pause_lane(&self.queue, &key(of)).await.expect(REACHED);
    }

    async fn resume_lane(&self, of: &str) {
        self.limit_control().resume_lane(&self.queue, &key(of)).await.expect(REACHED);
    }

    /// All lanes, by key, two a page.
    async fn lanes(&self) -> Vec<ListedLane> {
        let (mut all, mut page) = (Vec::new(), Page::first(2));
        loop {
            let listing = self.limit_control().lanes(&self.queue, page).await.expect(REACHED);
            assert!(listing.lanes.len() <= 2, "{listing:?}");
            all.extend(listing.lanes);
            let Some(next) = listing.next else { break };
            page = Page::after(next, 2);
        }
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all.dedup();
        all
    }
}

/// Whatever workers declare afterwards, until it is set back.
pub async fn what_is_set_wins_over_what_is_declared<H: Harness>(scene: Scene<H>) {
    let of = |max| declared(|queue| queue.concurrency(max));
    let worker = scene.limited("worker", of(1)).await;
    scene.send_in("a", &["1", "2", "3", "4", "5"]).await;
    let first = scene.at_once(&worker).await;
    assert_eq!(texts(&first), ["1"]);
    scene.set(LimitOf::Queue, at_most(3)).await;
    let more = scene.at_once(&worker).await;
    assert_eq!(texts(&more), ["2", "3"]);
    let later = scene.limited("later", of(2)).await;
    scene.delivers_nothing(&later).await;
    scene.done(&worker, &first[0]).await;
    let fourth = scene.at_once(&later).await;
    assert_eq!(texts(&fourth), ["4"]);
    scene.set(LimitOf::Queue, None).await;
    scene.done(&worker, &more[0]).await;
    scene.delivers_nothing(&later).await;
    scene.done(&worker, &more[1]).await;
    assert_eq!(texts(&scene.at_once(&later).await), ["5"]);
}

/// Nothing is taken from who runs.
pub async fn a_limit_that_is_lowered_is_reached_as_messages_end<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(3))).await;
    scene.send_in("a", &["1", "2", "3", "4"]).await;
    let running = scene.at_once(&worker).await;
    assert_eq!(running.len(), 3);
    scene.set(LimitOf::Queue, at_most(1)).await;
    for delivery in &running {
        scene.delivers_nothing(&worker).await;
        scene.done(&worker, delivery).await;
    }
    assert_eq!(texts(&scene.at_once(&worker).await), ["4"]);
}

/// All of it: no limit at all is one too.
pub async fn a_limit_of_one_key_holds_for_it_alone<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(1).rate(9, HOUR).burst(9))).await;
    for of in ["a", "b"] {
        scene.enqueue((0..20).map(|_| lane(of, of, 1)).collect()).await;
    }
    let now = async || {
        let delivered = texts(&scene.at_once(&worker).await);
        ["a", "b"].map(|key| count(&delivered, key))
    };
    assert_eq!(now().await, [1, 1]);
    scene.set_of("a", at_most(3)).await;
    assert_eq!(now().await, [2, 0]);
    scene.set(LimitOf::EachKey, at_most(2)).await;
    assert_eq!(now().await, [0, 1]);
    scene.set(LimitOf::EachKey, None).await;
    scene.set_of("a", Some(Limit::new())).await;
    assert_eq!(now().await, [17, 0]);
    scene.set(LimitOf::EachKey, at_most(4)).await;
    scene.set_of("b", at_most(5)).await;
    assert_eq!(now().await, [0, 3]);
    scene.set_of("b", None).await;
    assert_eq!(now().await, [0, 0]);
    scene.set(LimitOf::EachKey, at_most(6)).await;
    assert_eq!(now().await, [0, 1]);
}

/// It must not wait for what the former one has put off.
pub async fn a_rate_that_is_set_holds_at_once<H: Harness>(scene: Scene<H>) {
    let (slow, fast) = (Limit::new().rate(1, HOUR), Some(Limit::new().rate(1, Duration::from_millis(1))));
    let worker = scene.limited("worker", declared(|queue| queue.rate(1, HOUR).per_key(slow))).await;
    scene.send_in("a", &["1", "2", "3", "4"]).await;
    assert_eq!(texts(&scene.at_once(&worker).await), ["1"]);
    scene.set(LimitOf::EachKey, fast).await;
    scene.delivers_nothing(&worker).await;
    scene.set(LimitOf::Queue, fast).await;
    let (delivered, ()) = tokio::join!(scene.deliver(&worker, 1), scene.advance(DELAY));
    assert_eq!(texts(&delivered), ["2"]);
    scene.set_of("a", Some(slow)).await;
    scene.advance(DELAY).await;
    let slowed = scene.at_once(&worker).await;
    assert!(texts(&slowed).iter().all(|body| body == "3"), "{:?}", texts(&slowed));
    scene.delivers_nothing(&worker).await;
    scene.set_of("a", None).await;
    let (rest, ()) = tokio::join!(scene.deliver(&worker, 2 - slowed.len()), scene.advance(DELAY));
    assert_eq!(rest.len() + slowed.len(), 2);
}

/// Whatever else happens to it. Others go on.
pub async fn a_paused_lane_lets_nothing_go_until_it_is_resumed<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(2))).await;
    scene.send_in("a", &["a1", "a2", "a3"]).await;
    let running = scene.at_once(&worker).await;
    assert_eq!(texts(&running), ["a1", "a2"]);
    for _ in 0..2 {
        scene.pause_lane("a").await;
    }
    scene.pause_lane("empty").await;
    scene.done(&worker, &running[0]).await;
    scene.send_in("a", &["a4"]).await;
    scene.send_in("b", &["b1"]).await;
    scene.send_in("empty", &["e1"]).await;
    assert_eq!(texts(&scene.at_once(&worker).await), ["b1"]);
    // It is closed by less than that.
    assert_eq!(scene.settle(&worker, &running[1], limited("a2", Duration::ZERO)).await, Settled::Applied);
    scene.set(LimitOf::EachKey, at_most(5)).await;
    scene.set_of("a", at_most(5)).await;
    scene.advance(DELAY).await;
    scene.delivers_nothing(&worker).await;
    scene.waiting(4).await;
    for _ in 0..2 {
        scene.resume_lane("empty").await;
    }
    assert_eq!(texts(&scene.at_once(&worker).await), ["e1"]);
    let resume = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        scene.resume_lane("a").await;
    };
    // Who waits is woken.
    let (delivered, ()) = tokio::join!(scene.deliver(&worker, 3), resume);
    assert_eq!(texts(&delivered), ["a2", "a3", "a4"]);
}

/// Of turns, and of time.
pub async fn a_key_of_more_weight_gets_more<H: Harness>(scene: Scene<H>) {
    let turns = scene.limited("worker", per_key(Limit::new().concurrency(100))).await;
    for of in ["a", "b"] {
        scene.fill(of, 120).await;
    }
    scene.weigh("a", Some(3)).await;
    let ran = scene.run(&turns, 40, |_| Duration::ZERO).await;
    let of_a = count(&ran, "a");
    assert!((28..=32).contains(&of_a), "{of_a} of 40: {ran:?}");
    let time = scene.limited("fair", declared(Queue::fair)).await;
    // Until it is known how long they run.
    scene.run(&time, 16, |_| Duration::from_millis(10)).await;
    let ran = scene.run(&time, 40, |_| Duration::from_millis(10)).await;
    let of_a = count(&ran, "a");
    assert!((28..=32).contains(&of_a), "{of_a} of 40 in a fair queue: {ran:?}");
    scene.weigh("a", None).await;
    let ran = scene.run(&time, 40, |_| Duration::from_millis(10)).await;
    let of_a = count(&ran, "a");
    assert!((18..=22).contains(&of_a), "{of_a} of 40 without a weight: {ran:?}");
}

/// With where they come from.
pub async fn limits_are_listed_as_they_were_declared_and_set<H: Harness>(scene: Scene<H>) {
    let each = Limit::new().concurrency(2).rate(100, Duration::from_mins(1)).burst(7);
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(50).per_key(each).fair())).await;
    scene.send_in("a", &["1"]).await;
    scene.at_once(&worker).await;
    let limits = async || scene.limit_control().limits(&scene.queue).await.expect(REACHED);
    let found = limits().await;
    let of_queue = Limit::new().concurrency(50);
    assert_eq!(found.queue, LimitSource::new(of_queue, None));
    assert_eq!(found.per_key, LimitSource::new(each, None));
    assert!(found.fair);
    let set = Limit::new().rate(3, Duration::from_secs(1));
    scene.set(LimitOf::Queue, Some(set)).await;
    scene.set(LimitOf::EachKey, Some(Limit::new())).await;
    let found = limits().await;
    assert_eq!(found.queue, LimitSource::new(of_queue, Some(set)));
    assert_eq!(found.per_key, LimitSource::new(each, Some(Limit::new())));
    assert_eq!([found.queue, found.per_key].map(|limit| limit.effective()), [set, Limit::new()]);
    for of in [LimitOf::Queue, LimitOf::EachKey] {
        scene.set(of, None).await;
    }
    assert_eq!(limits().await.queue, LimitSource::new(of_queue, None));
}

/// What waits, what runs, and what was set.
pub async fn lanes_are_listed_with_how_they_stand<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(1))).await;
    scene.send_in("full", &["1", "2"]).await;
    scene.send_in("runs", &["1"]).await;
    scene.send_in("full too", &["1", "2"]).await;
    assert_eq!(scene.at_once(&worker).await.len(), 3);
    scene.pause_lane("paused").await;
    scene.send_in("paused", &["1"]).await;
    let own = Limit::new().concurrency(4).rate(1, HOUR);
    scene.set_of("has its own", Some(own)).await;
    scene.weigh("weighs", Some(5)).await;
    scene.send_in("open", &["1", "2", "3"]).await;
    let lanes = scene.lanes().await;
    let shown: Vec<_> = lanes
        .iter()
        .map(|lane| (lane.key.as_str(), lane.waiting, lane.slots, lane.state, lane.limit, lane.weight.map(u32::from)))
        .collect();
    assert_eq!(
        shown,
        [
            ("full", 1, 1, LaneState::Full, None, None),
            ("full too", 1, 1, LaneState::Full, None, None),
            ("has its own", 0, 0, LaneState::Idle, Some(own), None),
            ("open", 3, 0, LaneState::Open, None, None),
            ("paused", 1, 0, LaneState::Paused, None, None),
            ("runs", 0, 1, LaneState::Idle, None, None),
            ("weighs", 0, 0, LaneState::Idle, None, Some(5)),
        ]
    );
}

/// It says when it opens.
pub async fn a_lane_that_is_closed_is_listed_with_when_it_opens<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().rate(1, HOUR))).await;
    scene.send_in("a", &["1", "2"]).await;
    let before = scene.broker.now();
    assert_eq!(scene.at_once(&worker).await.len(), 1);
    let lanes = scene.lanes().await;
    let LaneState::ClosedUntil(opens) = lanes[0].state else { panic!("{lanes:?}") };
    let away = opens.duration_since(before).unwrap_or_default();
    assert!((HOUR - DELAY..HOUR + HOUR / 60).contains(&away), "{away:?}");
}

/// There is nothing to limit.
pub async fn a_queue_without_lanes_refuses_limits<H: Harness>(scene: Scene<H>) {
    let (limits, queue, a) = (scene.limit_control(), &scene.queue, key("a"));
    let tries = async || {
        [
            limits.set_limit(queue, &LimitOf::Queue, at_most(1)).await,
            limits.set_limit(queue, &LimitOf::Key(a.clone()), at_most(1)).await,
            limits.set_weight(queue, &a, NonZeroU32::new(2)).await,
            limits.pause_lane(queue, &a).await,
            limits.resume_lane(queue, &a).await,
        ]
    };
    for answer in tries().await {
        assert!(answer.is_err_and(|error| error.is_no_such_queue()));
    }
    assert!(limits.limits(queue).await.is_err_and(|error| error.is_no_such_queue()));
    assert!(limits.lanes(queue, Page::first(10)).await.is_err_and(|error| error.is_no_such_queue()));
    scene.send(&["1"]).await;
    for answer in tries().await {
        let error = answer.expect_err("it has no lanes");
        assert!(!error.is_transient() && error.to_string().contains("limits"), "{error}");
    }
    assert_eq!(limits.limits(queue).await.expect(REACHED), crate::control::QueueLimits::default());
    assert_eq!(limits.lanes(queue, Page::first(10)).await.expect(REACHED).lanes, []);
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(1))).await;
    scene.at_once(&worker).await;
    for answer in tries().await {
        answer.expect("it has lanes from then on");
    }
}
