//! No more of a queue's messages are in flight than its limits allow, over all workers.

use std::time::{Duration, Instant};

use super::Harness;
use super::scene::{DELAY, HOUR, REACHED, Scene, lane, limited, retry, texts};
use crate::broker::Broker;
use crate::delivery::{Consumer, Delivery, Wait, WorkerId};
use crate::inspect::Inspect;
use crate::settlement::{Outcome, Settled};
use crate::{Key, Limit, Limits, Queue};

/// How a queue is declared.
pub(super) fn declared(declare: impl FnOnce(Queue) -> Queue) -> Limits {
    *declare(Queue::new("conformance")).limits()
}

/// A queue of which each key has a limit.
pub(super) fn per_key(limit: Limit) -> Limits {
    declared(|queue| queue.per_key(limit))
}

impl<H: Harness> Scene<H> {
    /// A worker with a lease, whose program declares these limits.
    pub(super) async fn limited(&self, name: &str, limits: Limits) -> Consumer {
        self.worker(name).await.limited(limits)
    }

    /// Sends messages of these keys, each in a call of its own.
    pub(super) async fn send_in(&self, key: &str, bodies: &[&str]) {
        for body in bodies {
            self.enqueue(vec![lane(body, key, 1)]).await;
        }
    }

    /// All that may go now.
    pub(super) async fn at_once(&self, consumer: &Consumer) -> Vec<Delivery> {
        let (mut all, mut empty) = (Vec::new(), 0);
        while empty < 2 {
            let some = self.broker.claim(consumer, 100, &Wait::new(Duration::ZERO)).await.expect(REACHED);
            empty = if some.is_empty() { empty + 1 } else { 0 };
            all.extend(some);
        }
        all
    }

    pub(super) async fn done(&self, consumer: &Consumer, delivery: &Delivery) {
        assert_eq!(self.settle(consumer, delivery, Outcome::Done.into()).await, Settled::Applied);
    }
}

/// Whoever asks, and however many they ask for.
pub async fn a_queue_has_no_more_in_flight_than_its_concurrency_over_all_workers<H: Harness>(scene: Scene<H>) {
    let limits = declared(|queue| queue.concurrency(3));
    let (one, other) = (scene.limited("one", limits).await, scene.limited("other", limits).await);
    for (key, body) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5")] {
        scene.send_in(key, &[body]).await;
    }
    let first = scene.deliver(&one, 2).await;
    assert_eq!(scene.at_once(&other).await.len(), 1);
    scene.delivers_nothing(&one).await;
    scene.done(&one, &first[0]).await;
    assert_eq!(scene.at_once(&other).await.len(), 1);
    scene.delivers_nothing(&one).await;
    scene.waiting(1).await;
    scene.counts([0, 3, 0, 0]).await;
}

/// One key's messages keep nobody else's back.
pub async fn a_key_has_no_more_in_flight_than_its_concurrency_over_all_workers<H: Harness>(scene: Scene<H>) {
    let limits = per_key(Limit::new().concurrency(2));
    let (one, other) = (scene.limited("one", limits).await, scene.limited("other", limits).await);
    scene.send_in("a", &["a1", "a2", "a3", "a4"]).await;
    scene.send_in("b", &["b1"]).await;
    let first = scene.deliver(&one, 1).await;
    let mut more = texts(&scene.at_once(&other).await);
    more.sort();
    assert_eq!((texts(&first), more), (vec!["a1".to_owned()], vec!["a2".to_owned(), "b1".to_owned()]));
    scene.done(&one, &first[0]).await;
    assert_eq!(texts(&scene.at_once(&other).await), ["a3"]);
    scene.delivers_nothing(&one).await;
}

/// And no more at once than its burst, after a pause of any length.
pub async fn a_queue_starts_no_more_than_its_rate<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.rate(3, HOUR).burst(3))).await;
    for key in ["a", "b", "c", "d", "e"] {
        scene.send_in(key, &[key]).await;
    }
    let started = scene.at_once(&worker).await;
    assert_eq!(started.len(), 3);
    for delivery in &started {
        scene.done(&worker, delivery).await;
    }
    scene.delivers_nothing(&worker).await;
    scene.waiting(2).await;
}

/// Whatever other keys have used.
pub async fn a_key_starts_no_more_than_its_rate<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().rate(2, HOUR).burst(2))).await;
    scene.send_in("a", &["a1", "a2", "a3"]).await;
    scene.send_in("b", &["b1", "b2", "b3"]).await;
    let mut started = texts(&scene.at_once(&worker).await);
    started.sort();
    assert_eq!(started, ["a1", "a2", "b1", "b2"]);
    scene.waiting(2).await;
}

/// A pause of any length allows a burst, and no more.
pub async fn what_a_rate_did_not_use_is_saved_up_to_its_burst<H: Harness>(scene: Scene<H>) {
    let interval = Duration::from_millis(100);
    let worker = scene.limited("worker", per_key(Limit::new().rate(10, interval * 10).burst(3))).await;
    scene.enqueue((0..20).map(|number| lane(&number.to_string(), "a", 1)).collect()).await;
    for pause in [Duration::ZERO, interval * 7] {
        scene.advance(pause).await;
        let begun = Instant::now();
        let started = scene.at_once(&worker).await.len();
        let since = usize::try_from(begun.elapsed().as_millis() / interval.as_millis()).expect("a test is short");
        assert!((3..=4 + since).contains(&started), "{started} started at once after {pause:?}");
    }
}

/// As many slots, and as many starts.
pub async fn a_message_takes_what_it_costs<H: Harness>(scene: Scene<H>) {
    let limit = Limit::new().concurrency(5).rate(8, HOUR).burst(8);
    let worker = scene.limited("worker", per_key(limit)).await;
    scene.enqueue(vec![lane("three", "a", 3), lane("two", "a", 2), lane("one", "a", 1)]).await;
    let first = scene.at_once(&worker).await;
    assert_eq!(texts(&first), ["three", "two"]);
    scene.done(&worker, &first[1]).await;
    let last = scene.at_once(&worker).await;
    assert_eq!(texts(&last), ["one"]);
    for delivery in [&first[0], &last[0]] {
        scene.done(&worker, delivery).await;
    }
    scene.enqueue(vec![lane("three more", "a", 3)]).await;
    scene.delivers_nothing(&worker).await;
    scene.enqueue(vec![lane("three of another key", "b", 3)]).await;
    assert_eq!(texts(&scene.at_once(&worker).await), ["three of another key"], "6 of 8 starts are used of the first");
}

/// It is not refused for ever.
pub async fn what_costs_more_than_a_limit_runs_alone<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(3))).await;
    scene.send_in("a", &["small"]).await;
    let small = scene.claim_one(&worker).await;
    scene.enqueue(vec![lane("large", "a", 100)]).await;
    scene.send_in("a", &["next"]).await;
    scene.delivers_nothing(&worker).await;
    scene.done(&worker, &small).await;
    let large = scene.at_once(&worker).await;
    assert_eq!(texts(&large), ["large"]);
    scene.delivers_nothing(&worker).await;
    scene.done(&worker, &large[0]).await;
    assert_eq!(texts(&scene.at_once(&worker).await), ["next"]);
}

/// It starts when the whole burst is saved up, and the next waits for all that it cost.
pub async fn what_costs_more_than_a_burst_uses_all_that_it_costs<H: Harness>(scene: Scene<H>) {
    let limit = Limit::new().rate(100, Duration::from_secs(20)).burst(2);
    let worker = scene.limited("worker", per_key(limit)).await;
    scene.enqueue(vec![lane("dear", "a", 50), lane("next", "a", 1)]).await;
    assert_eq!(texts(&scene.at_once(&worker).await), ["dear"]);
    // As much as one costs, and as much as the burst.
    for _ in 0..2 {
        scene.advance(Duration::from_millis(250)).await;
        scene.delivers_nothing(&worker).await;
    }
}

/// Small ones would take each slot that is freed.
pub async fn what_costs_much_is_not_overtaken_for_ever<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(2))).await;
    scene.enqueue((0..30).map(|number| lane("small", &format!("small {number}"), 1)).collect()).await;
    let mut running = scene.deliver(&worker, 2).await;
    scene.enqueue(vec![lane("large", "large", 2)]).await;
    for _ in 0..60 {
        if texts(&running).iter().any(|body| body == "large") {
            assert_eq!(running.len(), 1);
            return;
        }
        scene.done(&worker, &running.remove(0)).await;
        running.extend(scene.at_once(&worker).await);
    }
    panic!("it was never delivered");
}

/// The limit holds again when it is due.
pub async fn a_retry_waits_for_its_limits_when_it_is_due<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(1))).await;
    scene.send_in("a", &["fails", "next"]).await;
    let fails = scene.claim_one(&worker).await;
    scene.delivers_nothing(&worker).await;
    assert_eq!(scene.settle(&worker, &fails, retry("again", DELAY)).await, Settled::Applied);
    let next = scene.claim_one(&worker).await;
    assert_eq!(texts(std::slice::from_ref(&next)), ["next"]);
    scene.advance(DELAY).await;
    scene.delivers_nothing(&worker).await;
    scene.done(&worker, &next).await;
    assert_eq!(texts(&scene.deliver(&worker, 1).await), ["again"]);
}

/// No sooner, and not beside what its limits do not allow.
pub async fn a_scheduled_message_waits_for_its_limits_when_it_is_due<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(1))).await;
    scene.enqueue(vec![lane("scheduled", "a", 1).after(DELAY)]).await;
    scene.counts([0, 0, 1, 0]).await;
    scene.send_in("a", &["first"]).await;
    let first = scene.claim_one(&worker).await;
    assert_eq!(texts(std::slice::from_ref(&first)), ["first"]);
    scene.advance(DELAY).await;
    scene.delivers_nothing(&worker).await;
    scene.waiting(1).await;
    scene.done(&worker, &first).await;
    assert_eq!(texts(&scene.deliver(&worker, 1).await), ["scheduled"]);
}

/// For all workers, until the time that was said. Other lanes go on.
pub async fn a_limit_elsewhere_closes_the_lane_and_its_message_is_first_afterwards<H: Harness>(scene: Scene<H>) {
    let limits = per_key(Limit::new().concurrency(5));
    let (one, other) = (scene.limited("one", limits).await, scene.limited("other", limits).await);
    scene.send_in("a", &["a1", "a2", "a3"]).await;
    scene.send_in("b", &["b1"]).await;
    let refused = scene.claim_one(&one).await;
    assert_eq!(texts(std::slice::from_ref(&refused)), ["a1"]);
    assert_eq!(scene.settle(&one, &refused, limited("a1, refused", DELAY)).await, Settled::Applied);
    scene.waiting(4).await;
    for worker in [&one, &other] {
        let allowed = scene.at_once(worker).await;
        assert!(texts(&allowed).iter().all(|body| body == "b1"), "{:?}", texts(&allowed));
    }
    scene.counts([0, 1, 0, 0]).await;
    let (delivered, ()) = tokio::join!(scene.deliver(&other, 3), scene.advance(DELAY));
    assert_eq!(texts(&delivered), ["a1, refused", "a2", "a3"]);
}

/// There is nothing to close.
pub async fn a_limit_elsewhere_delays_a_message_without_a_lane<H: Harness>(scene: Scene<H>) {
    let worker = scene.worker("worker").await;
    let refused = scene.hold_one(&worker, "it").await;
    assert_eq!(scene.settle(&worker, &refused, limited("it, refused", DELAY)).await, Settled::Applied);
    scene.counts([0, 0, 1, 0]).await;
    scene.send(&["other"]).await;
    assert_eq!(texts(&scene.deliver(&worker, 1).await), ["other"]);
    let (delivered, ()) = tokio::join!(scene.deliver(&worker, 1), scene.advance(DELAY));
    assert_eq!(texts(&delivered), ["it, refused"]);
}

/// A deploy changes limits while messages wait. What old workers declare does not come back with each claim of theirs.
pub async fn what_is_declared_last_holds_for_what_waits<H: Harness>(scene: Scene<H>) {
    let of = |max| declared(|queue| queue.concurrency(max));
    let (old, new) = (scene.limited("old", of(1)).await, scene.limited("new", of(3)).await);
    scene.send_in("a", &["1", "2", "3", "4"]).await;
    let first = scene.at_once(&old).await;
    assert_eq!(texts(&first), ["1"]);
    let more = scene.at_once(&new).await;
    assert_eq!(texts(&more), ["2", "3"]);
    scene.done(&old, &first[0]).await;
    assert_eq!(texts(&scene.at_once(&old).await), ["4"]);
    let last = scene.limited("last", of(2)).await;
    scene.send_in("a", &["5", "6"]).await;
    scene.delivers_nothing(&last).await;
    scene.done(&new, &more[0]).await;
    scene.delivers_nothing(&new).await;
    scene.done(&new, &more[1]).await;
    assert_eq!(texts(&scene.at_once(&new).await), ["5"]);
}

/// It must not wait for what the former one has put off.
pub async fn a_rate_that_is_raised_holds_at_once<H: Harness>(scene: Scene<H>) {
    let rate = |per| declared(|queue| queue.rate(1, per).per_key(Limit::new().rate(1, per)));
    let slow = scene.limited("slow", rate(HOUR)).await;
    scene.send_in("a", &["1", "2", "3"]).await;
    assert_eq!(texts(&scene.at_once(&slow).await), ["1"]);
    scene.delivers_nothing(&slow).await;
    let fast = scene.limited("fast", rate(Duration::from_millis(1))).await;
    let (delivered, ()) = tokio::join!(scene.deliver(&fast, 2), scene.advance(DELAY));
    assert_eq!(texts(&delivered), ["2", "3"]);
}

/// It lets nothing go, and no slot is taken by it.
pub async fn a_paused_queue_grants_nothing<H: Harness>(scene: Scene<H>) {
    let limits = declared(|queue| queue.concurrency(1));
    let worker = scene.limited("worker", limits).await;
    scene.send_in("a", &["1", "2"]).await;
    scene.broker.pause(&scene.queue).await.expect(REACHED);
    scene.renew(&worker).await;
    scene.delivers_nothing(&worker).await;
    scene.counts([0, 0, 0, 0]).await;
    scene.waiting(2).await;
    scene.broker.resume(&scene.queue).await.expect(REACHED);
    scene.renew(&worker).await;
    assert_eq!(texts(&scene.at_once(&worker).await), ["1"]);
}

/// Neither keeps the other back.
pub async fn what_has_no_lane_goes_on_beside_what_has_one<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(1))).await;
    scene.send(&["1", "2", "3"]).await;
    scene.send_in("a", &["a1", "a2"]).await;
    let mut delivered = texts(&scene.at_once(&worker).await);
    delivered.sort();
    assert_eq!(delivered, ["1", "2", "3", "a1"]);
    let worker = Consumer::new(WorkerId::new("another"), scene.queue.clone()).limited(worker.limits);
    scene.send_in("b", &["b1"]).await;
    scene.send(&["4", "5"]).await;
    delivered = texts(&scene.at_once(&worker).await);
    delivered.sort();
    assert_eq!(delivered, ["4", "5"]);
    scene.waiting(2).await;
}

/// A queue in which messages without a lane always wait.
pub async fn what_has_a_lane_is_not_overtaken_for_ever_by_what_has_none<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", declared(|queue| queue.concurrency(1))).await;
    scene.send(&["plain"; 10]).await;
    scene.send_in("a", &["a1"]).await;
    for _ in 0..30 {
        scene.send(&["plain"]).await;
        if texts(&scene.claim(&worker, 1).await) == ["a1"] {
            return;
        }
    }
    panic!("it was never delivered");
}

/// A key may be any text.
pub async fn keys_are_told_apart_by_every_byte<H: Harness>(scene: Scene<H>) {
    let worker = scene.limited("worker", per_key(Limit::new().concurrency(1))).await;
    let long = |end: char| format!("{}{end}", "\u{0}{}:@*\n\r\" ".repeat(200).chars().take(1_023).collect::<String>());
    let keys = [String::new(), "0".into(), " ".into(), "\u{0}".into(), "ü@{a}:1".into(), "u\u{308}".into(), long('x')];
    let keys: Vec<String> = keys.into_iter().chain([long('y'), "-1".into(), "a*?[b]".into(), "%1".into()]).collect();
    assert!(keys.iter().all(|key| Key::new(&**key).is_ok()));
    for round in 0..2 {
        scene.enqueue(keys.iter().map(|key| lane(&format!("{round}{key}"), key, 1)).collect()).await;
    }
    let sorted = |round: u8| {
        let mut bodies: Vec<_> = keys.iter().map(|key| format!("{round}{key}")).collect();
        bodies.sort();
        bodies
    };
    for round in 0..2 {
        let delivered = scene.at_once(&worker).await;
        let mut bodies = texts(&delivered);
        bodies.sort();
        assert_eq!(bodies, sorted(round));
        for delivery in &delivered {
            scene.done(&worker, delivery).await;
        }
    }
    scene.waiting(0).await;
}
