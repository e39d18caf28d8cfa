use std::time::{Duration, Instant};

use actor_core::delivery::{Consumer, Wait, WorkerId};
use actor_core::{Cancellation, Context, actor};

use crate::on_every_broker;
use crate::support::stage::name;
use crate::support::worker::LEASE;
use crate::support::{Gate, Probe, RunningWorker, Stage, probe};

#[actor(queue = "held")]
async fn held(cx: &Context, number: u32, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("{number} crashes {} token {} attempt {}", cx.crashes(), cx.fencing_token(), cx.attempt()));
    gate.pass().await;
}

#[actor(queue = "poisoned")]
async fn poisoned(cx: &Context, poison: bool, #[state] probe: &Probe, #[state] gate: &Gate) {
    if poison {
        probe.report(format!("poison {}", cx.crashes()));
        std::future::pending::<()>().await;
    }
    gate.pass().await;
    probe.report("neighbour done");
}

#[actor(queue = "isolated")]
async fn isolated(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("start {}", cx.crashes()));
    gate.pass().await;
    probe.report("end");
}

#[actor(queue = "aside")]
async fn aside(number: u32, #[state] probe: &Probe) {
    probe.report(format!("aside {number}"));
}

#[actor(queue = "zombie")]
async fn zombie(cx: &Context, #[state] probe: &Probe) {
    probe.report(format!("token {}", cx.fencing_token()));
    let why = cx.cancelled().await;
    probe.report(format!("{why:?}"));
    assert_eq!(why, Cancellation::LeaseLost);
    std::future::pending::<()>().await;
}

#[actor(queue = "blocking")]
async fn blocks_its_runtime(cx: &Context, #[state] probe: &Probe) {
    probe.report(format!("start {}", cx.crashes()));
    // What no async actor should do, and many do.
    std::thread::sleep(LEASE * 3);
    probe.report(format!("end {:?}", cx.cancellation()));
}

async fn worker(stage: &Stage, queue: &str, probe: &Probe, gate: &Gate) -> RunningWorker {
    RunningWorker::start(stage.worker(queue).await.state(probe.clone()).state(gate.clone()))
}

on_every_broker! {
    async fn a_killed_workers_messages_run_elsewhere(stage: Stage) {
        let (probe, mut reports) = probe();
        let victim = worker(&stage, "held", &probe, &Gate::closed()).await;
        for number in 0..4 {
            held.send_with(&stage.broker, number).await.unwrap();
        }
        let started = reports.next_sorted(4).await;
        assert_eq!(started[0], "0 crashes 0 token 1 attempt 1");
        victim.kill();
        let successor = worker(&stage, "held", &probe, &Gate::opened()).await;
        let again = reports.next_sorted(4).await;
        assert_eq!(again[0], "0 crashes 1 token 2 attempt 1", "a crash spends no attempt, and the token grows");
        stage.until_empty("held").await;
        successor.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn a_death_is_noticed_soon_by_a_worker_that_has_long_been_alive(stage: Stage) {
        let (probe, mut reports) = probe();
        let victim = worker(&stage, "held", &probe, &Gate::closed()).await;
        held.send_with(&stage.broker, 1).await.unwrap();
        assert_eq!(reports.next().await, "1 crashes 0 token 1 attempt 1");
        let successor = worker(&stage, "held", &probe, &Gate::opened()).await;
        tokio::time::sleep(LEASE * 3).await; // No event shows that it has looked for dead workers, and found none.
        let died = Instant::now();
        victim.kill();
        assert_eq!(reports.next().await, "1 crashes 1 token 2 attempt 1");
        // Without the broker's hint, it would check again after half a minute.
        assert!(died.elapsed() < LEASE * 10, "it took {:?}", died.elapsed());
        stage.until_empty("held").await;
        successor.stop().await;
    }

    async fn a_worker_restarted_under_the_same_name_has_another_id(stage: Stage) {
        let (probe, mut reports) = probe();
        let named = async |gate: &Gate| {
            let builder = stage.worker("held").await.name("the one");
            RunningWorker::start(builder.state(probe.clone()).state(gate.clone()))
        };
        let victim = named(&Gate::closed()).await;
        held.send_with(&stage.broker, 1).await.unwrap();
        reports.next().await;
        victim.kill();
        let reborn = named(&Gate::opened()).await;
        assert_eq!(reports.next().await, "1 crashes 1 token 2 attempt 1");
        stage.until_empty("held").await;
        reborn.stop().await;
    }

    async fn a_poison_message_is_dead_lettered_and_its_neighbours_are_done(stage: Stage) {
        let (probe, mut reports) = probe();
        for poison in [false, false, true, false] {
            poisoned.send_with(&stage.broker, poison).await.unwrap();
        }
        let mut done = 0;
        for crashes in 0..3 {
            // Whoever starts the poison dies, as when a process aborts. The first time, all its neighbours die with it.
            let gate = if crashes == 0 { Gate::closed() } else { Gate::opened() };
            let victim = worker(&stage, "poisoned", &probe, &gate).await;
            loop {
                match reports.next().await.as_str() {
                    "neighbour done" => done += 1,
                    poison => break assert_eq!(poison, format!("poison {crashes}")),
                }
            }
            victim.kill();
        }
        let survivor = worker(&stage, "poisoned", &probe, &Gate::opened()).await;
        while done < 3 {
            assert_eq!(reports.next().await, "neighbour done", "the poison ran a fourth time");
            done += 1;
        }
        let reason = stage.dead_reason("poisoned").await;
        assert_eq!(reason, "the worker died 3 times while it held this message");
        survivor.stop().await;
    }

    async fn a_suspect_on_its_last_delivery_runs_with_no_other_suspect_beside_it(stage: Stage) {
        let (probe, mut reports) = probe();
        for _ in 0..3 {
            isolated.send_with(&stage.broker).await.unwrap();
        }
        for crashes in 0..2 {
            // Twice they may run beside one another, and die together.
            let victim = worker(&stage, "isolated", &probe, &Gate::closed()).await;
            assert_eq!(reports.next_sorted(3).await, vec![format!("start {crashes}"); 3]);
            victim.kill();
        }
        let gate = Gate::closed();
        let successor = worker(&stage, "isolated", &probe, &gate).await;
        for _ in 0..3 {
            assert_eq!(reports.next().await, "start 2");
            tokio::time::sleep(LEASE).await; // No event shows that nothing starts beside it.
            assert_eq!(reports.rest(), [""; 0]);
            gate.let_pass(1);
            assert_eq!(reports.next().await, "end");
        }
        successor.stop().await;
    }

    async fn an_isolated_suspect_holds_up_no_other_queue(stage: Stage) {
        let (probe, mut reports) = probe();
        isolated.send_with(&stage.broker).await.unwrap();
        for crashes in 0..2 {
            let victim = worker(&stage, "isolated", &probe, &Gate::closed()).await;
            assert_eq!(reports.next().await, format!("start {crashes}"));
            victim.kill();
        }
        let broker = stage.broker.as_ref();
        let dead = Consumer::new(WorkerId::new("dead"), name("aside"));
        broker.register(&dead.worker, &[name("aside")], Duration::from_secs(3_600)).await.unwrap();
        aside.send_with(&stage.broker, 1).await.unwrap();
        assert_eq!(broker.claim(&dead, 1, &Wait::new(Duration::ZERO)).await.unwrap().len(), 1);
        let gate = Gate::closed();
        let queues = ["isolated", "aside"].map(name);
        let successor = stage.worker("isolated").await.queues(queues).concurrency(1);
        let successor = RunningWorker::start(successor.state(probe.clone()).state(gate.clone()));
        assert_eq!(reports.next().await, "start 2");
        broker.renew(&dead.worker, &[name("aside")], Duration::ZERO).await.unwrap();
        tokio::time::sleep(LEASE * 2).await; // No event shows that it has tried to recover.
        aside.send_with(&stage.broker, 2).await.unwrap();
        assert_eq!(reports.next().await, "aside 2");
        gate.open();
        assert_eq!(reports.next_sorted(2).await, ["aside 1", "end"]);
        successor.stop().await;
    }

    async fn what_was_sent_is_recovered_many_at_once(stage: Stage) {
        for number in 0..5 {
            held.send_with(&stage.broker, number).await.unwrap();
        }
        let broker = stage.broker.as_ref();
        let [dead, successor] = ["dead", "successor"].map(|who| Consumer::new(WorkerId::new(who), name("held")));
        for consumer in [&dead, &successor] {
            broker.register(&consumer.worker, &[name("held")], Duration::from_secs(3_600)).await.unwrap();
        }
        assert_eq!(broker.claim(&dead, 5, &Wait::new(Duration::ZERO)).await.unwrap().len(), 5);
        broker.renew(&dead.worker, &[name("held")], Duration::ZERO).await.unwrap();
        assert_eq!(broker.recover(&successor, 3, Duration::ZERO).await.unwrap().len(), 3);
        assert_eq!(broker.recover(&successor, 3, Duration::ZERO).await.unwrap().len(), 2);
    }

    async fn a_runtime_that_user_code_blocks_for_longer_than_a_lease_keeps_it(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::opened();
        // Its runtime has one thread, and the other worker would recover what a dead one held.
        let blocked = worker(&stage, "blocking", &probe, &gate).await;
        blocks_its_runtime.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "start 0");
        let other = worker(&stage, "blocking", &probe, &gate).await;
        assert_eq!(reports.next().await, "end None");
        stage.until_empty("blocking").await;
        blocked.stop().await;
        other.stop().await;
        assert_eq!(reports.rest(), [""; 0], "it ran again elsewhere");
    }

    async fn a_worker_that_finds_its_lease_lost_cancels_its_runs_and_starts_again(stage: Stage) {
        let (probe, mut reports) = probe();
        let first = worker(&stage, "zombie", &probe, &Gate::opened()).await;
        zombie.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "token 1");
        stage.declare_dead("zombie").await;
        assert_eq!(reports.next().await, "LeaseLost");
        // Any live worker recovers it, here the same process in its next session.
        assert_eq!(reports.next().await, "token 3");
        first.kill();
    }
}

#[tokio::test]
async fn nobody_is_declared_dead_by_a_worker_that_has_just_started() {
    // Only with a server: its outage ends every lease at once.
    let mut stage = Stage::on(crate::support::RedisServer::durable()).await;
    let (probe, mut reports) = probe();
    let gate = Gate::closed();
    let mut workers = Vec::new();
    for number in 0..4 {
        let builder = stage.worker("held").await.concurrency(1);
        workers.push(RunningWorker::start(builder.state(probe.clone()).state(gate.clone())));
        held.send_with(&stage.broker, number).await.unwrap();
        reports.next().await;
    }
    // The others have no slot for what a dead one held. This one has.
    workers.push(worker(&stage, "held", &probe, &gate).await);
    held.send_with(&stage.broker, 4).await.unwrap();
    reports.next().await;
    stage.server().kill();
    tokio::time::sleep(LEASE * 2).await; // The outage must be longer than a lease.
    stage.server().revive();
    // All leases have ended. Long after everybody could have judged, nobody was declared dead.
    held.send_with(&stage.broker, 5).await.unwrap_or_else(|_| panic!("the server is back"));
    tokio::time::sleep(LEASE * 3).await; // No event shows that nothing else happens.
    assert_eq!(reports.rest(), ["5 crashes 0 token 1 attempt 1"], "a message ran twice, or a worker was cancelled");
    gate.open();
    stage.until_empty("held").await;
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn nobody_is_declared_dead_after_an_outage_of_almost_a_lease() {
    let lease = Duration::from_secs(3);
    let mut stage = Stage::on(crate::support::RedisServer::durable()).await;
    let (probe, mut reports) = probe();
    let gate = Gate::closed();
    let mut workers = Vec::new();
    // Their heartbeats are spread evenly: after the outage some leases have ended and others have not.
    for number in 0..6 {
        let builder = stage.worker("held").await.lease(lease).concurrency(2);
        workers.push(RunningWorker::with_own_lease(builder.state(probe.clone()).state(gate.clone())));
        held.send_with(&stage.broker, number).await.unwrap();
        reports.next().await;
        tokio::time::sleep(lease / 18).await;
    }
    tokio::time::sleep(lease).await; // No event shows that all may judge.
    stage.server().kill();
    tokio::time::sleep(lease * 5 / 6).await; // The outage must be shorter than a lease.
    stage.server().revive();
    tokio::time::sleep(lease).await; // No event shows that nothing happens.
    assert_eq!(reports.rest(), [""; 0], "a message ran twice, or a worker was cancelled");
    gate.open();
    stage.until_empty("held").await;
    for worker in workers {
        worker.stop().await;
    }
}
