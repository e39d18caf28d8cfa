use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actor_core::{Context, Failure, actor};
use tokio::time::sleep;

use crate::support::worker::LEASE;
use crate::support::{Gate, Probe, RunningWorker, Stage, probe};

/// The environment variable for how many seconds the clock differs from Redis's.
const WRONG_BY: &str = "ACTOR_TEST_CLOCK_WRONG_BY";

/// The variable of faketime for the file that holds the offset of the clock, which may change.
const OFFSET_FILE: &str = "FAKETIME_TIMESTAMP_FILE";

/// Far less than the clocks differ.
const AT_ONCE: Duration = Duration::from_secs(20);

#[actor(queue = "clocked")]
async fn clocked(cx: &Context, name: String, #[state] probe: &Probe) -> Result<(), Failure> {
    probe.report(format!("{name} {}", cx.attempt()));
    if name == "retried" && cx.attempt() == 1 {
        return Err(Failure::retry_in(Duration::from_millis(200), "not yet"));
    }
    Ok(())
}

#[actor(queue = "kept")]
async fn kept(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("crashes {}", cx.crashes()));
    gate.pass().await;
    probe.report("end");
}

#[cfg(feature = "cron")]
#[actor(queue = "by_schedule")]
async fn by_schedule(cx: &Context, #[state] probe: &Probe) {
    let tick = cx.scheduled_for().unwrap().duration_since(UNIX_EPOCH).unwrap();
    probe.report(tick.as_secs().to_string());
}

/// Runs a test again, on a host whose clock is wrong.
fn with_a_wrong_clock(seconds: i64, test: &str) {
    let mut faketime = Command::new("faketime");
    faketime.args(["-f", &format!("{seconds:+}s")]).env(WRONG_BY, seconds.to_string());
    assert!(run_again(faketime, test), "{test} fails where the clock is wrong by {seconds} s");
}

/// Whether a test passes under `faketime`.
fn run_again(mut faketime: Command, test: &str) -> bool {
    let itself = std::env::current_exe().expect("a test knows its own program");
    let status = faketime
        .arg(itself)
        .args(["--exact", test])
        // Only the time of day is wrong; time passes at the same rate.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .status();
    let status = status.unwrap_or_else(|error| {
        panic!("faketime cannot be started ({error}): install it, or run tests/run.sh, which does")
    });
    status.success()
}

#[test]
fn delays_retries_and_ages_hold_on_a_host_whose_clock_is_fast() {
    with_a_wrong_clock(3_600, "clocks::delays_retries_and_ages_go_by_the_clock_of_redis");
}

#[test]
fn delays_retries_and_ages_hold_on_a_host_whose_clock_is_slow() {
    with_a_wrong_clock(-3_600, "clocks::delays_retries_and_ages_go_by_the_clock_of_redis");
}

#[test]
fn leases_hold_on_a_host_whose_clock_is_fast() {
    with_a_wrong_clock(3_600, "clocks::leases_go_by_the_clock_of_redis");
}

#[test]
fn leases_hold_on_a_host_whose_clock_is_slow() {
    with_a_wrong_clock(-3_600, "clocks::leases_go_by_the_clock_of_redis");
}

#[cfg(feature = "cron")]
#[test]
fn schedules_hold_on_a_host_whose_clock_is_fast() {
    with_a_wrong_clock(3_600, "clocks::schedules_go_by_the_clock_of_redis");
}

#[cfg(feature = "cron")]
#[test]
fn schedules_hold_on_a_host_whose_clock_is_slow() {
    with_a_wrong_clock(-3_600, "clocks::schedules_go_by_the_clock_of_redis");
}

#[test]
fn times_hold_on_a_host_whose_clock_is_put_right() {
    let offset = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&offset, "+0s").unwrap();
    let mut faketime = Command::new("faketime");
    // The wrapper's own setting would override the file's.
    faketime.args(["-f", "+0s", "env", "-u", "FAKETIME"]).env("FAKETIME_NO_CACHE", "1");
    faketime.env(OFFSET_FILE, offset.path());
    assert!(run_again(faketime, "clocks::a_connected_sender_goes_by_the_clock_of_redis_while_its_own_is_put_right"));
}

#[tokio::test]
async fn a_connected_sender_goes_by_the_clock_of_redis_while_its_own_is_put_right() {
    let stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    let worker = RunningWorker::start(stage.worker("clocked").await.state(probe));
    let (delay, age) = (Duration::from_secs(1), Duration::from_secs(60));
    let at = stage.broker.now() + delay;
    let began = Instant::now();
    // Run directly, this test has a clock that is and stays right.
    for step in std::env::var(OFFSET_FILE).map_or(vec!["+0s"], |_| vec!["+3600s", "-3600s"]) {
        if let Ok(offset) = std::env::var(OFFSET_FILE) {
            let before = SystemTime::now();
            std::fs::write(offset, step).unwrap();
            let after = SystemTime::now();
            let moved = after.duration_since(before).unwrap_or_else(|back| back.duration());
            assert!(moved > Duration::from_secs(3_000), "the clock moved by {moved:?} only");
        }
        clocked.message(step.to_owned()).at(at).expires_in(age).send_with(&stage.broker).await.unwrap();
    }
    reports.next().await;
    let took = began.elapsed();
    assert!(took + Duration::from_millis(50) >= delay && took < AT_ONCE, "after {took:?}");
    assert_eq!(stage.until_empty("clocked").await.dead, 0);
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    worker.stop().await;
}

#[tokio::test]
async fn delays_retries_and_ages_go_by_the_clock_of_redis() {
    let stage = with_an_offset_clock().await;
    let (probe, mut reports) = probe();
    let worker = RunningWorker::start(stage.worker("clocked").await.state(probe));
    let send = async |name: &str, delay, age| {
        let message = clocked.message(name.to_owned()).delay(delay).expires_in(age);
        message.send_with(&stage.broker).await.unwrap();
    };
    let began = Instant::now();
    let (no_delay, long) = (Duration::ZERO, Duration::from_secs(60));
    send("at once", no_delay, long).await;
    assert_eq!(reports.next().await, "at once 1");

    let delay = Duration::from_millis(300);
    let sent = Instant::now();
    send("delayed", delay, long).await;
    assert_eq!(reports.next().await, "delayed 1");
    assert!(sent.elapsed() + Duration::from_millis(5) >= delay, "after {:?}", sent.elapsed());

    let at = stage.broker.now() + delay;
    clocked.message("at".to_owned()).at(at).send_with(&stage.broker).await.unwrap();
    let sent = Instant::now();
    assert_eq!(reports.next().await, "at 1");
    assert!(sent.elapsed() + Duration::from_millis(50) >= delay, "after {:?}", sent.elapsed());

    send("retried", no_delay, long).await;
    assert_eq!(reports.next().await, "retried 1");
    assert_eq!(reports.next().await, "retried 2");

    send("too old", delay, Duration::from_millis(100)).await;
    let reason = stage.dead_reason("clocked").await;
    assert_eq!(reason, "the message reached its maximum age before it could start");
    assert!(began.elapsed() < AT_ONCE, "it took {:?}", began.elapsed());
    worker.stop().await;
    assert_eq!(reports.rest(), [""; 0]);
}

#[tokio::test]
async fn leases_go_by_the_clock_of_redis() {
    let stage = with_an_offset_clock().await;
    let (probe, mut reports) = probe();
    let gate = Gate::closed();
    let worker = async || {
        let builder = stage.worker("kept").await;
        RunningWorker::start(builder.state(probe.clone()).state(gate.clone()))
    };
    let holder = worker().await;
    kept.send_with(&stage.broker).await.unwrap();
    assert_eq!(reports.next().await, "crashes 0");
    let successor = worker().await;
    sleep(LEASE * 3).await; // No event shows that a live worker keeps its messages.
    assert_eq!(reports.rest(), [""; 0]);
    let killed = Instant::now();
    holder.kill();
    assert_eq!(reports.next().await, "crashes 1");
    assert!(killed.elapsed() < AT_ONCE, "it took {:?}", killed.elapsed());
    gate.open();
    assert_eq!(reports.next().await, "end");
    stage.until_empty("kept").await;
    successor.stop().await;
}

#[cfg(feature = "cron")]
#[tokio::test]
async fn schedules_go_by_the_clock_of_redis() {
    let mut stage = with_an_offset_clock().await;
    let (probe, mut reports) = probe();
    let worker = RunningWorker::start(stage.worker("by_schedule").await.state(probe));
    let schedule = actor_core::Schedule::new("it", "* * * * * *");
    schedule.upsert_with(&*stage.broker, by_schedule.message()).await.unwrap();
    let (mut last, time) = (0, stage.server().cli(&["TIME"]));
    let began: u64 = time.lines().next().and_then(|seconds| seconds.parse().ok()).unwrap();
    for _ in 0..3 {
        let tick: u64 = reports.next().await.parse().unwrap();
        assert!(tick > last && tick.abs_diff(began) < AT_ONCE.as_secs(), "{tick} after {last}, begun at {began}");
        last = tick;
    }
    worker.stop().await;
}

/// A stage, after checking that this clock differs from Redis's by the expected offset.
async fn with_an_offset_clock() -> Stage {
    let mut stage = Stage::redis().await;
    let wrong_by: i64 = std::env::var(WRONG_BY).map_or(0, |seconds| seconds.parse().unwrap());
    let time = stage.server().cli(&["TIME"]);
    let there: i64 = time.lines().next().and_then(|seconds| seconds.parse().ok()).unwrap();
    let here = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    assert!((here - there - wrong_by).abs() < 60, "{here} here, {there} there, wrong by {wrong_by}");
    stage
}
