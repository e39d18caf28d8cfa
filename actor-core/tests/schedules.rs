//! Schedules in virtual time: what is declared, what a program stores, and who fires it.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use actor_core::broker::{Broker, Enqueue, Enqueued};
use actor_core::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use actor_core::inspect::{Page, State};
use actor_core::schedule::{CatchUp, Change, Declared, NewSchedule, Overlap, ScheduleState, Schedules, run_now};
use actor_core::settlement::{Settled, Settlement};
use actor_core::testing::TestBroker;
use actor_core::{BrokerError, Context, Failure, Inspect, MemoryBroker, QueueName, Schedule, Worker, actor};
use tokio::sync::Notify;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Every tick that ran, with how often.
#[derive(Clone, Default)]
struct Ticks(Arc<(Mutex<BTreeMap<SystemTime, u32>>, Notify)>);

impl Ticks {
    fn note(&self, cx: &Context) {
        let tick = cx.scheduled_for().expect("a schedule sent it");
        *self.0.0.lock().unwrap().entry(tick).or_default() += 1;
        self.0.1.notify_one();
    }

    fn all(&self) -> BTreeMap<SystemTime, u32> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until so many ticks ran.
    async fn until(&self, count: usize) {
        let waiting = async {
            while self.all().len() < count {
                self.0.1.notified().await;
            }
        };
        tokio::time::timeout(MINUTE, waiting).await.unwrap_or_else(|_| panic!("only {} ticks ran", self.all().len()));
    }
}

/// Every minute at ten seconds.
#[actor(queue = "declared", cron = "10 * * * * *", catch_up = "all")]
async fn declared(cx: &Context, #[state] ticks: &Ticks) {
    assert_eq!(cx.schedule(), Some("declared"));
    ticks.note(cx);
}

#[actor(queue = "dynamic", max_retries = 1)]
async fn dynamic(cx: &Context, #[state] ticks: &Ticks, fails: bool) -> Result<(), Failure> {
    ticks.note(cx);
    if fails { Err(Failure::retry_in(MINUTE * 35, "it fails")) } else { Ok(()) }
}

#[actor(queue = "sent")]
async fn sent(cx: &Context) {
    assert_eq!((cx.scheduled_for(), cx.schedule()), (None, None), "it was sent");
}

fn queue(name: &str) -> QueueName {
    name.parse().unwrap()
}

/// Moves to the next full hour, so that a test knows how many ticks a span has.
fn align(broker: &MemoryBroker) {
    let now = broker.now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let gone = u64::try_from(now.as_nanos() % HOUR.as_nanos()).unwrap();
    broker.advance(HOUR - Duration::from_nanos(gone));
}

#[tokio::test]
async fn ten_workers_fire_each_tick_of_an_hour_once() {
    let (broker, ticks) = (MemoryBroker::new(), Ticks::default());
    align(&broker);
    let stop = tokio_util::sync::CancellationToken::new();
    let workers: Vec<_> = (0..10)
        .map(|_| {
            let builder = Worker::builder(broker.clone()).queues(["declared"]).state(ticks.clone());
            tokio::spawn(builder.lease(24 * HOUR).run_until(stop.clone().cancelled_owned()))
        })
        .collect();
    // The first tick needs its declaration.
    while broker.read_schedule(&queue("declared"), "declared").await.unwrap().is_none_or(|found| found.due.is_none()) {
        tokio::task::yield_now().await;
    }
    for minute in 1..=60 {
        broker.advance(MINUTE);
        ticks.until(minute).await;
    }
    let all = ticks.all();
    assert_eq!((all.len(), all.values().sum::<u32>()), (60, 60), "each once: {all:?}");
    let listed = broker.read_schedule(&queue("declared"), "declared").await.unwrap().unwrap();
    assert!(listed.declared && listed.state == ScheduleState::Active);
    assert_eq!(listed.last_tick, all.last_key_value().map(|(tick, _)| *tick));
    stop.cancel();
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_test_that_advances_fires_what_it_has_stored_and_declared() {
    let (broker, ticks) = (TestBroker::new(), Ticks::default());
    align(broker.memory());
    let worker = broker.worker().state(ticks.clone());
    Schedule::new("report:42", "*/20 * * * *").upsert_with(&broker, dynamic.message(false)).await.unwrap();
    assert_eq!(worker.advance(MINUTE * 19).await.done, 0);
    assert_eq!(worker.advance(MINUTE * 41).await.done, 3);
    let all: Vec<_> = ticks.all().into_keys().collect();
    assert_eq!((all[1], all[2]), (all[0] + MINUTE * 20, all[0] + MINUTE * 40));
    worker.declare().await;
    assert_eq!(worker.advance(MINUTE * 5).await.done, 5, "every minute");
    sent.send_with(&broker).await.unwrap();
    assert_eq!(worker.drain().await.done, 1);
}

#[tokio::test]
async fn ticks_that_nobody_fired_are_caught_up_as_the_schedule_says() {
    for (catch_up, missed) in [(CatchUp::None, 0), (CatchUp::Last, 1), (CatchUp::All, 6)] {
        let (broker, ticks) = (TestBroker::new(), Ticks::default());
        align(broker.memory());
        let schedule = Schedule::new("it", "*/10 * * * *").catch_up(catch_up);
        schedule.upsert_with(&broker, dynamic.message(false)).await.unwrap();
        // No worker runs. The last tick is five minutes ago then.
        broker.memory().advance(HOUR + MINUTE * 5);
        let worker = broker.worker().state(ticks.clone());
        assert_eq!(worker.drain().await.done, missed, "{catch_up:?}");
        assert_eq!(worker.advance(MINUTE * 10).await.done, 1, "{catch_up:?}: and on");
    }
}

#[tokio::test]
async fn a_tick_passes_while_the_last_one_is_to_be_retried() {
    let (broker, ticks) = (TestBroker::new(), Ticks::default());
    align(broker.memory());
    let schedule = Schedule::new("it", "*/10 * * * *").overlap(Overlap::Skip);
    schedule.upsert_with(&broker, dynamic.message(true)).await.unwrap();
    let worker = broker.worker().state(ticks.clone());
    assert_eq!(worker.advance(MINUTE * 10).await.retried, 1, "35 minutes later");
    let passing = worker.advance(MINUTE * 30).await;
    assert_eq!((passing.retried, ticks.all().len()), (0, 1), "three ticks pass");
    assert_eq!(worker.advance(MINUTE * 5).await.dead_lettered, 1);
    assert_eq!(worker.advance(MINUTE * 5).await.retried, 1, "the next one");
    assert_eq!(ticks.all().len(), 2);
}

#[tokio::test]
async fn what_is_stored_by_another_version_is_parked_with_its_reason() {
    let broker = TestBroker::new();
    let worker = broker.worker().state(Ticks::default());
    let wrong = [
        NewSchedule::new("pattern", r#"{"pattern":"99 * * * *","timezone":"UTC"}"#, "{}".into()),
        NewSchedule::new("zone", r#"{"pattern":"* * * * *","timezone":"Mars/Olympus"}"#, "{}".into()),
        NewSchedule::new("newer", r#"{"pattern":"* * * * *","timezone":"UTC"}"#, r#"{"v":2}"#.into()),
        NewSchedule::new("odd", "odd", "odd".into()),
    ];
    for stored in broker.memory().upsert(&queue("dynamic"), &wrong).await {
        stored.unwrap();
    }
    Schedule::new("right", "* * * * *").upsert_with(&broker, dynamic.message(false)).await.unwrap();
    assert_eq!(worker.advance(MINUTE).await.done, 1, "nothing is held up");
    let listing = broker.memory().list_schedules(&queue("dynamic"), Page::first(10)).await.unwrap();
    let why = |name: &str| match &listing.schedules.iter().find(|found| found.name == name).unwrap().state {
        ScheduleState::Parked(why) => why.clone(),
        other => panic!("{name} is {other:?}"),
    };
    assert!(why("pattern").contains("`99 * * * *` is not a pattern"), "{}", why("pattern"));
    assert!(why("zone").contains("`Mars/Olympus` is no time zone"), "{}", why("zone"));
    assert!(why("newer").contains("it is of version 2"), "{}", why("newer"));
    assert!(why("odd").contains("not a schedule of this version"), "{}", why("odd"));
}

#[tokio::test]
async fn a_wrong_schedule_is_refused_and_nothing_is_stored() {
    let broker = TestBroker::new();
    let message = || dynamic.message(false);
    let refused = [
        Schedule::new("it", "99 * * * *").upsert_with(&broker, message()).await,
        Schedule::new("it", "0 0 30 2 *").upsert_with(&broker, message()).await,
        Schedule::new("it", "* * * * *").timezone("Berlin").upsert_with(&broker, message()).await,
        Schedule::new("", "* * * * *").upsert_with(&broker, message()).await,
        Schedule::new("a\nb", "* * * * *").upsert_with(&broker, message()).await,
        Schedule::new("it", "* * * * *").upsert_with(&broker, message().delay(MINUTE)).await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(error.is_invalid() && !error.is_unknown(), "{error}");
    }
    let nobody = Schedule::new("it", "* * * * *").upsert(message()).await.unwrap_err();
    assert!(nobody.to_string().contains("no broker is installed"), "{nobody}");
    assert!(broker.memory().queues().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_listing_shows_the_pattern_and_the_next_runs() {
    let broker = TestBroker::new();
    let _installed = broker.install();
    let schedule = Schedule::new("it", "0 6 * * *").timezone("Europe/Berlin").jitter(MINUTE).overlap(Overlap::Skip);
    schedule.upsert(dynamic.message(true)).await.unwrap();
    let listed = broker.memory().read_schedule(&queue("dynamic"), "it").await.unwrap().unwrap();
    assert_eq!(listed.pattern().unwrap(), ("0 6 * * *".to_owned(), "Europe/Berlin".to_owned()));
    assert_eq!(listed.options().unwrap(), (Overlap::Skip, CatchUp::Last));
    assert_eq!((&*listed.message().unwrap().actor, &*listed.message().unwrap().args), ("dynamic", "[true]"));
    let before = listed.next_runs(3).unwrap();
    assert_eq!(before.len(), 3);
    assert!(before[0] > broker.now() && before[2].duration_since(before[0]).unwrap() > HOUR * 46);
    // A worker finds the same.
    let worker = broker.worker().state(Ticks::default());
    worker.drain().await;
    let listed = broker.memory().read_schedule(&queue("dynamic"), "it").await.unwrap().unwrap();
    assert_eq!((listed.next_runs(3).unwrap(), listed.due), (before.clone(), Some(before[0])));
    assert!(broker.memory().change_schedule(&queue("dynamic"), "it", Change::Pause).await.unwrap());
    let listed = broker.memory().read_schedule(&queue("dynamic"), "it").await.unwrap().unwrap();
    assert_eq!(listed.next_runs(3).unwrap(), []);
}

#[tokio::test]
async fn a_schedule_is_run_now_beside_its_ticks_also_where_it_is_paused() {
    let (broker, ticks) = (TestBroker::new(), Ticks::default());
    let worker = broker.worker().state(ticks.clone());
    Schedule::new("it", "0 0 1 1 *").upsert_with(&broker, dynamic.message(false)).await.unwrap();
    broker.memory().change_schedule(&queue("dynamic"), "it", Change::Pause).await.unwrap();
    let id = run_now(&broker, &queue("dynamic"), "it").await.unwrap();
    let stored = broker.memory().list(&queue("dynamic"), State::Ready, Page::first(2)).await.unwrap().messages;
    assert_eq!(stored[0].message().unwrap().id, id);
    assert_eq!(stored[0].message().unwrap().tick.unwrap().0, "it");
    assert_eq!(worker.drain().await.done, 1);
    let unknown = run_now(&broker, &queue("dynamic"), "another").await.unwrap_err();
    assert!(unknown.is_no_such_schedule(), "{unknown}");
}

#[tokio::test]
async fn what_no_worker_declares_any_more_is_listed_and_later_removed() {
    let (broker, mail) = (MemoryBroker::new(), queue("dynamic"));
    let [kept, gone] = ["kept", "gone"].map(|name| NewSchedule::new(name, "timing", "{}".into()));
    broker.declare(&mail, &[kept.clone(), gone.clone()], true).await.unwrap();
    let state = async |name: &str| broker.read_schedule(&mail, name).await.unwrap().map(|found| found.state);
    // Nobody is there for a week, and then some worker which declares only one of them.
    broker.advance(HOUR * 24 * 7);
    assert_eq!(broker.declare(&mail, std::slice::from_ref(&kept), true).await.unwrap(), Declared::default());
    assert_eq!(state("gone").await, Some(ScheduleState::Active), "a rolling deploy has begun");
    let since = broker.now() - HOUR;
    let mut undeclared = Vec::new();
    for _ in 0..6 {
        broker.advance(Declared::REFRESH);
        undeclared.extend(broker.declare(&mail, std::slice::from_ref(&kept), false).await.unwrap().undeclared);
    }
    assert_eq!(undeclared, ["gone"]);
    let found = state("gone").await;
    assert!(matches!(found, Some(ScheduleState::Undeclared(at)) if at > since), "{found:?}");
    // The deploy is rolled back.
    broker.declare(&mail, &[kept.clone(), gone.clone()], true).await.unwrap();
    assert_eq!(state("gone").await, Some(ScheduleState::Active));
    let mut removed = Vec::new();
    for _ in 0..(24 * 60 + 1) {
        broker.advance(Declared::REFRESH);
        removed.extend(broker.declare(&mail, std::slice::from_ref(&kept), false).await.unwrap().removed);
    }
    assert_eq!((removed, state("gone").await), (vec!["gone".to_owned()], None));
    assert_eq!(state("kept").await, Some(ScheduleState::Active));
}

/// A broker that keeps no schedules.
#[derive(Debug)]
struct Plain(MemoryBroker);

#[async_trait::async_trait]
impl Broker for Plain {
    async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        self.0.enqueue(queue, messages).await
    }

    async fn register(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError> {
        self.0.register(worker, queues, lease).await
    }

    async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError> {
        self.0.renew(worker, queues, lease).await
    }

    async fn stopping(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        self.0.stopping(worker, queues).await
    }

    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        self.0.claim(consumer, max, wait).await
    }

    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
        self.0.recover(consumer, max, grace).await
    }

    async fn unpark(&self, consumer: &Consumer, all: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError> {
        self.0.unpark(consumer, all, max).await
    }

    async fn begin(&self, consumer: &Consumer, receipts: &[Receipt]) -> Vec<Result<Settled, BrokerError>> {
        self.0.begin(consumer, receipts).await
    }

    async fn settle(&self, consumer: &Consumer, all: &[(Receipt, Settlement)]) -> Vec<Result<Settled, BrokerError>> {
        self.0.settle(consumer, all).await
    }

    async fn deregister(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        self.0.deregister(worker, queues).await
    }
}

#[tokio::test]
async fn a_broker_without_schedules_says_so_at_start_and_when_one_is_stored() {
    let plain = Plain(MemoryBroker::new());
    let stored = Schedule::new("it", "* * * * *").upsert_with(&plain, dynamic.message(false)).await.unwrap_err();
    assert!(stored.is_unsupported(), "{stored}");
    let builder = Worker::builder(plain).queues(["declared"]).state(Ticks::default());
    let error = builder.run_until(std::future::ready(())).await.unwrap_err();
    assert!(error.is_misconfigured());
    let text = error.to_string();
    assert!(text.contains("actor `declared`") && text.contains("this broker keeps no schedules"), "{text}");
}
