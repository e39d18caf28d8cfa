use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actor_core::inspect::State;
use actor_core::{Actor, Context, Failure, Limit, Queue, actor};
use tokio::time::sleep;

use crate::on_every_broker;
use crate::support::{Gate, Probe, RunningWorker, probe};

/// How many run at a time, and how many did at most, by key.
#[derive(Clone, Default)]
struct Meter(Arc<Mutex<BTreeMap<String, (u32, u32)>>>);

/// While it lives, a run is counted.
struct Counted(Meter, Vec<String>, u32);

impl Meter {
    /// Counts for the key, and for all.
    fn count(&self, key: &str, cost: u32) -> Counted {
        let keys = vec![key.to_owned(), "all".to_owned()];
        let mut all = self.0.lock().unwrap();
        for key in &keys {
            let (now, most) = all.entry(key.clone()).or_default();
            *now += cost;
            *most = (*most).max(*now);
        }
        Counted(self.clone(), keys, cost)
    }

    fn most(&self, key: &str) -> u32 {
        self.0.lock().unwrap().get(key).map_or(0, |(_, most)| *most)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut all = self.0.0.lock().unwrap();
        for key in &self.1 {
            all.get_mut(key).unwrap().0 -= self.2;
        }
    }
}

static PER_KEY: Queue = Queue::new("lanes.per-key").per_key(Limit::new().concurrency(2));

#[actor(queue = PER_KEY, key = tenant)]
async fn of_a_tenant(tenant: &str, #[state] meter: &Meter) {
    let _counted = meter.count(tenant, 1);
    sleep(Duration::from_millis(5)).await;
}

static WEIGHED: Queue = Queue::new("lanes.weighed").concurrency(5);

#[actor(queue = WEIGHED, key = cost % 2, cost = cost)]
async fn weighed(cost: u32, #[state] meter: &Meter) {
    let _counted = meter.count("weighed", cost);
    sleep(Duration::from_millis(5)).await;
}

const RATE: u32 = 50;
const BURST: u32 = 5;

static RATED: Queue = Queue::new("lanes.rated").rate(RATE, Duration::from_secs(1)).burst(BURST);

#[actor(queue = RATED, key = number % 3)]
async fn rated(number: u32, #[state] starts: &Starts) {
    let _ = number;
    starts.0.lock().unwrap().push(Instant::now());
}

#[derive(Clone, Default)]
struct Starts(Arc<Mutex<Vec<Instant>>>);

static REFUSED: Queue = Queue::new("lanes.refused").per_key(Limit::new().concurrency(3));

const CLOSED: Duration = Duration::from_millis(700);

#[actor(queue = REFUSED, key = account, max_retries = 0)]
async fn refused(
    cx: &Context,
    account: &str,
    what: &str,
    #[state] probe: &Probe,
    #[state] gate: &Gate,
) -> Result<(), Failure> {
    probe.report(format!("{account} {what}, attempt {}", cx.attempt()));
    if what == "refused" && !gate.is_open() {
        gate.open();
        return Err(Failure::rate_limited(CLOSED));
    }
    Ok(())
}

static FAIR: Queue = Queue::new("lanes.fair").fair();

#[actor(queue = FAIR, key = tenant)]
async fn fair(tenant: &str, #[state] probe: &Probe) {
    sleep(Duration::from_millis(if tenant == "long" { 20 } else { 2 })).await;
    probe.report(tenant);
}

static HELD: Queue = Queue::new("lanes.held").per_key(Limit::new().concurrency(2));

#[actor(queue = HELD, key = "one")]
async fn held(#[state] meter: &Meter, #[state] gate: &Gate, #[state] probe: &Probe) {
    let _counted = meter.count("one", 1);
    probe.report("start");
    gate.pass().await;
}

static FAILING: Queue = Queue::new("lanes.failing").concurrency(1);

#[actor(queue = FAILING, key = number, min_backoff = "1ms", max_backoff = "5ms")]
async fn failing(cx: &Context, number: u32, #[state] meter: &Meter) -> Result<(), String> {
    let _counted = meter.count("failing", 1);
    sleep(Duration::from_millis(2)).await;
    if cx.attempt() < 3 { Err(format!("{number}, attempt {}", cx.attempt())) } else { Ok(()) }
}

on_every_broker! {
    async fn two_workers_never_run_more_of_a_key_than_its_limit(stage: Stage) {
        let (queue, meter) = (of_a_tenant::DEF.queue.name(), Meter::default());
        let tenants = ["a", "b", "c"];
        for number in 0..60 {
            of_a_tenant.send_with(&*stage.broker, tenants[number % 3]).await.unwrap();
        }
        assert_eq!(stage.counts(queue).await.waiting, 60);
        let start = async || RunningWorker::start(stage.worker(queue).await.state(meter.clone()));
        let workers = [start().await, start().await];
        stage.until_empty(queue).await;
        assert_eq!(tenants.map(|tenant| meter.most(tenant)), [2; 3]);
        for worker in workers {
            worker.stop().await;
        }
    }

    async fn two_workers_never_run_more_of_a_queue_than_its_limit_by_what_each_costs(stage: Stage) {
        let (queue, meter) = (weighed::DEF.queue.name(), Meter::default());
        weighed.send_many_with(&*stage.broker, (0..60).map(|number| number % 4 + 1)).await.unwrap();
        let start = async || RunningWorker::start(stage.worker(queue).await.state(meter.clone()));
        let workers = [start().await, start().await];
        stage.until_empty(queue).await;
        assert_eq!(meter.most("all"), 5);
        for worker in workers {
            worker.stop().await;
        }
    }

    async fn a_rate_is_kept_over_two_seconds(stage: Stage) {
        let (queue, starts) = (rated::DEF.queue.name(), Starts::default());
        let count = 2 * RATE;
        rated.send_many_with(&*stage.broker, 0..count).await.unwrap();
        let began = Instant::now();
        let start = async || RunningWorker::start(stage.worker(queue).await.state(starts.clone()));
        let workers = [start().await, start().await];
        stage.until_empty(queue).await;
        for worker in workers {
            worker.stop().await;
        }
        let mut starts = starts.0.lock().unwrap().clone();
        starts.sort();
        assert_eq!(starts.len(), count as usize);
        for (number, start) in (0..count).zip(&starts) {
            let earliest = Duration::from_secs(1) / RATE * number.saturating_sub(BURST - 1);
            let after = start.duration_since(began);
            assert!(after >= earliest, "start {number} came after {after:?}, and not before {earliest:?} was allowed");
        }
        let all = starts[starts.len() - 1].duration_since(began);
        assert!(all < Duration::from_secs(6), "{count} starts at {RATE} a second took {all:?}");
    }

    async fn what_a_limit_elsewhere_refuses_is_first_after_its_time_and_spends_no_attempt(stage: Stage) {
        let (queue, (probe, mut reports)) = (refused::DEF.queue.name(), probe());
        let worker = stage.worker(queue).await.concurrency(1).state(probe).state(Gate::closed());
        let worker = RunningWorker::start(worker);
        refused.send_with(&*stage.broker, "a", "refused").await.unwrap();
        assert_eq!(reports.next().await, "a refused, attempt 1");
        let began = Instant::now();
        stage.until(queue, |counts| counts.in_flight == 0).await;
        refused.send_with(&*stage.broker, "a", "next").await.unwrap();
        refused.send_with(&*stage.broker, "b", "other").await.unwrap();
        assert_eq!(reports.next().await, "b other, attempt 1");
        assert_eq!(reports.next().await, "a refused, attempt 1");
        assert!(began.elapsed() >= CLOSED * 8 / 10, "it was first after {:?}", began.elapsed());
        assert_eq!(reports.next().await, "a next, attempt 1");
        assert_eq!(stage.until_empty(queue).await.dead, 0);
        worker.stop().await;
    }

    async fn a_tenant_with_few_short_messages_is_done_long_before_one_with_many_long_ones(stage: Stage) {
        let (queue, (probe, mut reports)) = (fair::DEF.queue.name(), probe());
        fair.send_many_with(&*stage.broker, ["long"; 100]).await.unwrap();
        let worker = RunningWorker::start(stage.worker(queue).await.concurrency(4).state(probe));
        for _ in 0..8 {
            assert_eq!(reports.next().await, "long");
        }
        fair.send_many_with(&*stage.broker, ["short"; 20]).await.unwrap();
        let (mut long, mut short) = (0, 0);
        while short < 20 {
            match &*reports.next().await {
                "long" => long += 1,
                _ => short += 1,
            }
        }
        assert!(long <= 30, "{long} long ones ended before 20 short ones");
        stage.until_empty(queue).await;
        worker.stop().await;
    }

    async fn what_a_killed_worker_held_counts_until_it_has_run_elsewhere(stage: Stage) {
        let queue = held::DEF.queue.name();
        let (gate, meter, (probe, mut reports)) = (Gate::closed(), Meter::default(), probe());
        held.send_many_with(&*stage.broker, (0..6).map(|_| ())).await.unwrap();
        let start = async || {
            let worker = stage.worker(queue).await;
            RunningWorker::start(worker.state(meter.clone()).state(gate.clone()).state(probe.clone()))
        };
        let killed = start().await;
        for _ in 0..2 {
            assert_eq!(reports.next().await, "start");
        }
        let heir = start().await;
        killed.kill();
        // The two that were held run again, and only then others.
        for _ in 0..2 {
            assert_eq!(reports.next().await, "start");
        }
        let counts = stage.counts(queue).await;
        assert_eq!((counts.in_flight, counts.waiting), (2, 4));
        gate.open();
        stage.until_empty(queue).await;
        assert_eq!(reports.rest(), ["start"; 4]);
        // While the killed worker's runs were dropped, those of its heir may have begun.
        assert!(meter.most("one") <= 4);
        heir.stop().await;
    }

    async fn retries_wait_for_their_limits_again(stage: Stage) {
        let (queue, meter) = (failing::DEF.queue.name(), Meter::default());
        failing.send_many_with(&*stage.broker, 0..10).await.unwrap();
        let start = async || RunningWorker::start(stage.worker(queue).await.state(meter.clone()));
        let workers = [start().await, start().await];
        assert_eq!(stage.until_empty(queue).await.dead, 0);
        assert_eq!(meter.most("failing"), 1);
        for worker in workers {
            worker.stop().await;
        }
        assert!(stage.list(queue, State::Waiting).await.is_empty());
    }
}
