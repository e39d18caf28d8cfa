use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actor_core::{Context, Failure, SendError, actor};
use tokio::time::sleep;

use crate::support::probe::{Reports, within};
use crate::support::{Gate, Probe, RedisServer, RunningWorker, Stage, probe};

#[actor(queue = "pressure")]
async fn succeeds(#[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report("start");
    gate.pass().await;
}

#[actor(queue = "pressure")]
async fn fails_first(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) -> Result<(), Failure> {
    probe.report(if cx.attempt() == 1 { "start" } else { "again" });
    gate.pass().await;
    if cx.attempt() == 1 { Err(Failure::retry_in(Duration::from_millis(1), "not yet")) } else { Ok(()) }
}

#[actor(queue = "emptied")]
async fn outlives(cx: &Context, number: u32, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("{number} starts"));
    let cancelled = tokio::select! {
        why = cx.cancelled() => Some(why),
        () = gate.pass() => None,
    };
    probe.report(format!("{number} ends: {cancelled:?}"));
}

/// How often each message ran.
#[derive(Clone, Default)]
struct Attempts(Arc<Mutex<BTreeMap<u32, Vec<u32>>>>);

#[actor(queue = "scripted", max_retries = 1, min_backoff = "1ms", max_backoff = "5ms")]
async fn scripted(cx: &Context, number: u32, #[state] attempts: &Attempts) -> Result<(), String> {
    attempts.0.lock().unwrap().entry(number).or_default().push(cx.attempt());
    match number % 3 {
        0 => Ok(()),
        1 if cx.attempt() == 2 => Ok(()),
        _ => Err(format!("number {number}")),
    }
}

/// A worker that runs twenty messages, which wait at the gate.
async fn twenty_runs(server: RedisServer) -> (Stage, Reports, Gate, RunningWorker) {
    let stage = Stage::on(server).await;
    let (probe, mut reports) = probe();
    let gate = Gate::closed();
    let worker = RunningWorker::start(stage.worker("pressure").await.state(probe).state(gate.clone()));
    for _ in 0..10 {
        succeeds.send_with(&stage.broker).await.unwrap();
        fails_first.send_with(&stage.broker).await.unwrap();
    }
    reports.next_sorted(20).await;
    (stage, reports, gate, worker)
}

#[tokio::test]
async fn out_of_memory_loses_no_retry_and_holds_up_nothing_that_is_done() {
    let (mut stage, mut reports, gate, worker) = twenty_runs(RedisServer::start()).await;
    stage.server().cli(&["CONFIG", "SET", "maxmemory", "1"]);

    let refused = succeeds.send_with(&stage.broker).await.unwrap_err();
    assert_refused(&refused, "out of memory");

    gate.open();
    stage.until("pressure", |counts| counts.ready + counts.in_flight + counts.scheduled <= 10).await;
    stage.server().cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(stage.until_empty("pressure").await.dead, 0);
    worker.stop().await;
    assert_eq!(reports.rest(), ["again"; 10], "each that failed was tried again, once");
}

#[tokio::test]
async fn a_read_only_redis_is_waited_for_and_then_all_goes_on() {
    let (mut stage, mut reports, gate, worker) = twenty_runs(RedisServer::alone()).await;
    stage.server().cli(&["REPLICAOF", "127.0.0.1", "1"]);

    let refused = succeeds.send_with(&stage.broker).await.unwrap_err();
    assert_refused(&refused, "read-only");

    gate.open();
    sleep(Duration::from_millis(300)).await; // No event shows that nothing can be settled meanwhile.
    assert_eq!(stage.counts("pressure").await.in_flight, 20);
    stage.server().cli(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(stage.until_empty("pressure").await.dead, 0);
    succeeds.send_with(&stage.broker).await.unwrap();
    let mut rest = reports.next_sorted(11).await;
    assert_eq!(rest.pop().as_deref(), Some("start"), "what was sent when it could be written again");
    assert_eq!(rest, ["again"; 10], "each that failed was tried again, once");
    stage.until_empty("pressure").await;
    worker.stop().await;
}

#[tokio::test]
async fn scripts_missing_from_redis_are_reloaded_under_load() {
    const MESSAGES: u32 = 900;
    let mut stage = Stage::redis().await;
    let attempts = Attempts::default();
    let worker = RunningWorker::start(stage.worker("scripted").await.state(attempts.clone()));
    for number in 0..MESSAGES {
        let delay = Duration::from_millis(u64::from(number % 50));
        scripted.message(number).delay(delay).send_with(&stage.broker).await.unwrap();
        if number % 20 == 0 {
            assert_eq!(stage.server().cli(&["SCRIPT", "FLUSH"]), "OK");
        }
    }
    let counts = stage.until_empty("scripted").await;
    assert_eq!(counts.dead, u64::from(MESSAGES / 3));
    worker.stop().await;
    let attempts = attempts.0.lock().unwrap();
    for number in 0..MESSAGES {
        let expected: &[u32] = if number % 3 == 0 { &[1] } else { &[1, 2] };
        assert_eq!(attempts.get(&number).map(Vec::as_slice), Some(expected), "number {number}");
    }
}

#[tokio::test]
async fn an_emptied_redis_is_used_like_a_new_one() {
    let mut stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    let worker = RunningWorker::start(stage.worker("pressure").await.state(probe).state(Gate::opened()));
    for _ in 0..3 {
        succeeds.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "start");
        stage.until_empty("pressure").await;
        assert_eq!(stage.server().cli(&["FLUSHALL"]), "OK");
    }
    worker.stop().await;
}

/// Nothing was stored, it may be sent again, and the error says why.
fn assert_refused(error: &SendError, why: &str) {
    assert!(error.is_transient() && !error.is_unknown(), "{error:?}");
    assert_eq!(error.to_string(), "the message was not stored");
    let cause = error.source().expect("the broker says why").to_string();
    assert!(cause.contains(why), "{cause}");
}

#[tokio::test]
async fn what_runs_while_redis_is_emptied_runs_to_its_end_and_work_goes_on() {
    let mut stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    let gate = Gate::closed();
    let mut workers = Vec::new();
    for number in 0..2 {
        let builder = stage.worker("emptied").await.concurrency(1);
        workers.push(RunningWorker::start(builder.state(probe.clone()).state(gate.clone())));
        outlives.send_with(&stage.broker, number).await.unwrap();
    }
    assert_eq!(reports.next_sorted(2).await, ["0 starts", "1 starts"]);
    stage.server().cli(&["FLUSHALL"]);
    within(async {
        while stage.server().cli(&["ZCARD", "{actor:emptied}:workers"]) != "2" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Longer than any lease: a worker that had lost its lease would have dropped its runs.
    stage.server().until_called("zadd", 12).await;
    assert_eq!(reports.rest(), [""; 0]);
    gate.open();
    assert_eq!(reports.next_sorted(2).await, ["0 ends: None", "1 ends: None"]);
    outlives.send_with(&stage.broker, 2).await.unwrap();
    assert_eq!(reports.next_sorted(2).await, ["2 ends: None", "2 starts"]);
    stage.until_empty("emptied").await;
    for worker in workers {
        worker.stop().await;
    }
}
