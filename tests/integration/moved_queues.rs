use std::time::Duration;

use actor_core::{Context, Failure, Worker, actor};

use crate::on_every_broker;
use crate::support::{Probe, RunningWorker, Stage, by_hand, probe};

/// The new version. The old one, and senders that are not deployed yet, still use `moved_from`.
#[actor(queue = "moved_to")]
async fn moved(cx: &Context, number: u32, #[state] probe: &Probe) -> Result<(), Failure> {
    if number == 2 && cx.attempt() == 1 {
        return Err(Failure::retry_in(Duration::from_millis(20), "not yet"));
    }
    probe.report(format!("{number} of {} attempt {}", cx.queue(), cx.attempt()));
    Ok(())
}

/// Keeps the old queue served for another actor.
#[actor(queue = "still_served")]
async fn stays(#[state] probe: &Probe) {
    probe.report("stays");
}

struct Pool;

#[actor(queue = "elsewhere")]
async fn needs_a_pool(#[state] pool: &Pool, #[state] probe: &Probe) {
    let Pool = pool;
    probe.report("has a pool");
}

on_every_broker! {
    async fn what_waits_in_an_actors_former_queue_is_run_by_a_worker_of_the_new_version(stage: Stage) {
        let (probe, mut reports) = probe();
        for number in [1, 2] {
            stage.put("moved_from", by_hand("moved", "moved_from", &format!("[{number}]"))).await;
        }
        moved.send_with(&stage.broker, 3).await.unwrap();
        let builder = stage.worker("moved_to").await.also_serve("moved_from");
        let worker = RunningWorker::start(builder.state(probe));
        let ran = reports.next_sorted(3).await;
        assert_eq!(ran, ["1 of moved_from attempt 1", "2 of moved_from attempt 2", "3 of moved_to attempt 1"]);
        for queue in ["moved_from", "moved_to"] {
            assert_eq!(stage.until_empty(queue).await.dead, 0);
        }
        worker.stop().await;
    }

    async fn what_lacks_its_states_here_is_left_for_a_worker_that_has_them(stage: Stage) {
        let (probe, mut reports) = probe();
        stage.put("still_served", by_hand("needs_a_pool", "still_served", "[]")).await;
        let poor = RunningWorker::start(stage.worker("still_served").await.state(probe.clone()));
        stays.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "stays");
        let counts = stage.until("still_served", |counts| counts.scheduled == 1 && counts.in_flight == 0).await;
        assert_eq!(counts.dead, 0);
        poor.stop().await;
        let rich = RunningWorker::start(stage.worker("still_served").await.state(probe).state(Pool));
        assert_eq!(reports.next().await, "has a pool");
        assert_eq!(stage.until_empty("still_served").await.dead, 0);
        rich.stop().await;
    }
}

#[tokio::test]
async fn a_former_queue_may_have_slots_of_its_own_and_be_the_only_one() {
    let stage = Stage::memory();
    let (probe, mut reports) = probe();
    stage.put("moved_from", by_hand("moved", "moved_from", "[1]")).await;
    let builder = Worker::builder(stage.another().await).queues([""; 0]).also_serve("moved_from");
    let builder = builder.queue_concurrency("moved_from", 1);
    let worker = RunningWorker::start(builder.state(probe));
    assert_eq!(reports.next().await, "1 of moved_from attempt 1");
    worker.stop().await;
}
