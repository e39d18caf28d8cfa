//! Each worker here listens for signals, which reach the whole process, so each has a process of its own.
#![allow(clippy::print_stdout)] // Its output shows how far it is.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actor_core::{Signals, Worker, actor};
use actor_redis::RedisBroker;
use tokio::time::sleep;

use crate::support::Stage;
use crate::support::probe::within;

/// Makes a test the worker's process, and names its Redis.
const REDIS: &str = "ACTOR_TEST_SIGNALLED_WORKER";

/// How far apart a platform may send the two signals of one stop.
const SAME_STOP: Duration = Duration::from_millis(20);

/// More than a stop takes that waits for nothing, and far less than one that waits for a broker's answers.
const SOON: Duration = Duration::from_secs(6);

#[actor(queue = "signalled", max_retries = 0)]
async fn signalled(seconds: u64) {
    println!("begun");
    sleep(Duration::from_secs(seconds)).await;
}

/// A worker in a process of its own.
struct Process(Child);

impl Process {
    /// Starts it, and waits for its first output.
    fn start(stage: &mut Stage, test: &str, says: &str) -> Self {
        let itself = std::env::current_exe().expect("a test knows its own program");
        let mut child = Command::new(itself)
            .args(["--exact", "--nocapture", test])
            .env(REDIS, stage.server().url())
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains(says)), "{test} did not say {says:?}");
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it exits in good order.
    async fn ended(&mut self) -> Duration {
        let began = Instant::now();
        let ended = within(async {
            loop {
                if let Some(status) = self.0.try_wait().unwrap() {
                    return status;
                }
                sleep(Duration::from_millis(10)).await;
            }
        });
        assert!(ended.await.success(), "the worker failed");
        began.elapsed()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process of the other tests here; run directly, it does nothing.
#[tokio::test]
async fn a_worker_that_listens_for_signals() {
    let Ok(url) = std::env::var(REDIS) else { return };
    let broker = RedisBroker::connect(&url).await.unwrap();
    Worker::builder(broker).queues(["signalled"]).run().await.unwrap();
}

/// The same, with the signal before the worker runs.
#[tokio::test]
async fn a_worker_that_listens_before_it_connects() {
    let Ok(url) = std::env::var(REDIS) else { return };
    let signals = Signals::listen().unwrap();
    println!("listening");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let broker = RedisBroker::connect(&url).await.unwrap();
    Worker::builder(broker).queues(["signalled"]).signals(signals).run().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_signal_from_before_the_worker_runs_stops_it_as_soon_as_it_does() {
    let mut stage = Stage::redis().await;
    let mut worker = Process::start(&mut stage, "signals::a_worker_that_listens_before_it_connects", "listening");
    worker.terminate();
    sleep(SAME_STOP).await; // Until it is delivered, without an event.
    worker.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    let took = worker.ended().await;
    assert!(took < SOON, "it took {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_signals_at_once_count_as_one() {
    let mut stage = Stage::redis().await;
    for _ in 0..3 {
        signalled.send_with(&stage.broker, 2).await.unwrap();
    }
    let mut worker = Process::start(&mut stage, "signals::a_worker_that_listens_for_signals", "begun");
    stage.until("signalled", |counts| counts.in_flight == 3).await;
    sleep(Duration::from_millis(100)).await; // Until the last has begun, without an event.
    worker.terminate();
    sleep(SAME_STOP).await;
    worker.terminate();
    worker.ended().await;
    let counts = stage.counts("signalled").await;
    assert_eq!((counts.ready, counts.in_flight, counts.dead), (0, 0, 0), "what ran was dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_later_signal_ends_a_worker_at_once_while_the_broker_stands_still() {
    let mut stage = Stage::redis().await;
    signalled.send_with(&stage.broker, 3_600).await.unwrap();
    let mut worker = Process::start(&mut stage, "signals::a_worker_that_listens_for_signals", "begun");
    stage.server().freeze();
    worker.terminate();
    sleep(Duration::from_millis(1_500)).await; // A second signal counts from a second after the first.
    assert!(worker.0.try_wait().unwrap().is_none(), "it did not wait for what runs");
    worker.terminate();
    let took = worker.ended().await;
    assert!(took < SOON, "it took {took:?} from the second signal to its end");
}
