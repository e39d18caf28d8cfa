use std::time::Duration;

use actor_core::actor;

use crate::on_every_broker;
use crate::support::worker::LEASE;
use crate::support::{Gate, Probe, RunningWorker, probe};

/// More than the 512 blocking threads of a runtime.
const SLOTS: usize = 600;

#[actor(queue = "slots")]
fn takes_a_slot(number: u32, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report("start");
    gate.pass_blocking();
    probe.report(format!("end of {number}"));
}

#[actor(queue = "pool")]
fn plain(#[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report("plain starts");
    gate.pass_blocking();
    probe.report("plain ends");
}

/// Needs a thread of the runtime's pool for a moment, as resolving a host name does.
#[actor(queue = "pool")]
async fn looks_up(#[state] probe: &Probe) {
    tokio::task::spawn_blocking(|| ()).await.unwrap();
    probe.report("looked up");
}

/// Fills the runtime's pool while the gate is closed.
#[actor(queue = "pool")]
async fn fills_the_pool(#[state] probe: &Probe, #[state] gate: &Gate) {
    let (probe, gate) = (probe.clone(), gate.clone());
    let filling = tokio::task::spawn_blocking(move || {
        probe.report("the pool is full");
        gate.pass_blocking();
    });
    filling.await.unwrap();
}

on_every_broker! {
    async fn as_many_sync_actors_run_at_once_as_there_are_slots(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let numbers = 0..u32::try_from(SLOTS).unwrap();
        takes_a_slot.send_many_with(&stage.broker, numbers).await.unwrap();
        let builder = stage.worker("slots").await.concurrency(SLOTS);
        let worker = RunningWorker::for_ever(builder.state(probe).state(gate.clone()));
        for _ in 0..SLOTS {
            assert_eq!(reports.next().await, "start");
        }
        gate.open();
        for _ in 0..SLOTS {
            assert!(reports.next().await.starts_with("end of"));
        }
        stage.until_empty("slots").await;
        worker.stop().await;
    }

    async fn a_sync_actor_leaves_the_runtimes_pool_to_others(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let builder = stage.worker("pool").await.state(probe).state(gate.clone());
        let worker = RunningWorker::with_threads(builder.lease(LEASE), 1);
        plain.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "plain starts");
        looks_up.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "looked up");
        gate.open();
        assert_eq!(reports.next().await, "plain ends");
        stage.until_empty("pool").await;
        worker.stop().await;
    }

    async fn code_that_fills_the_runtimes_pool_holds_up_no_sync_actor(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let builder = stage.worker("pool").await.state(probe).state(gate.clone());
        let worker = RunningWorker::with_threads(builder.lease(LEASE), 1);
        fills_the_pool.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "the pool is full");
        plain.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "plain starts");
        gate.open();
        assert_eq!(reports.next().await, "plain ends");
        stage.until_empty("pool").await;
        worker.stop().await;
    }

    async fn a_sync_run_that_never_ends_does_not_keep_the_runtime_from_ending(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let builder = stage.worker("pool").await.shutdown_timeout(Duration::from_millis(50));
        let mut worker = RunningWorker::for_ever(builder.state(probe).state(gate.clone()));
        plain.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "plain starts");
        worker.ask();
        worker.ended().await.unwrap();
        assert_eq!(stage.counts("pool").await.ready, 1, "it was released");
        // Waits for what runs on the runtime's own threads.
        let ended = tokio::task::spawn_blocking(move || worker.end_patiently());
        let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
        gate.open();
        assert!(ended.is_ok(), "the runtime waits for a run that nobody can end");
    }
}
