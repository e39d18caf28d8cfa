use std::time::Duration;

use actor_core::inspect::State;
use actor_core::{Context, Failure, actor};
use serde_json::Value;

use crate::on_every_broker;
use crate::support::probe::Dropped;
use crate::support::{Probe, RunningWorker, Stage, probe};

#[actor(queue = "fails_twice", max_retries = 5, min_backoff = "20ms", max_backoff = "50ms")]
async fn fails_twice(cx: &Context, #[state] probe: &Probe) -> Result<(), String> {
    probe.report(format!("attempt {} token {}", cx.attempt(), cx.fencing_token()));
    if cx.attempt() < 3 { Err("not yet".to_owned()) } else { Ok(()) }
}

#[actor(queue = "always_fails", max_retries = 2, min_backoff = "1ms", max_backoff = "1ms")]
async fn always_fails(what: String) -> Result<(), String> {
    Err(format!("no {what}"))
}

#[actor(queue = "gives_up", max_retries = 9)]
async fn gives_up(#[state] probe: &Probe) -> Result<(), Failure> {
    probe.report("run");
    Err(Failure::do_not_retry("there is no such video"))
}

#[actor(queue = "asks_for_later", max_retries = 1)]
async fn asks_for_later(cx: &Context, #[state] probe: &Probe) -> Result<(), Failure> {
    probe.report(format!("attempt {}", cx.attempt()));
    if cx.attempt() == 1 {
        // The actor's own backoff would be 15 seconds.
        return Err(Failure::retry_in(Duration::from_millis(30), "the limit is reached"));
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Cause {
    Passing,
    Lasting,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Cause {}

fn is_passing(cause: &Cause) -> bool {
    *cause == Cause::Passing
}

#[actor(queue = "chooses", max_retries = 9, min_backoff = "1ms", max_backoff = "1ms", retry_if = is_passing)]
async fn chooses(cx: &Context, #[state] probe: &Probe) -> Result<(), Cause> {
    probe.report(format!("attempt {}", cx.attempt()));
    Err(if cx.attempt() == 1 { Cause::Passing } else { Cause::Lasting })
}

#[actor(queue = "panics", max_retries = 0)]
async fn panics(number: u32) {
    tokio::task::yield_now().await;
    assert!(number == 0, "the number is {number}");
}

#[actor(queue = "panics_at_once", max_retries = 0)]
fn panics_at_once() {
    panic!("a sync panic");
}

#[actor(queue = "takes_too_long", max_retries = 0, time_limit = "50ms")]
async fn takes_too_long(#[state] probe: &Probe) {
    let _dropped = Dropped(probe.clone());
    std::future::pending::<()>().await;
}

/// Panics when dropped, as no actor's error may.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[actor(queue = "panics_when_dropped", max_retries = 0, time_limit = "50ms")]
async fn panics_when_dropped() {
    let _bomb = Bomb;
    std::future::pending::<()>().await;
}

#[actor(queue = "panics_with_a_bomb", max_retries = 0)]
async fn panics_with_a_bomb() {
    std::panic::panic_any(Bomb);
}

/// An error whose text leaves out its cause.
#[derive(Debug)]
struct Upload(std::num::ParseIntError);

impl std::fmt::Display for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the upload has no size")
    }
}

impl std::error::Error for Upload {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[actor(queue = "fails_with_causes", max_retries = 0)]
async fn fails_with_causes(size: &str) -> Result<u32, Upload> {
    size.parse().map_err(Upload)
}

#[actor(queue = "fails_with_a_boxed_error", max_retries = 0)]
fn fails_with_a_boxed_error(size: &str) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    Ok(size.parse().map_err(Upload)?)
}

#[actor(queue = "fails_with_a_failure")]
async fn fails_with_a_failure(size: &str) -> Result<u32, Failure> {
    Ok(size.parse().map_err(Upload)?)
}

on_every_broker! {
    async fn a_failed_message_is_retried_until_it_succeeds(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "fails_twice", probe).await;
        fails_twice.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "attempt 1 token 1");
        assert_eq!(reports.next().await, "attempt 2 token 2");
        assert_eq!(reports.next().await, "attempt 3 token 3");
        let counts = stage.until_empty("fails_twice").await;
        assert_eq!(counts.dead, 0);
        worker.stop().await;
    }

    async fn the_last_failure_makes_a_dead_letter_that_says_what_and_how_often(stage: Stage) {
        let (probe, _heard) = probe();
        let worker = worker(&stage, "always_fails", probe).await;
        always_fails.send_with(&stage.broker, "luck".to_owned()).await.unwrap();
        assert_eq!(stage.dead_reason("always_fails").await, "no luck");
        let dead_letter = stage.list("always_fails", State::Dead).await.pop().unwrap();
        let body: Value = serde_json::from_slice(&dead_letter.body).unwrap();
        assert_eq!(body["attempt"], 3);
        assert_eq!(body["last_error"], "no luck");
        assert_eq!(body["args"], serde_json::json!(["luck"]));
        worker.stop().await;
    }

    async fn an_error_may_forbid_the_retry(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "gives_up", probe).await;
        gives_up.send_with(&stage.broker).await.unwrap();
        assert_eq!(stage.dead_reason("gives_up").await, "there is no such video");
        worker.stop().await;
        assert_eq!(reports.rest(), ["run"]);
    }

    async fn an_error_may_set_the_time_of_the_retry(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "asks_for_later", probe).await;
        asks_for_later.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "attempt 1");
        assert_eq!(reports.next().await, "attempt 2");
        worker.stop().await;
    }

    async fn retry_if_decides_by_the_error(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "chooses", probe).await;
        chooses.send_with(&stage.broker).await.unwrap();
        assert_eq!(stage.dead_reason("chooses").await, "Lasting");
        worker.stop().await;
        assert_eq!(reports.rest(), ["attempt 1", "attempt 2"]);
    }

    async fn a_panic_is_a_failure_with_its_message_and_its_place(stage: Stage) {
        let (probe, _heard) = probe();
        let worker = worker(&stage, "panics", probe).await;
        panics.send_with(&stage.broker, 7).await.unwrap();
        let reason = stage.dead_reason("panics").await;
        assert!(reason.starts_with("the actor panicked: the number is 7 at "), "{reason}");
        assert!(reason.contains("outcomes.rs:"), "{reason}");
        worker.stop().await;
    }

    async fn a_panicking_actor_frees_its_slot(stage: Stage) {
        let (probe, _heard) = probe();
        let builder = stage.worker("panics").await.state(probe);
        let worker = RunningWorker::start(builder.concurrency(1));
        for number in [1, 2, 0] {
            panics.send_with(&stage.broker, number).await.unwrap();
        }
        let counts = stage.until_empty("panics").await;
        assert_eq!(counts.dead, 2);
        worker.stop().await;
    }

    async fn a_sync_actors_panic_is_a_failure_too(stage: Stage) {
        let (probe, _heard) = probe();
        let worker = worker(&stage, "panics_at_once", probe).await;
        panics_at_once.send_with(&stage.broker).await.unwrap();
        let reason = stage.dead_reason("panics_at_once").await;
        assert!(reason.starts_with("the actor panicked: a sync panic at "), "{reason}");
        worker.stop().await;
    }

    async fn an_errors_causes_are_kept_with_it(stage: Stage) {
        let (probe, _heard) = probe();
        let why = "the upload has no size: invalid digit found in string";
        let named = worker(&stage, "fails_with_causes", probe.clone()).await;
        fails_with_causes.send_with(&stage.broker, "x").await.unwrap();
        assert_eq!(stage.dead_reason("fails_with_causes").await, why);
        named.stop().await;
        let boxed = worker(&stage, "fails_with_a_boxed_error", probe.clone()).await;
        fails_with_a_boxed_error.send_with(&stage.broker, "x").await.unwrap();
        assert_eq!(stage.dead_reason("fails_with_a_boxed_error").await, why);
        boxed.stop().await;
        let failing = worker(&stage, "fails_with_a_failure", probe).await;
        fails_with_a_failure.message("x").max_retries(0).send_with(&stage.broker).await.unwrap();
        assert_eq!(stage.dead_reason("fails_with_a_failure").await, why);
        failing.stop().await;
    }

    async fn what_panics_when_it_is_dropped_leaves_no_message_behind(stage: Stage) {
        let (probe, _heard) = probe();
        let dropper = worker(&stage, "panics_when_dropped", probe.clone()).await;
        panics_when_dropped.send_with(&stage.broker).await.unwrap();
        let reason = stage.dead_reason("panics_when_dropped").await;
        assert_eq!(reason, "the actor took longer than its time limit of 50ms");
        dropper.stop().await;
        let thrower = worker(&stage, "panics_with_a_bomb", probe).await;
        panics_with_a_bomb.send_with(&stage.broker).await.unwrap();
        let reason = stage.dead_reason("panics_with_a_bomb").await;
        assert!(reason.starts_with("the actor panicked: a panic without a text at "), "{reason}");
        thrower.stop().await;
    }

    async fn an_async_actor_over_its_time_limit_is_dropped(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "takes_too_long", probe).await;
        takes_too_long.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "dropped");
        let reason = stage.dead_reason("takes_too_long").await;
        assert_eq!(reason, "the actor took longer than its time limit of 50ms");
        worker.stop().await;
    }
}

async fn worker(stage: &Stage, queue: &str, probe: Probe) -> RunningWorker {
    RunningWorker::start(stage.worker(queue).await.state(probe))
}
