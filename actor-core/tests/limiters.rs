//! Limiters in a run and outside, in virtual time.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::limiter::{Acquire, Acquired, Held, Holder, LEASE, LimiterError, Limiters, Usage};
use actor_core::testing::{Drained, TestBroker};
use actor_core::{BrokerError, Context, Failure, Key, Limiter, MemoryBroker, MessageId, actor};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::hooked::{Hooked, Hooks};

const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

/// Longer than anything here takes: it ends a test that hangs.
const HANG: Duration = Duration::from_secs(60);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(HANG, future).await.expect("it hangs")
}

/// Waits until these tasks have done what they can.
async fn settled() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn used(broker: &MemoryBroker, limiter: Limiter) -> u64 {
    broker.limiters().unwrap().usage(&limiter, &Key::default()).await.unwrap().used
}

/// Asks the storage itself, as another process.
async fn elsewhere(broker: &MemoryBroker, limiter: Limiter) -> Acquired {
    let asked = Acquire::new(limiter, Holder::new(MessageId::new(), 0, 0));
    broker.limiters().unwrap().acquire(&asked).await.unwrap()
}

fn waiting(
    broker: &Arc<Hooked<Losing>>,
    limiter: Limiter,
    order: &'static Mutex<Vec<u32>>,
    number: u32,
) -> JoinHandle<()> {
    let broker = Arc::clone(broker);
    tokio::spawn(async move {
        let permit = limiter.cost(1).acquire_with(&*broker).await.unwrap();
        order.lock().unwrap().push(number);
        permit.release().await.unwrap();
    })
}

#[tokio::test]
async fn a_bucket_is_waited_for_until_its_time() {
    let (broker, limiter) = (MemoryBroker::new(), Limiter::bucket("waited", 1, HOUR).burst(1));
    let _first = limiter.cost(1).acquire_with(&broker).await.unwrap();
    let second = tokio::spawn({
        let broker = broker.clone();
        async move { limiter.cost(1).acquire_with(&broker).await.map(drop) }
    });
    settled().await;
    broker.advance(HOUR - SECOND * 30);
    settled().await;
    assert!(!second.is_finished());
    broker.advance(SECOND * 30);
    within(second).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_window_slides() {
    let (broker, limiter) = (MemoryBroker::new(), Limiter::window("slides", 2, HOUR));
    let take = || limiter.cost(1).try_acquire_with(&broker);
    let _first = take().await.unwrap();
    broker.advance(HOUR / 2);
    let _second = take().await.unwrap();
    let after = take().await.unwrap_err().retry_after().unwrap();
    assert!(after <= HOUR / 2 && after > HOUR / 2 - SECOND * 30, "{after:?}");
    broker.advance(after);
    let _third = take().await.unwrap();
    let after = take().await.unwrap_err().retry_after().unwrap();
    assert!(after <= HOUR / 2 + SECOND && after > HOUR / 2 - SECOND * 30, "the second has not left: {after:?}");
}

#[tokio::test]
async fn callers_take_turns_in_the_order_in_which_they_came_and_only_the_first_asks() {
    static ORDER: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    let (broker, limiter) = (Arc::new(Losing::answers(0)), Limiter::concurrent("turns", 1));
    let held = limiter.cost(1).acquire_with(&*broker).await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..10 {
        tasks.push(waiting(&broker, limiter, &ORDER, number));
        settled().await;
    }
    // The holder asked once, and the first that waits at least once.
    let asked = broker.limiters.asked.load(Ordering::Relaxed);
    assert!((2..6).contains(&asked), "{asked} asked");
    // Whoever gives up loses its turn, and nobody else's.
    tasks.remove(4).abort();
    held.release().await.unwrap();
    for task in tasks {
        within(task).await.unwrap();
    }
    assert_eq!(*ORDER.lock().unwrap(), [0, 1, 2, 3, 5, 6, 7, 8, 9]);
    assert_eq!(used(&broker.memory, limiter).await, 0);
}

#[tokio::test]
async fn a_permit_that_is_dropped_is_released() {
    let (broker, limiter) = (MemoryBroker::new(), Limiter::concurrent("dropped", 1));
    let permit = limiter.cost(1).try_acquire_with(&broker).await.unwrap();
    assert!(permit.is_held());
    assert_ne!(elsewhere(&broker, limiter).await, Acquired::Granted);
    let refused = limiter.cost(1).try_acquire_with(&broker).await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(SECOND), "when it is released nobody knows");
    drop(permit);
    drop(within(limiter.cost(1).acquire_with(&broker)).await.unwrap());
}

#[test]
fn a_permit_is_renewed_while_its_runtime_is_blocked() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (broker, limiter) = (MemoryBroker::new(), Limiter::concurrent("blocked", 1));
    let permit = runtime.block_on(limiter.cost(1).acquire_with(&broker)).unwrap();
    let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    broker.advance(LEASE - SECOND * 5);
    // Nothing polls the runtime from here on.
    other.block_on(within(async {
        let ends_in = async || broker.limiters().unwrap().usage(&limiter, &Key::default()).await.unwrap().opens_after;
        while ends_in().await < LEASE - SECOND {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        broker.advance(LEASE - SECOND * 5);
        assert_ne!(elsewhere(&broker, limiter).await, Acquired::Granted);
    }));
    assert!(permit.is_held());
}

#[tokio::test]
async fn a_permit_that_another_took_is_not_held_any_more_and_releases_nothing() {
    let (broker, limiter) = (MemoryBroker::new(), Limiter::concurrent("taken", 1));
    let permit = limiter.cost(1).try_acquire_with(&broker).await.unwrap();
    broker.advance(LEASE + SECOND);
    assert_eq!(elsewhere(&broker, limiter).await, Acquired::Granted);
    within(async {
        while permit.is_held() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    permit.release().await.unwrap();
    assert_eq!(used(&broker, limiter).await, 1, "the other's");
}

static MAPS: Limiter = Limiter::bucket("maps", 1, HOUR).burst(1);

#[actor(queue = "maps")]
async fn ask_maps() -> Result<(), Failure> {
    let _used = MAPS.try_acquire().await?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_in_a_run_spends_no_attempt_and_is_repeated_at_its_time() {
    let broker = TestBroker::new();
    let _installed = broker.install();
    let worker = broker.worker();
    for _ in 0..2 {
        ask_maps.send_with(&broker).await.unwrap();
    }
    let drained = worker.drain().await;
    assert_eq!((drained.done, drained.limited, drained.retried), (1, 1, 0));
    assert_eq!(worker.advance(HOUR - SECOND).await, Drained::default());
    assert_eq!(worker.advance(SECOND).await.done, 1);
}

static SLOW: Limiter = Limiter::window("slow", 1, HOUR);

#[actor(queue = "slow")]
async fn wait_for_it() -> Result<(), LimiterError> {
    SLOW.acquire().await.map(drop)
}

#[tokio::test]
async fn a_tests_worker_moves_its_clock_on_while_a_run_waits_for_a_limiter() {
    let broker = TestBroker::new();
    let _installed = broker.install();
    let worker = broker.worker();
    let before = broker.now();
    for _ in 0..3 {
        wait_for_it.send_with(&broker).await.unwrap();
    }
    assert_eq!(within(worker.drain()).await.done, 3);
    let passed = broker.now().duration_since(before).unwrap();
    assert!(passed >= HOUR * 2 && passed < HOUR * 2 + SECOND * 60, "{passed:?}");
}

static LICENCE: Limiter = Limiter::concurrent("licence", 2);

#[actor(queue = "licence")]
async fn use_licences(cx: &Context) -> Result<(), LimiterError> {
    let one = LICENCE.acquire_for(cx).await?;
    let other = LICENCE.acquire_for(cx).await?;
    assert!(LICENCE.try_acquire_for(cx).await.is_err_and(|error| error.is_refused()));
    drop((one, other));
    Ok(())
}

#[tokio::test]
async fn each_permit_of_a_run_counts_and_its_next_run_takes_them_over() {
    let broker = TestBroker::new();
    let _installed = broker.install();
    let limiters = broker.limiters().unwrap();
    let sent = use_licences.send_with(&broker).await.unwrap();
    // What a run before this one held when its worker died.
    for ordinal in 0..2 {
        let held = Acquire::new(LICENCE, Holder::new(sent.id(), ordinal, 0));
        assert_eq!(limiters.acquire(&held).await.unwrap(), Acquired::Granted);
    }
    assert_eq!(within(broker.worker().drain()).await.done, 1);
}

/// A broker that keeps no limiters.
#[derive(Debug, Default)]
struct Without(MemoryBroker);

impl Hooks for Without {
    fn memory(&self) -> &MemoryBroker {
        &self.0
    }

    fn limiters(&self) -> Option<Arc<dyn Limiters>> {
        None
    }
}

#[tokio::test]
async fn a_broker_without_limiters_says_so() {
    let error = LICENCE.cost(1).try_acquire_with(&Hooked(Without::default())).await.unwrap_err();
    assert!(error.is_invalid(), "{error}");
    assert_eq!(error.to_string(), "the broker keeps no limiters");
}

/// A broker whose answers to acquisitions are lost, so many of them.
#[derive(Debug)]
struct Losing {
    memory: MemoryBroker,
    limiters: Arc<Lost>,
}

#[derive(Debug)]
struct Lost {
    limiters: Arc<dyn Limiters>,
    left: AtomicU32,
    /// How often it was asked for a permit.
    asked: AtomicU32,
}

impl Losing {
    fn answers(count: u32) -> Hooked<Self> {
        let memory = MemoryBroker::new();
        let limiters =
            Lost { limiters: memory.limiters().unwrap(), left: AtomicU32::new(count), asked: AtomicU32::new(0) };
        Hooked(Self { memory, limiters: Arc::new(limiters) })
    }
}

impl Hooks for Losing {
    fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    fn limiters(&self) -> Option<Arc<dyn Limiters>> {
        Some(Arc::<Lost>::clone(&self.limiters))
    }
}

#[async_trait::async_trait]
impl Limiters for Lost {
    async fn acquire(&self, acquire: &Acquire) -> Result<Acquired, BrokerError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.limiters.acquire(acquire).await;
        let is_lost = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_lost { Err(BrokerError::unknown("the answer was lost")) } else { answer }
    }

    async fn renew(&self, limiter: &str, held: &[Held], lease: Duration) -> Result<Vec<bool>, BrokerError> {
        self.limiters.renew(limiter, held, lease).await
    }

    async fn release(&self, limiter: &str, held: &[Held]) -> Result<Vec<bool>, BrokerError> {
        self.limiters.release(limiter, held).await
    }

    async fn usage(&self, limiter: &Limiter, key: &Key) -> Result<Usage, BrokerError> {
        self.limiters.usage(limiter, key).await
    }
}

#[tokio::test]
async fn a_permit_whose_answer_was_lost_is_asked_for_again_and_counts_once() {
    let (broker, limiter) = (Losing::answers(1), Limiter::concurrent("lost", 2));
    let permit = limiter.cost(1).try_acquire_with(&broker).await.unwrap();
    assert_eq!(used(&broker.memory, limiter).await, 1);
    permit.release().await.unwrap();
    // Where that fails too, what may have been granted is released.
    let broker = Losing::answers(2);
    let error = limiter.cost(1).try_acquire_with(&broker).await.unwrap_err();
    assert!(error.is_unknown() && !error.is_refused(), "{error}");
    within(async {
        while used(&broker.memory, limiter).await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_unknown_of_a_bucket_or_a_window_is_never_asked_for_again() {
    for limiter in [Limiter::bucket("unknown", 1, HOUR).burst(9), Limiter::window("unknown.too", 9, HOUR)] {
        let broker = Losing::answers(1);
        let error = limiter.cost(1).acquire_with(&broker).await.unwrap_err();
        assert!(error.is_unknown(), "{error}");
        assert_eq!(used(&broker.memory, limiter).await, 1);
    }
}
