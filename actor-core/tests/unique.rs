//! Unique actors and idempotency keys, from `send` to the end of a run.
#![allow(clippy::unwrap_used)] // In the actors, which are tests too.

mod hooked;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use actor_core::broker::{Broker, Enqueue, Enqueued};
use actor_core::testing::TestBroker;
use actor_core::{BrokerError, Context, Failure, Inspect, MemoryBroker, QueueName, SendError, actor};
use async_trait::async_trait;

use self::hooked::{Hooked, Hooks};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[actor(unique)]
async fn rebuild(shop: u32, filters: HashMap<String, u32>) {
    drop((shop, filters));
}

#[actor(unique(by = account))]
async fn reindex(account: u32, full: bool) {
    let _ = (account, full);
}

#[actor(unique(by = (team, day), until = "10m"))]
async fn digest(team: u32, day: String, text: String) {
    drop((team, day, text));
}

#[actor(unique(by = document, on_conflict = "postpone", max_wait = "1m"))]
async fn save(document: u32, text: String) {
    let _ = document;
    SAVED.lock().unwrap().push(text);
}

static SAVED: Mutex<Vec<String>> = Mutex::new(Vec::new());

#[actor(unique(by = account, on_conflict = "run_again"), max_retries = 1)]
async fn sync(cx: &Context, account: u32, change: u32) -> Result<(), Failure> {
    SYNCED.lock().unwrap().push((change, cx.attempt()));
    if change == 1 && cx.attempt() == 1 {
        // What changes while it runs.
        assert!(sync.send(account, 2).await?.is_new());
        assert!(!sync.send(account, 3).await?.is_new());
        return Err(Failure::retry_in(SECOND, "the remote is away"));
    }
    Ok(())
}

static SYNCED: Mutex<Vec<(u32, u32)>> = Mutex::new(Vec::new());

#[actor(unique(until = "started"))]
async fn refresh(account: u32) -> Result<(), Failure> {
    if REFRESHED.lock().unwrap().is_empty() {
        REFRESHED.lock().unwrap().push("run");
        assert!(refresh.send(account).await?.is_new());
        assert!(!refresh.send(account).await?.is_new());
    } else {
        REFRESHED.lock().unwrap().push("again");
    }
    Ok(())
}

static REFRESHED: Mutex<Vec<&str>> = Mutex::new(Vec::new());

#[actor]
async fn charge(order: u32) {
    let _ = order;
}

#[tokio::test]
async fn messages_of_equal_arguments_exclude_one_another_until_one_is_done() -> Result<(), SendError> {
    let broker = TestBroker::new();
    let _installed = broker.install();
    let filters = |names: [&str; 3]| names.map(|name| (name.to_owned(), 1)).into_iter().collect::<HashMap<_, _>>();
    let first = rebuild.send(1, filters(["a", "b", "c"])).await?;
    assert!(first.is_new() && first.replaced().is_none());
    let second = rebuild.send(1, filters(["c", "a", "b"])).await?;
    assert!(!second.is_new());
    assert_eq!(second.id(), first.id());
    let sent = broker.sent();
    assert_eq!(sent.iter().map(|sent| sent.is_new).collect::<Vec<_>>(), [true, false]);
    assert_eq!(sent[0].unique, sent[1].unique);
    assert!(rebuild.send(2, filters(["a", "b", "c"])).await?.is_new());
    assert!(rebuild.send(1, filters(["a", "b", "d"])).await?.is_new());
    assert_eq!(broker.worker().drain().await.done, 3);
    assert!(rebuild.send(1, filters(["a", "b", "c"])).await?.is_new());
    Ok(())
}

#[tokio::test]
async fn a_message_is_unique_by_what_the_actor_says_or_the_message() -> Result<(), SendError> {
    let broker = TestBroker::new();
    let _installed = broker.install();
    let first = reindex.send(7, false).await?;
    assert_eq!(reindex.send(7, true).await?.id(), first.id());
    assert!(reindex.send(8, true).await?.is_new());
    let of_its_own = reindex.message(7, true).unique_key("all of it").send().await?;
    assert!(of_its_own.is_new());
    assert_eq!(reindex.message(9, true).unique_key("all of it").send().await?.id(), of_its_own.id());
    // An actor that is not unique has messages that are.
    let once = charge.message(1).unique_key("once").send().await?;
    assert_eq!(charge.message(2).unique_key("once").send().await?.id(), once.id());
    assert!(charge.send(2).await?.is_new() && charge.send(2).await?.is_new());
    let many = reindex.send_many([(10, false), (7, false), (10, true)]).await.map_err(|failed| failed.error)?;
    assert_eq!(many.iter().map(actor_core::Sent::is_new).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!((many[1].id(), many[2].id()), (first.id(), many[0].id()));
    Ok(())
}

#[tokio::test]
async fn a_window_throttles_and_counts_from_the_first() -> Result<(), SendError> {
    let broker = TestBroker::new();
    let (_installed, worker) = (broker.install(), broker.worker());
    let send = |text: &str| digest.send(1, "monday".to_owned(), text.to_owned());
    assert!(send("a").await?.is_new());
    worker.advance(9 * MINUTE).await;
    assert!(!send("b").await?.is_new());
    worker.advance(MINUTE).await;
    assert!(send("c").await?.is_new());
    Ok(())
}

#[tokio::test]
async fn a_debounced_message_runs_once_with_the_last_arguments_and_not_too_late() -> Result<(), SendError> {
    let broker = TestBroker::new();
    let (_installed, worker) = (broker.install(), broker.worker());
    let mut last = None;
    for second in 0..55 {
        let sent = save.message(1, second.to_string()).delay(10 * SECOND).send().await?;
        assert!(sent.is_new());
        assert_eq!(sent.replaced(), last.replace(sent.id()));
        worker.advance(SECOND).await;
        assert!(SAVED.lock().unwrap().is_empty());
    }
    save.message(1, "last".to_owned()).delay(10 * SECOND).send().await?;
    worker.advance(4 * SECOND).await;
    assert!(SAVED.lock().unwrap().is_empty());
    worker.advance(SECOND).await;
    assert_eq!(*SAVED.lock().unwrap(), ["last"], "a minute after the first");
    Ok(())
}

#[tokio::test]
async fn what_changed_during_a_run_runs_once_more_after_it_and_its_retry() -> Result<(), SendError> {
    let broker = TestBroker::new();
    let (_installed, worker) = (broker.install(), broker.worker());
    assert!(sync.send(7, 1).await?.is_new());
    assert!(!sync.send(7, 9).await?.is_new());
    worker.drain().await;
    assert_eq!(*SYNCED.lock().unwrap(), [(1, 1)]);
    worker.advance(SECOND).await;
    assert_eq!(*SYNCED.lock().unwrap(), [(1, 1), (1, 2), (2, 1)]);
    assert_eq!(broker.memory().counts(&QueueName::new("default").unwrap()).await.unwrap().outstanding(), 0);
    Ok(())
}

#[tokio::test]
async fn what_is_sent_after_the_start_waits_for_the_next_run() -> Result<(), SendError> {
    let broker = TestBroker::new();
    let _installed = broker.install();
    refresh.send(7).await?;
    assert_eq!(broker.worker().drain().await.done, 2);
    assert_eq!(*REFRESHED.lock().unwrap(), ["run", "again"]);
    Ok(())
}

static MIRRORED: Mutex<Vec<Vec<u32>>> = Mutex::new(Vec::new());

/// The first batch sends again what it runs.
#[actor(unique(until = "started"), batch(max = 10, wait = "1s"))]
async fn mirror(accounts: Vec<u32>) -> Result<(), Failure> {
    let is_first = MIRRORED.lock().unwrap().is_empty();
    MIRRORED.lock().unwrap().push(accounts.clone());
    if is_first {
        for account in accounts {
            assert!(mirror.send(account).await?.is_new());
            assert!(!mirror.send(account).await?.is_new());
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_sent_after_a_batch_has_started_waits_for_the_next() -> Result<(), SendError> {
    let broker = TestBroker::new();
    let _installed = broker.install();
    for account in [7, 8, 7] {
        mirror.send(account).await?;
    }
    assert_eq!(broker.worker().drain().await.done, 4);
    assert_eq!(*MIRRORED.lock().unwrap(), [[7, 8], [7, 8]]);
    Ok(())
}

/// Loses some answers: of those messages it stores the first, and has not even that for the second.
#[derive(Debug, Default)]
struct Losing {
    memory: MemoryBroker,
    /// By how many requests a message was asked to be stored.
    asked: Mutex<BTreeMap<String, u32>>,
    lost: u32,
}

#[async_trait]
impl Hooks for Losing {
    fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        let mut answers = Vec::new();
        for message in messages {
            let asked = {
                let mut all = self.asked.lock().unwrap();
                let asked = all.entry(message.id.to_string()).or_default();
                *asked += 1;
                *asked
            };
            let stored = self.memory.enqueue(queue, vec![message]).await.remove(0);
            answers.push(match asked {
                1 => Err(BrokerError::unknown("its answer was lost")),
                2 if self.lost > 1 => Err(BrokerError::unavailable("it is away")),
                3.. if self.lost > 2 => Err(BrokerError::unknown("its answer was lost again")),
                _ => stored,
            });
        }
        answers
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_an_idempotency_key_is_sent_again_until_it_is_known_and_stored_once() {
    for lost in [1, 2] {
        let broker = Hooked(Losing { lost, ..Losing::default() });
        let sent = charge.message(17).idempotency_key("order-17").send_with(&broker).await.unwrap();
        assert!(sent.is_new(), "its own first request stored it");
        let again = charge.message(17).idempotency_key("order-17").send_with(&broker).await.unwrap();
        assert_eq!((again.id(), again.is_new()), (sent.id(), false));
        let counts = broker.memory.counts(&charge.queue()).await.unwrap();
        assert_eq!(counts.ready, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_stays_unknown_is_said_to_be_and_what_has_no_key_is_not_sent_again() {
    let broker = Hooked(Losing { lost: 3, ..Losing::default() });
    let began = tokio::time::Instant::now();
    let error = charge.message(17).idempotency_key("order-17").send_with(&broker).await.unwrap_err();
    assert!(error.is_unknown());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(broker.memory.counts(&charge.queue()).await.unwrap().ready, 1);
    let error = charge.send_with(&broker, 18).await.unwrap_err();
    assert!(error.is_unknown());
    assert_eq!(broker.asked.lock().unwrap().values().min(), Some(&1));
}

/// Is away when it is first told that a run begins.
#[derive(Debug, Default)]
struct Away {
    memory: MemoryBroker,
    told: Mutex<u32>,
}

impl Hooks for Away {
    fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    fn begins(&self) -> Result<(), BrokerError> {
        let mut told = self.told.lock().unwrap();
        *told += 1;
        if *told < 3 { Err(BrokerError::unavailable("it is away")) } else { Ok(()) }
    }
}

#[actor(queue = "beginning", unique(until = "started"))]
async fn begins(broker: u32, #[state] site: &BeginSite) -> Result<(), Failure> {
    // The key is free by now: another one may be sent.
    let next = begins.send_with(&*site.broker, broker).await?;
    site.begun.send((*site.broker.told.lock().unwrap(), next.is_new())).map_err(|_| Failure::from("nobody listens"))
}

struct BeginSite {
    broker: std::sync::Arc<Hooked<Away>>,
    begun: tokio::sync::mpsc::UnboundedSender<(u32, bool)>,
}

#[tokio::test]
async fn a_run_waits_while_nobody_can_be_told_that_it_begins() {
    let broker = std::sync::Arc::new(Hooked(Away::default()));
    begins.send_with(&*broker, 1).await.unwrap();
    let (begun, mut beginning) = tokio::sync::mpsc::unbounded_channel();
    let site = BeginSite { broker: std::sync::Arc::clone(&broker), begun };
    let worker = actor_core::Worker::builder(std::sync::Arc::clone(&broker)).state(site).queues(["beginning"]);
    let stop = async {
        let begun = beginning.recv().await.unwrap();
        assert_eq!(begun, (3, true), "it ran before the broker knew");
    };
    worker.run_until(stop).await.unwrap();
}
