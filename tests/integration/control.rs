use std::time::{Duration, Instant};

use actor_core::control::{Cancelled, Change, Filter};
use actor_core::{Cancellation, Context, Failure, When, actor};

use crate::on_every_broker;
use crate::support::stage::name;
use crate::support::{Gate, Probe, RunningWorker, Stage, probe};

/// What a run in flight may take to learn that it was cancelled, and a busy machine besides.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

#[actor(queue = "listens", max_retries = 5, min_backoff = "1ms", max_backoff = "1ms")]
async fn listens(cx: &Context, ends_well: bool, #[state] probe: &Probe) -> Result<(), String> {
    probe.report("run");
    let why = cx.cancelled().await;
    assert_eq!(cx.cancellation(), Some(why));
    probe.report(format!("{why:?}"));
    if ends_well { Ok(()) } else { Err("it was cancelled".to_owned()) }
}

#[actor(queue = "polls", max_retries = 5, min_backoff = "1ms", max_backoff = "1ms")]
fn polls(cx: &Context, #[state] probe: &Probe) -> Result<(), String> {
    probe.report("run");
    while cx.cancellation().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    probe.report(format!("{:?}", cx.cancellation()));
    Err("it was cancelled".to_owned())
}

#[actor(queue = "fails_late", max_retries = 5, min_backoff = "1ms", max_backoff = "1ms")]
async fn fails_late(#[state] probe: &Probe, #[state] gate: &Gate) -> Result<(), String> {
    probe.report("run");
    gate.pass().await;
    Err("it failed".to_owned())
}

#[actor(queue = "queued")]
async fn queued(cx: &Context, number: u32, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("{number} {:?}", cx.cancellation()));
    gate.pass().await;
}

#[actor(queue = "snoozes", max_retries = 0)]
async fn snoozes(cx: &Context, #[state] probe: &Probe) -> Result<(), Failure> {
    probe.report(format!("attempt {} token {} last {}", cx.attempt(), cx.fencing_token(), cx.is_last_attempt()));
    if cx.fencing_token() < 4 { Err(Failure::snooze(Duration::from_millis(20))) } else { Ok(()) }
}

async fn worker(stage: &Stage, queue: &str, probe: &Probe, gate: &Gate) -> RunningWorker {
    RunningWorker::start(stage.worker(queue).await.state(probe.clone()).state(gate.clone()))
}

on_every_broker! {
    async fn a_run_is_told_that_its_message_was_cancelled_and_its_error_ends_it(stage: Stage) {
        let (probe, mut reports) = probe();
        // Its heartbeat alone would come minutes later.
        let worker = RunningWorker::for_ever(stage.worker("listens").await.state(probe.clone()));
        let sent = listens.send_with(&stage.broker, false).await.unwrap();
        assert_eq!(reports.next().await, "run");
        let asked = Instant::now();
        assert_eq!(sent.cancel_with(&*stage.broker).await.unwrap(), Cancelled::Requested);
        assert_eq!(reports.next().await, format!("{:?}", Cancellation::Requested));
        assert!(asked.elapsed() < TOLD_WITHIN, "it took {:?}", asked.elapsed());
        let left = stage.until_empty("listens").await;
        assert_eq!(left.dead, 0);
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn a_cancelled_run_that_succeeds_is_done(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "listens", &probe, &Gate::opened()).await;
        let sent = listens.send_with(&stage.broker, true).await.unwrap();
        assert_eq!(reports.next().await, "run");
        assert_eq!(sent.cancel_with(&*stage.broker).await.unwrap(), Cancelled::Requested);
        assert_eq!(reports.next().await, "Requested");
        stage.until_empty("listens").await;
        assert_eq!(sent.cancel_with(&*stage.broker).await.unwrap(), Cancelled::NotFound);
        worker.stop().await;
    }

    async fn a_sync_run_is_told_too(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "polls", &probe, &Gate::opened()).await;
        let sent = polls.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "run");
        assert_eq!(sent.cancel_with(&*stage.broker).await.unwrap(), Cancelled::Requested);
        assert_eq!(reports.next().await, "Some(Requested)");
        stage.until_empty("polls").await;
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn a_failure_just_after_a_cancellation_is_not_retried(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let worker = worker(&stage, "fails_late", &probe, &gate).await;
        for _ in 0..10 {
            let sent = fails_late.send_with(&stage.broker).await.unwrap();
            assert_eq!(reports.next().await, "run");
            assert_eq!(sent.cancel_with(&*stage.broker).await.unwrap(), Cancelled::Requested);
            // Its worker has not heard of it.
            gate.let_pass(1);
            assert_eq!(stage.until_empty("fails_late").await.dead, 0);
        }
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn what_was_cancelled_before_it_started_never_starts(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let builder = stage.worker("queued").await.concurrency(1).state(probe.clone()).state(gate.clone());
        let worker = RunningWorker::start(builder);
        let mut sent = Vec::new();
        for number in 0..4 {
            sent.push(queued.send_with(&stage.broker, number).await.unwrap());
        }
        assert_eq!(reports.next().await, "0 None");
        for cancelled in &sent[1..3] {
            let answer = cancelled.cancel_with(&*stage.broker).await.unwrap();
            if answer == Cancelled::Requested {
                // The worker has fetched it ahead, and nobody sees that it has heard of this.
                tokio::time::sleep(TOLD_WITHIN).await;
            } else {
                assert_eq!(answer, Cancelled::Removed);
            }
        }
        gate.open();
        assert_eq!(reports.next().await, "3 None");
        stage.until_empty("queued").await;
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn what_a_dead_worker_held_and_was_cancelled_runs_nowhere(stage: Stage) {
        let (probe, mut reports) = probe();
        let victim = worker(&stage, "queued", &probe, &Gate::closed()).await;
        let cancelled = queued.send_with(&stage.broker, 1).await.unwrap();
        queued.send_with(&stage.broker, 2).await.unwrap();
        assert_eq!(reports.next_sorted(2).await, ["1 None", "2 None"]);
        assert_eq!(cancelled.cancel_with(&*stage.broker).await.unwrap(), Cancelled::Requested);
        victim.kill();
        let successor = worker(&stage, "queued", &probe, &Gate::opened()).await;
        assert_eq!(reports.next().await, "2 None");
        assert_eq!(stage.until_empty("queued").await.dead, 0);
        successor.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn all_that_match_are_cancelled(stage: Stage) {
        let (probe, mut reports) = probe();
        for tenant in ["acme", "other"] {
            for number in 0..3 {
                queued.message(number).header("tenant", tenant).send_with(&stage.broker).await.unwrap();
            }
        }
        let of_acme = Filter::new().actor("queued").header("tenant", "acme");
        let control = stage.broker.control().unwrap();
        assert_eq!(control.change_all(&name("queued"), Change::Cancel, &of_acme).await.unwrap().changed, 3);
        let worker = worker(&stage, "queued", &probe, &Gate::opened()).await;
        assert_eq!(reports.next_sorted(3).await, ["0 None", "1 None", "2 None"]);
        stage.until_empty("queued").await;
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn a_scheduled_message_runs_now_once_it_is_rescheduled(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "queued", &probe, &Gate::opened()).await;
        let sent = queued.message(1).delay(Duration::from_secs(3_600)).send_with(&stage.broker).await.unwrap();
        let control = stage.broker.control().unwrap();
        control.reschedule(&name("queued"), sent.id(), Duration::ZERO).await.unwrap();
        assert_eq!(reports.next().await, "1 None");
        stage.until_empty("queued").await;
        worker.stop().await;
    }

    async fn a_snoozed_message_runs_again_and_spends_no_attempt(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "snoozes", &probe, &Gate::opened()).await;
        snoozes.send_with(&stage.broker).await.unwrap();
        for token in 1..=4 {
            assert_eq!(reports.next().await, format!("attempt 1 token {token} last true"));
        }
        assert_eq!(stage.until_empty("snoozes").await.dead, 0);
        worker.stop().await;
    }
}

/// Through the installed broker, as a program does it.
#[tokio::test]
async fn an_actor_controls_its_messages_by_their_ids() {
    use actor_core::control::{Deleted, Rescheduled};
    use actor_core::testing::TestBroker;
    let broker = TestBroker::new();
    let _installed = broker.install();
    let hour = Duration::from_secs(3_600);
    let sent = snoozes.message().delay(hour).send().await.unwrap();
    assert_eq!(snoozes.reschedule(sent.id(), When::After(2 * hour)).await.unwrap(), Rescheduled::Moved);
    assert_eq!(snoozes.delete(sent.id()).await.unwrap(), Deleted::Removed);
    assert_eq!(snoozes.cancel(sent.id()).await.unwrap(), Cancelled::NotFound);
    let sent = snoozes.send().await.unwrap();
    assert_eq!(sent.cancel().await.unwrap(), Cancelled::Removed);
    assert_eq!(broker.worker().drain().await.done, 0);
}
