use std::time::{Duration, Instant};

use actor_core::inspect::State;
use actor_core::{Cancellation, Context, actor};
use serde_json::Value;
use tokio::runtime::Handle;

use crate::on_every_broker;
use crate::support::probe::{Dropped, within};
use crate::support::worker::LEASE;
use crate::support::{Gate, Probe, RedisServer, RunningWorker, Stage, probe};

/// More than anything here takes, and less than a waiting claim.
const AT_ONCE: Duration = Duration::from_secs(2);

/// How many messages of a backlog run at once, before one waits at the gate.
const QUICK: u32 = 300;
const BACKLOG: u32 = 600;

#[actor(queue = "backlog")]
async fn backlog(cx: &Context, number: u32, #[state] probe: &Probe, #[state] gate: &Gate) {
    if number == QUICK {
        probe.report("blocked");
        gate.pass().await;
    }
    probe.report(format!("{number} attempt {} crashes {} token {}", cx.attempt(), cx.crashes(), cx.fencing_token()));
}

#[actor(queue = "waited_for")]
async fn waited_for(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report("start");
    let why = cx.cancelled().await;
    assert_eq!(Some(why), cx.cancellation());
    probe.report(format!("{why:?}"));
    gate.pass().await;
    probe.report("end");
}

#[actor(queue = "waited_for")]
fn sync_waited_for(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report("start");
    let why = Handle::current().block_on(cx.cancelled());
    probe.report(format!("{why:?}"));
    gate.pass_blocking();
    probe.report("end");
}

#[actor(queue = "outlasts", max_retries = 0)]
async fn outlasts(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("attempt {} crashes {} token {}", cx.attempt(), cx.crashes(), cx.fencing_token()));
    let _dropped = Dropped(probe.clone());
    gate.pass().await;
}

#[actor(queue = "holds_on", max_retries = 0)]
async fn holds_on(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("attempt {} crashes {}", cx.attempt(), cx.crashes()));
    let _dropped = Dropped(probe.clone());
    probe.report(format!("{:?}", cx.cancelled().await));
    gate.pass().await;
}

#[actor(queue = "never_ends", max_retries = 0)]
fn never_ends(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("attempt {} crashes {} token {}", cx.attempt(), cx.crashes(), cx.fencing_token()));
    gate.pass_blocking();
}

on_every_broker! {
    async fn what_has_not_started_is_released_and_run_by_another_at_once(stage: Stage) {
        let (probe, mut reports) = probe();
        let numbers = 0..BACKLOG;
        backlog.send_many_with(&stage.broker, numbers).await.unwrap();
        let gate = Gate::closed();
        let builder = stage.worker("backlog").await.concurrency(1);
        let mut first = RunningWorker::for_ever(builder.state(probe.clone()).state(gate.clone()));
        let mut done = vec![0; BACKLOG as usize];
        let mut note = |run: &str| {
            let number: usize = run.split(' ').next().and_then(|number| number.parse().ok()).unwrap();
            done[number] += 1;
        };
        loop {
            match reports.next().await.as_str() {
                "blocked" => break,
                run => note(run),
            }
        }
        // It was fast so far and fetched ahead; the rest waits for its one slot.
        stage.until("backlog", |counts| counts.in_flight > 1).await;
        first.ask();
        let counts = stage.until("backlog", |counts| counts.in_flight == 1).await;
        assert_eq!(counts.ready, u64::from(BACKLOG - QUICK - 1));

        // The first still waits for its run, and nothing ended by a lease.
        let builder = stage.worker("backlog").await.concurrency(1);
        let second = RunningWorker::for_ever(builder.state(probe).state(Gate::opened()));
        let released = format!("{} attempt 1 crashes 0 token 2", QUICK + 1);
        for n in 1..BACKLOG - QUICK {
            let run = reports.next().await;
            assert!(n > 1 || run == released, "what was released goes first, and counts nothing: {run}");
            assert!(run.contains(" attempt 1 crashes 0 token "), "{run}");
            note(&run);
        }
        gate.open();
        first.ended().await.unwrap();
        note(&reports.next().await);
        second.stop().await;
        stage.until_empty("backlog").await;
        assert!(done.iter().all(|runs| *runs == 1), "each ran once: {done:?}");
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn what_runs_is_cancelled_and_waited_for(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let builder = stage.worker("waited_for").await;
        let mut worker = RunningWorker::start(builder.state(probe).state(gate.clone()));
        waited_for.send_with(&stage.broker).await.unwrap();
        sync_waited_for.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next_sorted(2).await, ["start", "start"]);
        worker.ask();
        let why = format!("{:?}", Cancellation::Shutdown);
        assert_eq!(reports.next_sorted(2).await, [why.clone(), why]);
        // Longer than a lease: a stopping worker keeps it as long as anything runs.
        tokio::time::sleep(LEASE * 2).await;
        assert_eq!(reports.rest(), [""; 0]);
        assert_eq!(stage.counts("waited_for").await.in_flight, 2);
        gate.open();
        worker.ended().await.unwrap();
        assert_eq!(reports.rest(), ["end", "end"]);
        let counts = stage.counts("waited_for").await;
        assert_eq!(counts.outstanding() + counts.dead, 0);
    }

    async fn a_run_that_outlasts_the_shutdown_timeout_is_dropped_and_released_with_nothing_counted(stage: Stage) {
        let (probe, mut reports) = probe();
        let builder = stage.worker("outlasts").await.shutdown_timeout(Duration::from_millis(50));
        let first = RunningWorker::for_ever(builder.state(probe.clone()).state(Gate::closed()));
        outlasts.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "attempt 1 crashes 0 token 1");
        first.stop().await;
        assert_eq!(reports.next().await, "dropped");
        let released = stage.list("outlasts", State::Ready).await.pop().unwrap();
        let body: Value = serde_json::from_slice(&released.body).unwrap();
        assert_eq!((&body["attempt"], &body["crashes"]), (&0.into(), &0.into()));

        let builder = stage.worker("outlasts").await;
        let second = RunningWorker::for_ever(builder.state(probe).state(Gate::opened()));
        assert_eq!(reports.next().await, "attempt 1 crashes 0 token 2");
        assert_eq!(stage.until_empty("outlasts").await.dead, 0);
        second.stop().await;
    }

    async fn a_sync_run_that_never_ends_does_not_keep_the_worker_from_stopping(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let builder = stage.worker("never_ends").await.shutdown_timeout(Duration::from_millis(50));
        let first = RunningWorker::for_ever(builder.state(probe.clone()).state(gate.clone()));
        never_ends.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "attempt 1 crashes 0 token 1");
        first.stop().await;

        let builder = stage.worker("never_ends").await;
        let second = RunningWorker::for_ever(builder.state(probe).state(gate.clone()));
        assert_eq!(reports.next().await, "attempt 1 crashes 0 token 2");
        gate.open();
        assert_eq!(stage.until_empty("never_ends").await.dead, 0);
        second.stop().await;
    }

    async fn a_worker_that_loses_its_lease_while_it_stops_drops_what_runs(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let builder = stage.worker("holds_on").await;
        let mut worker = RunningWorker::start(builder.state(probe.clone()).state(gate.clone()));
        holds_on.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "attempt 1 crashes 0");
        worker.ask();
        assert_eq!(reports.next().await, "Shutdown");
        stage.declare_dead("holds_on").await;
        assert_eq!(reports.next().await, "dropped", "it ran on while another may run it");
        worker.ended().await.unwrap();

        let successor = RunningWorker::start(stage.worker("holds_on").await.state(probe).state(gate));
        // It may have been declared dead before its lease said that it was stopping.
        assert!(reports.next().await.starts_with("attempt 1 crashes "));
        successor.kill();
    }

    async fn an_idle_worker_stops_at_once(stage: Stage) {
        let (probe, mut reports) = probe();
        let builder = stage.worker("outlasts").await;
        let mut worker = RunningWorker::start(builder.state(probe).state(Gate::opened()));
        outlasts.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "attempt 1 crashes 0 token 1");
        stage.until_empty("outlasts").await;
        let asked = Instant::now();
        worker.ask();
        worker.ended().await.unwrap();
        assert!(asked.elapsed() < AT_ONCE, "it waited for a message for {:?}", asked.elapsed());
    }
}

/// The only test here whose worker listens for signals, which reach the whole process.
#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_the_waiting_for_what_runs() {
    let signal = || {
        let pid = std::process::id().to_string();
        let sent = std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
    };
    let stage = Stage::memory();
    let (probe, mut reports) = probe();
    let builder = stage.worker("holds_on").await.shutdown_timeout(Duration::MAX);
    let worker = tokio::spawn(builder.state(probe).state(Gate::closed()).run());
    holds_on.send_with(&stage.broker).await.unwrap();
    assert_eq!(reports.next().await, "attempt 1 crashes 0");
    signal();
    assert_eq!(reports.next().await, "Shutdown");
    tokio::time::sleep(Duration::from_millis(1_500)).await; // It counts from a second after the first.
    signal();
    assert_eq!(reports.next().await, "dropped");
    within(worker).await.unwrap().unwrap();
    let released = stage.list("holds_on", State::Ready).await.pop().unwrap();
    let body: Value = serde_json::from_slice(&released.body).unwrap();
    assert_eq!((&body["attempt"], &body["crashes"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn an_idle_worker_stops_soon_while_the_broker_stands_still() {
    let mut stage = Stage::redis().await;
    let builder = stage.worker("outlasts").await.state(probe().0).state(Gate::opened());
    let mut worker = RunningWorker::with_own_lease(builder);
    stage.server().until_waiting(1).await;
    stage.server().freeze();
    let asked = Instant::now();
    worker.ask();
    worker.ended().await.unwrap();
    // A second for the claim under way, and one to end the lease.
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
}

#[tokio::test]
async fn a_worker_that_stops_while_the_broker_is_away_ends_within_bounds() {
    let mut stage = Stage::on(RedisServer::durable()).await;
    let (probe, mut reports) = probe();
    let gate = Gate::closed();
    let builder = stage.worker("outlasts").await;
    let mut worker = RunningWorker::start(builder.state(probe.clone()).state(gate.clone()));
    outlasts.send_with(&stage.broker).await.unwrap();
    assert_eq!(reports.next().await, "attempt 1 crashes 0 token 1");
    stage.server().kill();
    let asked = Instant::now();
    worker.ask();
    gate.open();
    assert_eq!(reports.next().await, "dropped", "what runs may finish, also without the broker");
    worker.ended().await.unwrap();
    // It tries for a lease to settle what was done, and for another to end its lease.
    assert!(asked.elapsed() < LEASE * 2 + AT_ONCE, "it took {:?}", asked.elapsed());

    // The settlement reached nobody, so the message runs again.
    stage.server().revive();
    let builder = stage.worker("outlasts").await;
    let successor = RunningWorker::start(builder.state(probe).state(gate));
    assert_eq!(reports.next().await, "attempt 1 crashes 1 token 2");
    stage.until_empty("outlasts").await;
    successor.stop().await;
}

/// An orchestrator that waits for less than the shutdown timeout.
#[tokio::test]
async fn deploys_that_kill_a_stopping_worker_count_nothing_against_what_it_ran() {
    let mut stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    let gate = Gate::closed();
    outlasts.send_with(&stage.broker).await.unwrap();
    // More often than a message may kill its workers.
    for deploy in 1..=5 {
        let builder = stage.worker("outlasts").await.shutdown_timeout(Duration::from_secs(3_600));
        let mut victim = RunningWorker::start(builder.state(probe.clone()).state(gate.clone()));
        assert_eq!(reports.next().await, format!("attempt 1 crashes 0 token {deploy}"));
        victim.ask();
        within(async {
            while !stage.server().cli(&["ZRANGE", "{actor:outlasts}:workers", "0", "-1"]).contains(":stopping") {
                tokio::task::yield_now().await;
            }
        })
        .await;
        victim.kill();
        assert_eq!(reports.next().await, "dropped");
    }
    gate.open();
    let last = RunningWorker::start(stage.worker("outlasts").await.state(probe).state(gate));
    assert_eq!(reports.next().await, "attempt 1 crashes 0 token 6");
    let counts = stage.until_empty("outlasts").await;
    assert_eq!(counts.dead, 0);
    last.stop().await;
    let marks = stage.server().cli(&["ZRANGE", "{actor:outlasts}:workers", "0", "-1"]);
    assert!(!marks.contains(":stopping") && !marks.contains(":dead"), "{marks}");
}
