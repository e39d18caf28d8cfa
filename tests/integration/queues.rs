use std::time::{Duration, Instant, SystemTime};

use actor_core::inspect::State;
use actor_core::{Context, Failure, Priority, actor};
use serde_json::Value;
use tokio::time::sleep;

use crate::on_every_broker;
use crate::support::{Gate, Probe, RunningWorker, Stage, probe};

/// A storage that counts in milliseconds may be early by its rounding.
const ROUNDING: Duration = Duration::from_millis(2);

const TOO_OLD: &str = "the message reached its maximum age before it could start";

#[actor(queue = "ordered")]
async fn ordered(number: u32, #[state] probe: &Probe) {
    probe.report(number.to_string());
}

#[actor(queue = "urgent")]
async fn ordinary(#[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report("ordinary");
    gate.pass().await;
}

#[actor(queue = "urgent", priority = "high")]
async fn urgent(#[state] probe: &Probe) {
    probe.report("urgent");
}

#[actor(queue = "delayed")]
async fn delayed(name: String, #[state] probe: &Probe) {
    probe.report(name);
}

#[actor(queue = "ages", max_age = "100ms")]
async fn ages(#[state] probe: &Probe) {
    probe.report("run");
}

#[actor(queue = "ages", max_retries = 9)]
async fn ages_in_retries(cx: &Context, #[state] probe: &Probe) -> Result<(), Failure> {
    probe.report(format!("attempt {}", cx.attempt()));
    Err(Failure::retry_in(Duration::from_millis(1_500), "not in time"))
}

on_every_broker! {
    async fn a_higher_priority_goes_first_and_within_one_the_first_that_was_sent(stage: Stage) {
        let (probe, mut reports) = probe();
        // Sent in turns, so that only the queue can order them.
        for number in 0..100 {
            for (priority, base) in [(Priority::Low, 2_000), (Priority::Normal, 1_000), (Priority::High, 0)] {
                ordered.message(base + number).priority(priority).send_with(&stage.broker).await.unwrap();
            }
        }
        let worker = one_at_a_time(&stage, "ordered", probe, Gate::opened()).await;
        for base in [0, 1_000, 2_000] {
            for number in base..base + 100 {
                assert_eq!(reports.next().await, number.to_string());
            }
        }
        worker.stop().await;
    }

    async fn urgent_messages_overtake_a_backlog(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let worker = one_at_a_time(&stage, "urgent", probe, gate.clone()).await;
        // It is connected then, which takes longer than a round trip.
        urgent.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "urgent");
        for _ in 0..10 {
            ordinary.send_with(&stage.broker).await.unwrap();
        }
        for _ in 0..5 {
            assert_eq!(reports.next().await, "ordinary");
            urgent.send_with(&stage.broker).await.unwrap();
            // A worker fetches ahead what it runs in 5 ms or in four round trips: this one runs less.
            sleep(Duration::from_millis(100)).await;
            gate.let_pass(1);
            assert_eq!(reports.next().await, "urgent");
        }
        gate.open();
        stage.until_empty("urgent").await;
        worker.stop().await;
    }

    async fn an_urgent_burst_goes_before_a_backlog(stage: Stage) {
        const SLOTS: usize = 4;
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        for _ in 0..100 {
            ordinary.send_with(&stage.broker).await.unwrap();
        }
        let builder = stage.worker("urgent").await.concurrency(SLOTS);
        let worker = RunningWorker::start(builder.state(probe).state(gate.clone()));
        assert_eq!(reports.next_sorted(SLOTS).await, ["ordinary"; SLOTS]);
        for _ in 0..50 {
            urgent.send_with(&stage.broker).await.unwrap();
        }
        gate.let_pass(SLOTS);
        let burst = reports.next_sorted(50).await;
        // What starts beside the last of them may report first.
        let early = burst.iter().filter(|run| *run == "ordinary").count();
        assert!(early < SLOTS, "{early} of the backlog started before the burst was done");
        gate.open();
        stage.until_empty("urgent").await;
        worker.stop().await;
    }

    async fn a_delayed_message_starts_no_earlier_and_in_the_order_of_the_times(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = one_at_a_time(&stage, "delayed", probe, Gate::opened()).await;
        let began = Instant::now();
        let in_ms = Duration::from_millis;
        let at = stage.broker.now() + in_ms(400);
        for (name, delay) in [("third", 600), ("first", 200)] {
            delayed.message(name.to_owned()).delay(in_ms(delay)).send_with(&stage.broker).await.unwrap();
        }
        delayed.message("second".to_owned()).at(at).send_with(&stage.broker).await.unwrap();
        delayed.message("at once".to_owned()).at(SystemTime::UNIX_EPOCH).send_with(&stage.broker).await.unwrap();
        for (name, delay) in [("at once", 0), ("first", 200), ("second", 400), ("third", 600)] {
            assert_eq!(reports.next().await, name);
            let took = began.elapsed();
            assert!(took + ROUNDING >= in_ms(delay), "{name} after {took:?}");
        }
        worker.stop().await;
    }

    async fn a_message_that_became_too_old_is_dead_lettered_and_never_starts(stage: Stage) {
        let (probe, mut reports) = probe();
        ages.send_with(&stage.broker).await.unwrap();
        sleep(Duration::from_millis(150)).await; // It must grow old.
        let worker = one_at_a_time(&stage, "ages", probe, Gate::opened()).await;
        assert_eq!(stage.dead_reason("ages").await, TOO_OLD);
        // A message's own age wins over its actor's.
        ages.message().expires_in(Duration::from_secs(3_600)).delay(Duration::from_millis(150))
            .send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "run");
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn an_age_counts_from_sending_also_over_retries(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = one_at_a_time(&stage, "ages", probe, Gate::opened()).await;
        let message = ages_in_retries.message().expires_in(Duration::from_secs(1));
        message.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "attempt 1");
        assert_eq!(stage.dead_reason("ages").await, TOO_OLD);
        let dead_letter = stage.list("ages", State::Dead).await.pop().unwrap();
        let body: Value = serde_json::from_slice(&dead_letter.body).unwrap();
        assert_eq!((&body["attempt"], &body["last_error"]), (&1.into(), &"not in time".into()));
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }
}

async fn one_at_a_time(stage: &Stage, queue: &str, probe: Probe, gate: Gate) -> RunningWorker {
    let builder = stage.worker(queue).await.concurrency(1);
    RunningWorker::start(builder.state(probe).state(gate))
}
