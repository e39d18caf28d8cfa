use std::sync::Arc;
use std::time::{Duration, Instant};

use actor_core::control::Cancelled;
use actor_core::inspect::Which;
use actor_core::results::{ResultError, Status};
use actor_core::{BatchContext, Context, Failure, actor};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::on_every_broker;
use crate::support::probe::within;
use crate::support::stage::name;
use crate::support::{Gate, Probe, RunningWorker, Stage, probe};

/// Longer than any test waits for what comes.
const LONG: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sum {
    of: Vec<u64>,
    is: u64,
}

#[actor(queue = "adds", results = "1h", max_retries = 2, min_backoff = "1ms", max_backoff = "1ms")]
async fn adds(cx: &Context, of: Vec<u64>, fails: u32) -> Result<Sum, Failure> {
    if cx.attempt() <= fails {
        return Err(Failure::from(format!("attempt {} failed", cx.attempt())));
    }
    Ok(Sum { is: of.iter().sum(), of })
}

#[actor(queue = "waits_at_the_gate", results = "1h", max_retries = 0)]
pub(crate) async fn waits_at_the_gate(number: u64, #[state] gate: &Gate) -> Result<u64, String> {
    gate.pass().await;
    Ok(number)
}

#[actor(queue = "ends_when_told", results = "1h")]
async fn ends_when_told(cx: &Context) -> Result<u64, String> {
    cx.cancelled().await;
    Err("it was told".to_owned())
}

#[actor(queue = "keeps_nothing")]
async fn keeps_nothing(#[state] gate: &Gate) {
    gate.pass().await;
}

#[actor(queue = "sync_adds", results = "1h")]
fn sync_adds(one: u64, other: u64) -> Result<u64, String> {
    Ok(one + other)
}

#[actor(queue = "returns_nothing", results = "1h")]
async fn returns_nothing() {}

#[actor(queue = "expires", results = "1h", max_age = "1ms")]
async fn expires() -> Result<(), String> {
    Ok(())
}

#[actor(queue = "squares", results = "1h", max_retries = 0, batch(max = 3, wait = "50ms"))]
async fn squares(cx: &BatchContext, numbers: Vec<u64>) -> Vec<Result<u64, String>> {
    assert_eq!(cx.items().len(), numbers.len());
    numbers
        .into_iter()
        .map(|number| if number == 13 { Err("unlucky".to_owned()) } else { Ok(number * number) })
        .collect()
}

#[actor(queue = "large", results = "1h", max_retries = 1, min_backoff = "1ms", max_backoff = "1ms")]
async fn large(cx: &Context, bytes: usize) -> Result<String, String> {
    Ok("x".repeat(if cx.attempt() == 1 { bytes } else { 1 }))
}

/// What no JSON holds.
struct Odd;

impl Serialize for Odd {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("it is odd"))
    }
}

#[actor(queue = "odd_results", results = "1h", max_retries = 0)]
async fn odd_result() -> Result<Odd, String> {
    Ok(Odd)
}

#[actor(queue = "counts_up")]
async fn counts_up(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    cx.progress(1, 10);
    cx.progress_note("begins");
    probe.report("said");
    gate.pass().await;
    // The last of these is shown, though they come within a second.
    for done in 2..=5 {
        cx.progress(done, 10);
    }
    probe.report("said");
    gate.pass().await;
}

#[actor(queue = "sync_counts")]
fn sync_counts(cx: &Context, #[state] gate: &Gate) {
    cx.progress(7, 7);
    gate.pass_blocking();
}

/// Waits for a status.
async fn until(stage: &Stage, sent: &impl AsStatus, wanted: impl Fn(&Status) -> bool) -> Status {
    within(async {
        loop {
            let status = sent.status_of(stage).await;
            if wanted(&status) {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

trait AsStatus {
    async fn status_of(&self, stage: &Stage) -> Status;
}

impl<A: actor_core::Actor> AsStatus for actor_core::Sent<A> {
    async fn status_of(&self, stage: &Stage) -> Status {
        self.status_with(&*stage.broker).await.unwrap()
    }
}

fn progress(status: &Status) -> String {
    match status {
        Status::InFlight { progress: Some(progress), .. } => progress.to_string(),
        _ => String::new(),
    }
}

on_every_broker! {
    async fn a_result_is_what_the_run_that_counted_returned(stage: Stage) {
        let sent = adds.send_with(&stage.broker, vec![1, u64::MAX - 1], 2).await.unwrap();
        let broker = Arc::clone(&stage.broker);
        let waits = tokio::spawn(async move { sent.result_with(&*broker, LONG).await });
        let worker = RunningWorker::start(stage.worker("adds").await);
        let sum = Sum { of: vec![1, u64::MAX - 1], is: u64::MAX };
        assert_eq!(waits.await.unwrap().unwrap(), sum, "after two retries");
        // It is there for whoever comes later.
        assert_eq!(sent.result_with(&*stage.broker, Duration::ZERO).await.unwrap(), sum);
        assert!(matches!(sent.status_of(&stage).await, Status::Done { .. }));
        worker.stop().await;
    }

    async fn a_failure_for_good_is_told_with_its_reason_and_a_replay_ends_it(stage: Stage) {
        let worker = RunningWorker::start(stage.worker("adds").await);
        let sent = adds.send_with(&stage.broker, vec![1], 3).await.unwrap();
        let error = sent.result_with(&*stage.broker, LONG).await.unwrap_err();
        assert!(error.is_failed() && !error.is_transient(), "{error}");
        assert_eq!((error.reason(), error.attempts()), (Some("attempt 3 failed"), Some(3)));
        let status = sent.status_of(&stage).await;
        assert!(matches!(&status, Status::Failed { reason, attempts: Some(3), .. } if reason == "attempt 3 failed"));
        worker.stop().await;
        assert_eq!(stage.inspect.replay(&name("adds"), Which::All).await.unwrap(), 1);
        let error = sent.result_with(&*stage.broker, Duration::ZERO).await.unwrap_err();
        assert!(error.is_timed_out(), "{error}");
        assert_eq!(sent.status_of(&stage).await, Status::Ready);
    }

    async fn a_message_that_goes_on_is_not_waited_for_longer_than_asked(stage: Stage) {
        let gate = Gate::closed();
        let worker = RunningWorker::start(stage.worker("waits_at_the_gate").await.state(gate.clone()));
        let sent = waits_at_the_gate.send_with(&stage.broker, 7).await.unwrap();
        let error = sent.result_with(&*stage.broker, Duration::from_millis(100)).await.unwrap_err();
        assert!(error.is_timed_out() && error.is_transient(), "{error}");
        gate.open();
        assert_eq!(sent.result_with(&*stage.broker, LONG).await.unwrap(), 7);
        worker.stop().await;
    }

    async fn whoever_waits_for_a_cancelled_message_is_told(stage: Stage) {
        // One that waits.
        let sent = waits_at_the_gate.send_with(&stage.broker, 1).await.unwrap();
        assert_eq!(sent.cancel_with(&*stage.broker).await.unwrap(), Cancelled::Removed);
        let error = sent.result_with(&*stage.broker, LONG).await.unwrap_err();
        assert!(error.is_cancelled(), "{error}");
        assert_eq!(sent.status_of(&stage).await, Status::Cancelled);
        // One in flight.
        let worker = RunningWorker::start(stage.worker("ends_when_told").await);
        let sent = ends_when_told.send_with(&stage.broker).await.unwrap();
        until(&stage, &sent, |status| matches!(status, Status::InFlight { .. })).await;
        assert_eq!(sent.cancel_with(&*stage.broker).await.unwrap(), Cancelled::Requested);
        let error = sent.result_with(&*stage.broker, LONG).await.unwrap_err();
        assert!(error.is_cancelled(), "{error}");
        worker.stop().await;
    }

    async fn a_message_that_expires_has_failed(stage: Stage) {
        let sent = expires.send_with(&stage.broker).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let worker = RunningWorker::start(stage.worker("expires").await);
        let error = sent.result_with(&*stage.broker, LONG).await.unwrap_err();
        assert!(error.is_failed() && error.to_string().contains("maximum age"), "{error}");
        worker.stop().await;
    }

    async fn a_message_that_was_deleted_is_gone_and_its_waiter_need_not_wait_for_long(stage: Stage) {
        let began = Instant::now();
        let sent = waits_at_the_gate.send_with(&stage.broker, 1).await.unwrap();
        let deleted = stage.broker.control().unwrap().delete_by_id(&name("waits_at_the_gate"), sent.id()).await.unwrap();
        assert_eq!(deleted, actor_core::control::Deleted::Removed);
        let error = sent.result_with(&*stage.broker, LONG).await.unwrap_err();
        assert!(error.is_gone(), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        assert_eq!(sent.status_of(&stage).await, Status::Unknown);
    }

    async fn sync_runs_and_runs_that_return_nothing_have_results(stage: Stage) {
        let worker = RunningWorker::start(stage.worker("sync_adds").await);
        let sent = sync_adds.send_with(&stage.broker, 2, 3).await.unwrap();
        assert_eq!(sent.result_with(&*stage.broker, LONG).await.unwrap(), 5);
        worker.stop().await;
        let worker = RunningWorker::start(stage.worker("returns_nothing").await);
        let sent = returns_nothing.send_with(&stage.broker).await.unwrap();
        sent.result_with(&*stage.broker, LONG).await.unwrap();
        worker.stop().await;
    }

    async fn each_message_of_a_batch_has_its_result(stage: Stage) {
        let mut sent = Vec::new();
        for number in [2, 13, 4] {
            sent.push(squares.send_with(&stage.broker, number).await.unwrap());
        }
        let worker = RunningWorker::start(stage.worker("squares").await);
        let mut results = Vec::new();
        for sent in sent {
            let result = sent.result_with(&*stage.broker, LONG).await;
            results.push(result.map_err(|error| error.reason().map(str::to_owned)));
        }
        assert_eq!(results, [Ok(4), Err(Some("unlucky".to_owned())), Ok(16)]);
        worker.stop().await;
    }

    async fn a_result_that_is_too_large_fails_the_run_which_is_retried(stage: Stage) {
        let worker = RunningWorker::start(stage.worker("large").await);
        let limit = stage.broker.max_message_bytes();
        let sent = large.send_with(&stage.broker, limit).await.unwrap();
        assert_eq!(sent.result_with(&*stage.broker, LONG).await.unwrap(), "x", "two quotes made it too large");
        let fits = large.send_with(&stage.broker, limit - 2).await.unwrap();
        assert_eq!(fits.result_with(&*stage.broker, LONG).await.unwrap().len(), limit - 2);
        worker.stop().await;
    }

    async fn a_result_that_cannot_be_serialized_fails_the_run_and_says_so(stage: Stage) {
        let worker = RunningWorker::start(stage.worker("odd_results").await);
        let sent = odd_result.send_with(&stage.broker).await.unwrap();
        let reason = stage.dead_reason("odd_results").await;
        assert_eq!(reason, "the result cannot be kept: it is odd");
        assert!(matches!(sent.status_of(&stage).await, Status::Failed { attempts: Some(1), .. }));
        worker.stop().await;
    }

    async fn a_status_shows_the_last_progress_and_forgets_it_with_the_message(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let worker = RunningWorker::start(stage.worker("counts_up").await.state(probe.clone()).state(gate.clone()));
        let sent = counts_up.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "said");
        until(&stage, &sent, |status| progress(status).starts_with("1 of 10")).await;
        gate.let_pass(1);
        assert_eq!(reports.next().await, "said");
        // The note stays.
        until(&stage, &sent, |status| progress(status) == "5 of 10, begins").await;
        gate.open();
        stage.until_empty("counts_up").await;
        assert_eq!(sent.status_of(&stage).await, Status::Unknown, "its actor keeps no results");
        let states = stage.broker.states().unwrap();
        assert_eq!(states.get(&name("counts_up"), sent.id()).await.unwrap(), []);
        worker.stop().await;
    }

    async fn a_sync_run_says_how_far_it_is(stage: Stage) {
        let gate = Gate::closed();
        let worker = RunningWorker::start(stage.worker("sync_counts").await.state(gate.clone()));
        let sent = sync_counts.send_with(&stage.broker).await.unwrap();
        until(&stage, &sent, |status| progress(status) == "7 of 7").await;
        gate.open();
        stage.until_empty("sync_counts").await;
        worker.stop().await;
    }

    async fn an_actor_that_keeps_no_results_has_a_status_while_it_goes_on(stage: Stage) {
        let gate = Gate::closed();
        let later = keeps_nothing.message().delay(LONG).send_with(&*stage.broker).await.unwrap();
        let sent = keeps_nothing.send_with(&stage.broker).await.unwrap();
        assert!(matches!(later.status_of(&stage).await, Status::Scheduled { .. }));
        assert_eq!(sent.status_of(&stage).await, Status::Ready);
        let worker = RunningWorker::start(stage.worker("keeps_nothing").await.state(gate.clone()));
        until(&stage, &sent, |status| matches!(status, Status::InFlight { progress: None, .. })).await;
        gate.open();
        until(&stage, &sent, |status| *status == Status::Unknown).await;
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_result_of_another_type_is_not_decoded() {
    let stage = Stage::memory();
    let sent = sync_adds.send_with(&stage.broker, 2, 3).await.unwrap();
    let results = stage.broker.results().unwrap();
    let record = r#"{"v":1,"state":"done","ended_at":0,"output":"five"}"#;
    results.keep_result(&name("sync_adds"), sent.id(), record.into(), LONG).await.unwrap();
    let error: ResultError = sent.result_with(&*stage.broker, LONG).await.unwrap_err();
    assert!(error.is_undecodable() && error.to_string().contains("invalid type: string"), "{error}");
}
