#![allow(clippy::print_stdout)] // A process shows by its output how far it is.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actor_core::limiter::{LEASE as PERMIT_LEASE, LimiterError};
use actor_core::{Context, Limiter, Worker, actor};
use actor_redis::RedisBroker;
use tokio::time::sleep;

use crate::on_every_broker;
use crate::support::probe::within;
use crate::support::worker::LEASE;
use crate::support::{Probe, RunningWorker, Stage, probe};

/// Makes a test a process that another kills, and names its Redis.
const REDIS: &str = "ACTOR_TEST_HOLDER_OF_PERMITS";

static SHARED: Limiter = Limiter::concurrent("shared", 2);

/// How many hold a permit, and how many did at most.
#[derive(Clone, Default)]
struct Held(Arc<[AtomicU32; 2]>);

impl Held {
    async fn use_shared(&self, cx: &Context) -> Result<(), LimiterError> {
        let permit = SHARED.acquire_for(cx).await?;
        let [now, most] = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        sleep(Duration::from_millis(5)).await; // Long enough for others to come, and for nothing else.
        now.fetch_sub(1, Ordering::SeqCst);
        permit.release().await
    }
}

#[actor(queue = "shared.one")]
async fn uses_in_one(cx: &Context, #[state] held: &Held) -> Result<(), LimiterError> {
    held.use_shared(cx).await
}

#[actor(queue = "shared.two")]
async fn uses_in_two(cx: &Context, #[state] held: &Held) -> Result<(), LimiterError> {
    held.use_shared(cx).await
}

#[actor(queue = "shared.three")]
async fn uses_in_three(cx: &Context, #[state] held: &Held) -> Result<(), LimiterError> {
    held.use_shared(cx).await
}

on_every_broker! {
    async fn several_queues_share_one_limiter_and_never_hold_more_than_its_number(stage: Stage) {
        const QUEUES: [&str; 3] = ["shared.one", "shared.two", "shared.three"];
        let held = Held::default();
        for _ in 0..8 {
            uses_in_one.send_with(&stage.broker).await.unwrap();
            uses_in_two.send_with(&stage.broker).await.unwrap();
            uses_in_three.send_with(&stage.broker).await.unwrap();
        }
        let mut workers = Vec::new();
        for queue in QUEUES {
            workers.push(RunningWorker::start(stage.worker(queue).await.state(held.clone())));
        }
        for queue in QUEUES {
            assert_eq!(stage.until_empty(queue).await.dead, 0);
        }
        for worker in workers {
            worker.stop().await;
        }
        assert_eq!(held.0[1].load(Ordering::SeqCst), 2, "at a time, at most");
    }
}

/// A process that holds permits until it is killed.
struct Process(Child);

impl Process {
    /// Starts it, and waits until it holds them.
    fn holding(stage: &mut Stage, test: &str) -> Self {
        let itself = std::env::current_exe().expect("a test knows its own program");
        let mut child = Command::new(itself)
            .args(["--exact", "--nocapture", test])
            .env(REDIS, stage.server().url())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("it holds")), "{test} holds nothing");
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

static ALONE: Limiter = Limiter::concurrent("alone", 1);
static LEFT: Limiter = Limiter::concurrent("left", 1);

#[actor(queue = "holders")]
async fn hold_alone(cx: &Context, #[state] probe: &Probe) -> Result<(), LimiterError> {
    let held = ALONE.cost(1).usage().await?.used;
    let _permit = ALONE.try_acquire_for(cx).await?;
    if std::env::var_os(REDIS).is_some() {
        println!("it holds");
        std::future::pending::<()>().await;
    }
    probe.report(format!("{held} held, token {}", cx.fencing_token()));
    Ok(())
}

/// The process of the next test; run directly, it does nothing.
#[tokio::test]
async fn a_worker_whose_run_holds_a_permit() {
    let Ok(url) = std::env::var(REDIS) else { return };
    let broker = RedisBroker::connect(&url).await.unwrap();
    Worker::builder(broker).queues(["holders"]).state(probe().0).lease(LEASE).run().await.unwrap();
}

#[tokio::test]
async fn the_next_run_of_a_killed_workers_message_takes_its_permit_over() {
    let mut stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    hold_alone.send_with(&stage.broker).await.unwrap();
    let process = Process::holding(&mut stage, "limiters::a_worker_whose_run_holds_a_permit");
    let refused = ALONE.cost(1).try_acquire_with(&*stage.broker).await.unwrap_err();
    assert!(refused.is_refused(), "{refused}");
    drop(process);
    let worker = RunningWorker::start(stage.worker("holders").await.state(probe));
    // It was granted while the lease stood: to this message alone.
    assert_eq!(reports.next().await, "1 held, token 2");
    assert_eq!(stage.until_empty("holders").await.dead, 0);
    worker.stop().await;
    within(ALONE.cost(1).acquire_with(&*stage.broker)).await.unwrap().release().await.unwrap();
}

/// The process of the next test; run directly, it does nothing.
#[tokio::test]
async fn a_process_that_holds_a_permit() {
    let Ok(url) = std::env::var(REDIS) else { return };
    let broker = RedisBroker::connect(&url).await.unwrap();
    let _permit = LEFT.cost(1).acquire_with(&broker).await.unwrap();
    println!("it holds");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn what_a_killed_process_held_is_free_once_its_lease_has_ended() {
    let mut stage = Stage::redis().await;
    let begun = Instant::now();
    let process = Process::holding(&mut stage, "limiters::a_process_that_holds_a_permit");
    drop(process);
    let killed = Instant::now();
    let permit = within(LEFT.cost(1).acquire_with(&*stage.broker)).await.unwrap();
    assert!(begun.elapsed() >= PERMIT_LEASE, "it was free before its lease had ended");
    let took = killed.elapsed();
    assert!(took < PERMIT_LEASE + Duration::from_secs(2), "it took {took:?}");
    permit.release().await.unwrap();
}
