//! Limiters let through what they allow, and no more. For brokers that keep them.

use std::sync::Arc;
use std::time::Duration;

use super::Harness;
use super::scene::{DELAY, HOUR, REACHED, Scene};
use crate::broker::Broker;
use crate::limiter::{Acquire, Acquired, Held, Holder, Limiter, Limiters, Usage};
use crate::{Key, MessageId};

/// A storage may keep times in milliseconds.
const MS: Duration = Duration::from_millis(1);

/// A test takes no longer between two calls.
const SOON: Duration = Duration::from_mins(1);

/// How far a process may be wrong about the storage's time.
const TOLERANCE: Duration = Duration::from_millis(50);

const BUCKET: Limiter = Limiter::bucket("bucket", 1, HOUR).burst(3);
const WINDOW: Limiter = Limiter::window("window", 3, HOUR);
const PERMITS: Limiter = Limiter::concurrent("permits", 3);

impl<H: Harness> Scene<H> {
    fn limiters(&self) -> Arc<dyn Limiters> {
        self.broker.limiters().expect("this broker keeps limiters")
    }

    async fn ask(&self, acquire: &Acquire) -> Acquired {
        self.limiters().acquire(acquire).await.expect(REACHED)
    }

    /// Acquires what must be granted.
    async fn acquire(&self, acquire: &Acquire) -> Held {
        assert_eq!(self.ask(acquire).await, Acquired::Granted, "{acquire:?}");
        acquire.held()
    }

    /// Asks for what must be refused; when to ask again.
    async fn refused(&self, acquire: &Acquire) -> Duration {
        match self.ask(acquire).await {
            Acquired::Refused { retry_after } => retry_after,
            Acquired::Granted => panic!("{acquire:?} was granted"),
        }
    }

    /// Acquires until it is refused; how many were granted, and when to ask again.
    async fn exhaust(&self, limiter: Limiter) -> (usize, Duration) {
        let mut granted = 0;
        loop {
            if let Acquired::Refused { retry_after } = self.ask(&by(limiter)).await {
                return (granted, retry_after);
            }
            granted += 1;
        }
    }

    async fn renew_permits(&self, limiter: Limiter, held: &[Held], lease: Duration) -> Vec<bool> {
        self.limiters().renew(limiter.name(), held, lease).await.expect(REACHED)
    }

    /// Ends leases as if their time had passed, with nobody having noticed.
    async fn end_leases(&self, limiter: Limiter, held: &[Held]) {
        assert_eq!(self.renew_permits(limiter, held, Duration::ZERO).await, vec![true; held.len()]);
    }

    async fn release_permits(&self, limiter: Limiter, held: &[Held]) -> Vec<bool> {
        self.limiters().release(limiter.name(), held).await.expect(REACHED)
    }

    async fn usage(&self, limiter: Limiter) -> Usage {
        self.limiters().usage(&limiter, &Key::default()).await.expect(REACHED)
    }
}

/// By a caller of its own, for a lease that outlives the test.
fn by(limiter: Limiter) -> Acquire {
    Acquire::new(limiter, Holder::new(MessageId::new(), 0, 0)).lease(HOUR)
}

/// By a message's delivery.
fn for_delivery(limiter: Limiter, id: MessageId, token: u64) -> Acquire {
    Acquire::new(limiter, Holder::new(id, 0, token)).lease(HOUR)
}

fn key(text: &str) -> Key {
    Key::new(text).expect("a test's keys are short")
}

/// Also without a burst that was set: what goes in 100 ms, and at least one.
pub async fn a_bucket_lets_its_burst_through_and_then_refuses<H: Harness>(scene: Scene<H>) {
    let (granted, after) = scene.exhaust(BUCKET).await;
    assert_eq!(granted, 3);
    assert!(after <= HOUR && after > HOUR - SOON, "{after:?}");
    assert_eq!(scene.exhaust(Limiter::bucket("even", 1, HOUR)).await.0, 1);
    assert_eq!(scene.exhaust(Limiter::bucket("often", 36_000, HOUR * 10)).await.0, 1);
}

/// The time that a refusal names is neither late, nor is anything let through before.
pub async fn a_bucket_lets_the_next_through_when_it_said<H: Harness>(scene: Scene<H>) {
    let limiter = Limiter::bucket("bucket", 5, Duration::from_secs(1)).burst(2);
    for _ in 0..3 {
        let (_, after) = scene.exhaust(limiter).await;
        assert!(after <= Duration::from_millis(200) && after > Duration::ZERO, "{after:?}");
        scene.advance(after).await;
        scene.acquire(&by(limiter)).await;
    }
    let (_, before) = scene.exhaust(BUCKET).await;
    scene.advance(DELAY).await;
    let after = scene.refused(&by(BUCKET)).await;
    assert!(after + DELAY <= before + TOLERANCE, "{before:?}, and {DELAY:?} later {after:?}");
}

/// Wherever a span begins: the storage keeps the time of each.
pub async fn a_window_lets_no_more_through_in_any_span<H: Harness>(scene: Scene<H>) {
    const SPAN: Duration = Duration::from_millis(300);
    let limiter = Limiter::window("window", 3, SPAN);
    let mut granted = Vec::new();
    // Not all at once, so that the spans begin at several times.
    for number in 0..12 {
        let asked = scene.broker.now();
        match scene.ask(&by(limiter)).await {
            Acquired::Granted => granted.push((asked, scene.broker.now())),
            Acquired::Refused { retry_after } => {
                assert!(retry_after <= SPAN, "{retry_after:?}");
                scene.advance(retry_after).await;
            }
        }
        if number % 2 == 0 {
            scene.advance(Duration::from_millis(40)).await;
        }
    }
    assert!(granted.len() > 4, "{granted:?}");
    for four in granted.windows(4) {
        let took = four[3].1.duration_since(four[0].0).unwrap_or_default();
        assert!(took + TOLERANCE >= SPAN, "four in {took:?}: {granted:?}");
    }
}

/// Until it is full, all may go at once.
pub async fn a_window_refuses_until_the_first_has_left_it<H: Harness>(scene: Scene<H>) {
    let (granted, after) = scene.exhaust(WINDOW).await;
    assert_eq!(granted, 3);
    assert!(after <= HOUR && after > HOUR - SOON, "{after:?}");
    let two = Limiter::window("two", 2, HOUR);
    scene.acquire(&by(two)).await;
    scene.advance(DELAY).await;
    scene.acquire(&by(two)).await;
    let (one, both) = (scene.refused(&by(two)).await, scene.refused(&by(two).cost(2)).await);
    assert!(both > one + DELAY / 4, "for one in {one:?}, for two in {both:?}");
    let short = Limiter::window("short", 2, DELAY);
    for _ in 0..2 {
        let (_, after) = scene.exhaust(short).await;
        scene.advance(after).await;
        scene.acquire(&by(short)).await;
    }
}

/// In one step, and not in part.
pub async fn what_costs_more_takes_more_and_at_most_all<H: Harness>(scene: Scene<H>) {
    for limiter in [BUCKET, WINDOW, PERMITS] {
        scene.acquire(&by(limiter).cost(2)).await;
        scene.refused(&by(limiter).cost(2)).await;
        scene.acquire(&by(limiter)).await;
        scene.refused(&by(limiter)).await;
        scene.acquire(&by(limiter).key(key("alone")).cost(u32::MAX)).await;
        scene.refused(&by(limiter).key(key("alone"))).await;
    }
}

/// A caller that comes later takes what was released at once.
pub async fn a_permit_is_held_until_it_is_released<H: Harness>(scene: Scene<H>) {
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(scene.acquire(&by(PERMITS)).await);
    }
    let after = scene.refused(&by(PERMITS)).await;
    assert!(after <= HOUR && after > HOUR - SOON, "{after:?}");
    assert_eq!(scene.release_permits(PERMITS, &held[..1]).await, [true]);
    assert_eq!(scene.release_permits(PERMITS, &held[..1]).await, [false], "it was released before");
    scene.acquire(&by(PERMITS)).await;
    scene.refused(&by(PERMITS)).await;
}

/// An acquisition whose answer was lost is repeated.
pub async fn asking_again_for_a_holder_is_the_same_permit<H: Harness>(scene: Scene<H>) {
    let (one, other) = (by(PERMITS), by(PERMITS).cost(2));
    for _ in 0..3 {
        scene.acquire(&one).await;
        scene.acquire(&other).await;
    }
    assert_eq!(scene.usage(PERMITS).await.used, 3);
    // For another cost, what it held before does not count.
    scene.release_permits(PERMITS, &[one.held()]).await;
    scene.acquire(&other.clone().cost(3)).await;
    assert_eq!(scene.usage(PERMITS).await.used, 3);
    scene.acquire(&other.cost(1)).await;
    assert_eq!(scene.usage(PERMITS).await.used, 1);
}

/// The run that it superseded changes nothing any more.
pub async fn a_newer_delivery_takes_the_permit_over<H: Harness>(scene: Scene<H>) {
    let (limiter, id) = (Limiter::concurrent("one", 1), MessageId::new());
    let older = for_delivery(limiter, id, 9);
    scene.acquire(&older).await;
    let newer = for_delivery(limiter, id, 10);
    scene.acquire(&newer).await;
    scene.refused(&older).await;
    assert_eq!(scene.renew_permits(limiter, &[older.held(), newer.held()], HOUR).await, [false, true]);
    assert_eq!(scene.release_permits(limiter, &[older.held()]).await, [false]);
    scene.refused(&by(limiter)).await;
    assert_eq!(scene.release_permits(limiter, &[newer.held()]).await, [true]);
    scene.acquire(&by(limiter)).await;
}

/// What a crash leaves is free by itself.
pub async fn a_permit_is_free_once_its_lease_has_ended<H: Harness>(scene: Scene<H>) {
    let limiter = Limiter::concurrent("two", 2);
    scene.acquire(&by(limiter)).await;
    let left = scene.acquire(&by(limiter).lease(DELAY)).await;
    let after = scene.refused(&by(limiter)).await;
    assert!(after <= DELAY, "{after:?}");
    scene.advance(after + MS).await;
    scene.acquire(&by(limiter)).await;
    assert_eq!(scene.renew_permits(limiter, std::slice::from_ref(&left), HOUR).await, [false], "another has it");
    assert_eq!(scene.release_permits(limiter, &[left]).await, [false]);
    assert_eq!(scene.usage(limiter).await.used, 2);
}

/// A process that stood still keeps its permits, if nobody took them meanwhile.
pub async fn a_renewed_permit_is_kept_also_if_its_lease_ended_unnoticed<H: Harness>(scene: Scene<H>) {
    let limiter = Limiter::concurrent("one", 1);
    let held = [scene.acquire(&by(limiter).lease(DELAY)).await];
    assert_eq!(scene.renew_permits(limiter, &held, HOUR).await, [true]);
    scene.advance(DELAY + MS).await;
    scene.refused(&by(limiter)).await;
    scene.end_leases(limiter, &held).await;
    assert_eq!(scene.renew_permits(limiter, &held, HOUR).await, [true]);
    scene.refused(&by(limiter)).await;
}

/// In one call, of several keys, some of them lost.
pub async fn many_permits_are_renewed_and_released_in_their_order<H: Harness>(scene: Scene<H>) {
    let limiter = Limiter::concurrent("many", 1_000);
    let mut held = Vec::new();
    for number in 0..700 {
        let acquire = by(limiter).key(key(["a", "b", "c"][number % 3]));
        held.push(if number % 10 == 0 { acquire.held() } else { scene.acquire(&acquire).await });
    }
    let expected: Vec<bool> = (0..700).map(|number| number % 10 != 0).collect();
    assert_eq!(scene.renew_permits(limiter, &held, HOUR).await, expected);
    assert_eq!(scene.release_permits(limiter, &held).await, expected);
    assert_eq!(scene.renew_permits(limiter, &held, HOUR).await, [false; 700]);
    assert!(scene.renew_permits(limiter, &[], HOUR).await.is_empty());
}

/// What each costs is free again when its lease ends and when it is released.
pub async fn what_a_permit_costs_is_freed_with_it<H: Harness>(scene: Scene<H>) {
    let limiter = Limiter::concurrent("ten", 10);
    let left = [scene.acquire(&by(limiter).cost(4)).await, scene.acquire(&by(limiter).cost(3)).await];
    let kept = scene.acquire(&by(limiter).cost(3)).await;
    scene.refused(&by(limiter)).await;
    scene.end_leases(limiter, &left).await;
    scene.advance(MS * 2).await;
    assert_eq!(scene.usage(limiter).await.used, 3);
    let held = scene.acquire(&by(limiter).cost(7)).await;
    scene.refused(&by(limiter)).await;
    assert_eq!(scene.release_permits(limiter, &[held, kept]).await, [true, true]);
    assert_eq!(scene.usage(limiter).await.used, 0);
    scene.acquire(&by(limiter).cost(10)).await;
}

/// Whatever they limit.
pub async fn callers_at_once_are_granted_no_more_than_the_limit<H: Harness>(scene: Scene<H>) {
    for limiter in [BUCKET, WINDOW, PERMITS] {
        let asked: Vec<_> = (0..20)
            .map(|_| {
                let limiters = scene.limiters();
                tokio::spawn(async move { limiters.acquire(&by(limiter)).await })
            })
            .collect();
        let mut granted = 0;
        for answer in asked {
            granted += usize::from(answer.await.expect("it does not panic").expect(REACHED) == Acquired::Granted);
        }
        assert_eq!(granted, 3, "{limiter:?}");
    }
}

/// Also where a key looks like a part of another name.
pub async fn names_and_keys_are_limited_apart<H: Harness>(scene: Scene<H>) {
    let long = "k".repeat(1_024);
    for text in ["", "0", "a", "A", "a:b", "}{", "{x}", "ü", "\0", "\n", " ", &long] {
        for limiter in
            [Limiter::bucket("one", 1, HOUR), Limiter::concurrent("two", 1), Limiter::window("three", 1, HOUR)]
        {
            scene.acquire(&by(limiter).key(key(text))).await;
            scene.refused(&by(limiter).key(key(text))).await;
        }
    }
    scene.acquire(&by(Limiter::concurrent("one.a", 1))).await;
}

/// Two releases of a program side by side.
pub async fn each_call_is_judged_by_the_definition_that_it_carries<H: Harness>(scene: Scene<H>) {
    for (small, large) in [
        (Limiter::concurrent("permits", 2), Limiter::concurrent("permits", 4)),
        (Limiter::window("window", 2, HOUR), Limiter::window("window", 4, HOUR)),
        (Limiter::bucket("bucket", 1, HOUR).burst(2), Limiter::bucket("bucket", 1, HOUR).burst(4)),
    ] {
        assert_eq!(scene.exhaust(small).await.0, 2);
        assert_eq!(scene.exhaust(large).await.0, 2, "{large:?}");
        scene.refused(&by(small)).await;
    }
    // Of a bucket no more counts than can be used up at once, from the first call on.
    let faster = Limiter::bucket("bucket", 10, Duration::from_secs(1)).burst(4);
    let after = scene.refused(&by(faster)).await;
    assert!(after <= Duration::from_millis(700), "{after:?}");
    scene.advance(after).await;
    scene.acquire(&by(faster)).await;
}

/// By the definition that it is asked with.
pub async fn usage_says_what_is_used_and_when_the_next_may_go<H: Harness>(scene: Scene<H>) {
    for limiter in [BUCKET, WINDOW, PERMITS] {
        assert_eq!(scene.usage(limiter).await, Usage::new(0, Duration::ZERO), "{limiter:?}");
        for used in 1..=3 {
            assert_eq!(scene.usage(limiter).await.opens_after, Duration::ZERO);
            scene.acquire(&by(limiter)).await;
            assert_eq!(scene.usage(limiter).await.used, used, "{limiter:?}");
        }
        let opens = scene.usage(limiter).await.opens_after;
        assert!(opens <= HOUR && opens > HOUR - SOON, "{limiter:?} opens in {opens:?}");
    }
    let short = Limiter::window("short", 5, DELAY);
    scene.acquire(&by(short).cost(3)).await;
    scene.advance(DELAY + MS).await;
    assert_eq!(scene.usage(short).await, Usage::new(0, Duration::ZERO), "what has left the span");
}

/// Writes a test for each behaviour that a broker promises which keeps limiters, as
/// [`conformance_tests`](crate::conformance_tests) does for every broker.
#[macro_export]
macro_rules! limiter_conformance_tests {
    ($harness:expr) => {
        $crate::__conformance_tests! { $harness =>
            limiters {
                a_bucket_lets_its_burst_through_and_then_refuses
                a_bucket_lets_the_next_through_when_it_said
                a_window_lets_no_more_through_in_any_span
                a_window_refuses_until_the_first_has_left_it
                what_costs_more_takes_more_and_at_most_all
                a_permit_is_held_until_it_is_released
                asking_again_for_a_holder_is_the_same_permit
                a_newer_delivery_takes_the_permit_over
                a_permit_is_free_once_its_lease_has_ended
                a_renewed_permit_is_kept_also_if_its_lease_ended_unnoticed
                many_permits_are_renewed_and_released_in_their_order
                what_a_permit_costs_is_freed_with_it
                callers_at_once_are_granted_no_more_than_the_limit
                names_and_keys_are_limited_apart
                each_call_is_judged_by_the_definition_that_it_carries
                usage_says_what_is_used_and_when_the_next_may_go
            }
        }
    };
}
