use std::time::Duration;

use actor_core::{Actor, Context, actor};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::on_every_broker;
use crate::support::{Gate, Probe, RunningWorker, probe};

#[actor(queue = "hasty", max_retries = 0, time_limit = "50ms")]
async fn hasty(#[state] probe: &Probe) {
    sleep(Duration::from_millis(200)).await;
    probe.report("done");
}

#[actor(queue = "leisurely", max_retries = 0, time_limit = "none")]
async fn leisurely() {
    std::future::pending::<()>().await;
}

#[actor(queue = "stuck", max_retries = 0, time_limit = "50ms")]
fn stuck(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report("start");
    let why = Handle::current().block_on(cx.cancelled());
    probe.report(format!("{why:?}, {:?}", cx.cancellation()));
    gate.pass_blocking();
    probe.report("end");
}

#[actor(queue = "beside")]
fn blocks(#[state] probe: &Probe, #[state] gate: &Gate) {
    gate.pass_blocking();
    probe.report("a sync run ended");
}

#[actor(queue = "beside")]
async fn opens(#[state] gate: &Gate) {
    gate.open();
}

on_every_broker! {
    async fn a_message_may_lift_its_actors_time_limit(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = RunningWorker::start(stage.worker("hasty").await.state(probe));
        hasty.message().time_limit(None).send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "done");
        hasty.send_with(&stage.broker).await.unwrap();
        assert_eq!(stage.dead_reason("hasty").await, "the actor took longer than its time limit of 50ms");
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn a_message_may_limit_an_actor_that_has_no_time_limit(stage: Stage) {
        assert_eq!(leisurely::DEF.options.time_limit, None);
        let worker = RunningWorker::start(stage.worker("leisurely").await);
        leisurely.message().time_limit(Duration::from_millis(50)).send_with(&stage.broker).await.unwrap();
        assert_eq!(stage.dead_reason("leisurely").await, "the actor took longer than its time limit of 50ms");
        worker.stop().await;
    }

    async fn a_sync_actor_over_its_limit_is_cancelled_and_keeps_its_slot_and_its_end_counts(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let builder = stage.worker("stuck").await.concurrency(1);
        let worker = RunningWorker::start(builder.state(probe).state(gate.clone()));
        for _ in 0..2 {
            stuck.send_with(&stage.broker).await.unwrap();
        }
        for _ in 0..2 {
            assert_eq!(reports.next().await, "start");
            assert_eq!(reports.next().await, "TimeLimit, Some(TimeLimit)");
            sleep(Duration::from_millis(100)).await; // No event shows that nobody takes its slot.
            assert_eq!(reports.rest(), [""; 0]);
            gate.let_pass(1);
            assert_eq!(reports.next().await, "end");
        }
        // Without retries, a run that failed by its time limit would be a dead letter.
        assert_eq!(stage.until_empty("stuck").await.dead, 0);
        worker.stop().await;
    }

    async fn the_shortest_time_limit_is_a_millisecond(stage: Stage) {
        let worker = RunningWorker::start(stage.worker("leisurely").await);
        leisurely.message().time_limit(Duration::from_nanos(1)).send_with(&stage.broker).await.unwrap();
        assert_eq!(stage.dead_reason("leisurely").await, "the actor took longer than its time limit of 1ms");
        worker.stop().await;
    }

    async fn sync_actors_block_nobody_else(stage: Stage) {
        let (probe, mut reports) = probe();
        // The worker's runtime has one thread: on it, the first would wait for ever.
        let worker = RunningWorker::start(stage.worker("beside").await.state(probe).state(Gate::closed()));
        for _ in 0..10 {
            blocks.send_with(&stage.broker).await.unwrap();
        }
        opens.send_with(&stage.broker).await.unwrap();
        for _ in 0..10 {
            assert_eq!(reports.next().await, "a sync run ended");
        }
        worker.stop().await;
    }
}
