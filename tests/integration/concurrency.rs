use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use actor_core::inspect::State;
use actor_core::{Worker, actor};
use serde_json::Value;
use tokio::time::sleep;

use crate::on_every_broker;
use crate::support::{Gate, Probe, RunningWorker, probe, stage::name};

/// How many messages wait when the worker starts.
const BACKLOG: u32 = 100_000;

/// Counts concurrent runs.
#[derive(Clone, Default)]
struct Meter(Arc<[AtomicUsize; 2]>);

impl Meter {
    async fn measure(&self, run: impl Future<Output = ()>) {
        let [now, most] = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        run.await;
        now.fetch_sub(1, Ordering::SeqCst);
    }

    fn most(&self) -> usize {
        self.0[1].load(Ordering::SeqCst)
    }
}

#[derive(Clone, Default)]
struct Wide(Meter);

#[derive(Clone, Default)]
struct Narrow(Meter);

#[actor(queue = "wide")]
async fn wide(#[state] meter: &Wide, #[state] gate: &Gate, #[state] probe: &Probe) {
    meter
        .0
        .measure(async {
            probe.report("wide");
            gate.pass().await;
            sleep(Duration::from_millis(1)).await;
        })
        .await;
}

#[actor(queue = "narrow")]
async fn narrow(#[state] meter: &Narrow, #[state] gate: &Gate, #[state] probe: &Probe) {
    meter
        .0
        .measure(async {
            probe.report("narrow");
            gate.pass().await;
            sleep(Duration::from_millis(1)).await;
        })
        .await;
}

/// How often each message of the backlog ran, and how many are left.
#[derive(Clone)]
struct Tally(Arc<(Vec<AtomicU8>, AtomicUsize)>);

impl Tally {
    fn of(count: u32) -> Self {
        let count = count as usize;
        let runs = std::iter::repeat_with(AtomicU8::default).take(count).collect();
        Self(Arc::new((runs, AtomicUsize::new(count))))
    }

    /// Whether it was the last.
    fn count(&self, number: u32) -> bool {
        let (runs, left) = &*self.0;
        runs[number as usize].fetch_add(1, Ordering::Relaxed) == 0 && left.fetch_sub(1, Ordering::Relaxed) == 1
    }

    fn each_ran_once(&self) -> bool {
        self.0.0.iter().all(|runs| runs.load(Ordering::Relaxed) == 1)
    }
}

#[actor(queue = "bulk")]
async fn bulk(number: u32, #[state] tally: &Tally, #[state] probe: &Probe) {
    if tally.count(number) {
        probe.report("all ran");
    }
}

#[actor(queue = "many")]
async fn many(name: &str, weight: f64) {
    let _ = (name, weight);
}

/// The message at which a fast worker is held.
const FAST_UNTIL: u32 = 400;

#[actor(queue = "slow")]
async fn slow(number: u32, #[state] probe: &Probe, #[state] gate: &Gate) {
    if number == FAST_UNTIL {
        probe.report("blocked");
        gate.pass().await;
    }
    probe.report(number.to_string());
}

on_every_broker! {
    async fn a_queue_runs_as_many_at_once_as_it_may_and_no_more(stage: Stage) {
        let (probe, mut reports) = probe();
        let (gate, most_wide, most_narrow) = (Gate::closed(), Wide::default(), Narrow::default());
        let queues = [name("wide"), name("narrow")];
        let builder = Worker::builder(stage.another().await).queues(queues).concurrency(3);
        let builder = builder.queue_concurrency("narrow", 1).state(gate.clone());
        let worker = RunningWorker::start(builder.state(probe).state(most_wide.clone()).state(most_narrow.clone()));
        for _ in 0..30 {
            wide.send_with(&stage.broker).await.unwrap();
            narrow.send_with(&stage.broker).await.unwrap();
        }
        assert_eq!(reports.next_sorted(4).await, ["narrow", "wide", "wide", "wide"]);
        sleep(Duration::from_millis(100)).await; // No event shows that nothing more starts.
        assert_eq!(reports.rest(), [""; 0]);
        gate.open();
        reports.next_sorted(56).await;
        stage.until_empty("wide").await;
        stage.until_empty("narrow").await;
        worker.stop().await;
        assert_eq!((most_wide.0.most(), most_narrow.0.most()), (3, 1));
    }

    async fn a_worker_runs_as_many_at_once_over_all_queues_as_it_may_and_no_more(stage: Stage) {
        let (probe, mut reports) = probe();
        let (gate, both) = (Gate::closed(), Meter::default());
        let queues = [name("wide"), name("narrow")];
        let builder = Worker::builder(stage.another().await).queues(queues);
        let builder = builder.total_concurrency(3).state(gate.clone()).state(probe);
        let worker = RunningWorker::start(builder.state(Wide(both.clone())).state(Narrow(both.clone())));
        for _ in 0..30 {
            wide.send_with(&stage.broker).await.unwrap();
        }
        assert_eq!(reports.next_sorted(3).await, ["wide"; 3]);
        for _ in 0..30 {
            narrow.send_with(&stage.broker).await.unwrap();
        }
        // What was claimed before the last slot was taken is released after a second, and nothing more is claimed.
        stage.until("narrow", |counts| counts.in_flight == 0 && counts.ready == 30).await;
        stage.until("wide", |counts| counts.in_flight == 3 && counts.ready == 27).await;
        sleep(Duration::from_millis(100)).await; // No event shows that nothing more starts.
        assert_eq!(reports.rest(), [""; 0]);
        // A claim that was under way may have come back only now: it is released too.
        stage.until("narrow", |counts| counts.in_flight == 0 && counts.ready == 30).await;
        // Both queues are served, whichever had taken the slots.
        gate.let_pass(30);
        assert!(reports.next_sorted(30).await.contains(&"narrow".to_owned()));
        gate.open();
        reports.next_sorted(27).await;
        stage.until_empty("wide").await;
        stage.until_empty("narrow").await;
        worker.stop().await;
        assert_eq!(both.most(), 3);
    }

    async fn a_hundred_thousand_messages_that_wait_at_start_are_each_run_once(stage: Stage) {
        let (probe, mut reports) = probe();
        let tally = Tally::of(BACKLOG);
        let ids = bulk.send_many_with(&stage.broker, 0..BACKLOG).await.unwrap();
        assert_eq!(ids.len(), BACKLOG as usize);
        assert_eq!(stage.counts("bulk").await.ready, u64::from(BACKLOG));
        let worker = RunningWorker::start(stage.worker("bulk").await.state(tally.clone()).state(probe));
        assert_eq!(reports.next().await, "all ran");
        assert_eq!(stage.until_empty("bulk").await.dead, 0);
        worker.stop().await;
        assert!(tally.each_ran_once(), "some ran twice");
    }

    async fn send_many_answers_with_the_ids_in_order(stage: Stage) {
        let names: Vec<String> = (0..2_500).map(|number| number.to_string()).collect();
        let calls = names.iter().map(|name| (name.as_str(), 0.5));
        let ids = many.send_many_with(&stage.broker, calls).await.unwrap();
        let stored = stage.list("many", State::Ready).await;
        assert_eq!((ids.len(), stored.len()), (2_500, 2_500));
        for ((message, id), name) in stored.iter().zip(&ids).zip(&names) {
            let body: Value = serde_json::from_slice(&message.body).unwrap();
            assert_eq!((&body["id"], &body["args"][0]), (&id.to_string().into(), &name.as_str().into()));
        }
    }

    async fn send_many_says_what_it_had_sent_when_one_cannot_be_sent(stage: Stage) {
        let large = "x".repeat(2 << 20);
        for (name, weight, error) in [
            ("nan", f64::NAN, "argument 2 (`weight`) cannot be sent: NaN is no JSON number"),
            (large.as_str(), 0.5, "the message has 209"),
        ] {
            let before = stage.counts("many").await.ready;
            let calls = [("one", 0.5), ("two", 0.5), (name, weight), ("four", 0.5)];
            let failed = many.send_many_with(&stage.broker, calls).await.unwrap_err();
            assert_eq!((failed.sent.len(), failed.unknown.len()), (2, 0));
            assert_eq!((&*failed.not_sent, failed.taken), (&[2][..], 3));
            assert!(failed.error.is_invalid());
            assert!(failed.error.to_string().starts_with(error), "{}", failed.error);
            assert_eq!(stage.counts("many").await.ready, before + 2);
            let stored = stage.list("many", State::Ready).await.pop().unwrap();
            let body: Value = serde_json::from_slice(&stored.body).unwrap();
            assert_eq!(body["id"], failed.sent[1].1.to_string());
        }
    }

    async fn a_worker_that_became_slow_holds_nothing_it_will_not_start_soon(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        slow.send_many_with(&stage.broker, 0..2 * FAST_UNTIL).await.unwrap();
        let one = 1;
        let builder = stage.worker("slow").await.concurrency(one).state(probe.clone());
        let first = RunningWorker::for_ever(builder.state(gate.clone()));
        while reports.next().await != "blocked" {}
        stage.until("slow", |counts| counts.in_flight > 1).await;
        let builder = stage.worker("slow").await.concurrency(one).state(probe);
        let other = RunningWorker::for_ever(builder.state(gate.clone()));
        // All but the held one, including what the first worker had fetched ahead while it was fast.
        let mut rest: Vec<u32> = Vec::new();
        while rest.len() < FAST_UNTIL as usize - 1 {
            rest.push(reports.next().await.parse().unwrap());
        }
        rest.sort_unstable();
        assert_eq!(rest, (FAST_UNTIL + 1..2 * FAST_UNTIL).collect::<Vec<_>>());
        assert_eq!(stage.until("slow", |counts| counts.in_flight == 1).await.ready, 0);
        gate.open();
        assert_eq!(reports.next().await, FAST_UNTIL.to_string());
        stage.until_empty("slow").await;
        first.stop().await;
        other.stop().await;
    }
}
