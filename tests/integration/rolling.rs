use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actor_core::actor::{ActorDef, Implementation, ImplementationDef, Options};
use actor_core::broker::Enqueue;
use actor_core::{MessageId, Priority, WorkerBuilder, actor};
use tokio::sync::oneshot;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use crate::on_every_broker;
use crate::support::by_hand::with_members;
use crate::support::probe::within;
use crate::support::{LogCapture, Probe, RedisServer, RunningWorker, Stage, by_hand, probe, stage::name};

/// How many messages wait for the deploy that brings their actor.
const WAITING: u64 = 10_000;

/// The cost in Redis of parking a message until a worker with its actor starts, beyond the message's own.
const MOST_COMMANDS: f64 = 4.0;

/// Counts its runs, under whatever name it is implemented.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU64>);

#[actor(queue = "rollout")]
async fn counted(#[state] runs: &Runs, #[state] probe: &Probe) {
    if (runs.0.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(WAITING) {
        probe.report("all ran");
    }
}

#[actor(queue = "rollout")]
async fn known(#[state] probe: &Probe) {
    probe.report("known");
}

/// An actor that only new workers have.
struct Newcomer;

impl Implementation for Newcomer {
    const IMPLEMENTATION: &'static ImplementationDef = {
        const COUNTED: &ImplementationDef = <counted as Implementation>::IMPLEMENTATION;
        const DEF: &ActorDef =
            &ActorDef::new("newcomer", &actor_core::Queue::new("rollout"), &[], Options::DEFAULT, COUNTED.at, true);
        &ImplementationDef::new(DEF, COUNTED.at, &[], COUNTED.handler)
    };
}

async fn builder(stage: &Stage, runs: &Runs, probe: &Probe) -> WorkerBuilder {
    stage.worker("rollout").await.state(runs.clone()).state(probe.clone())
}

async fn send_to_the_newcomer(stage: &Stage, count: u64) {
    let message = |_| Enqueue::new(MessageId::new(), Priority::Normal, by_hand("newcomer", "rollout", "[]").into());
    for answer in stage.broker.enqueue(&name("rollout"), (0..count).map(message).collect()).await {
        answer.unwrap();
    }
}

/// Waits until so many messages are scheduled, with as few requests as possible.
async fn until_scheduled(server: &RedisServer, count: u64) {
    within(async {
        while server.cli(&["ZCARD", "{actor:rollout}:scheduled"]) != count.to_string() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

on_every_broker! {
    async fn what_an_old_worker_does_not_know_runs_as_soon_as_a_new_one_starts(stage: Stage) {
        let (probe, mut reports) = probe();
        let runs = Runs::default();
        let old = RunningWorker::start(builder(&stage, &runs, &probe).await);
        send_to_the_newcomer(&stage, WAITING).await;
        known.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "known", "what it does not know holds up nobody");
        stage.until("rollout", |counts| counts.scheduled == WAITING && counts.in_flight == 0).await;
        let new = RunningWorker::start(builder(&stage, &runs, &probe).await.register::<Newcomer>());
        assert_eq!(reports.next().await, "all ran");
        stage.until_empty("rollout").await;
        for worker in [old, new] {
            worker.stop().await;
        }
        assert_eq!(runs.0.load(Ordering::Relaxed), WAITING, "each ran once");
    }

    async fn old_and_new_workers_side_by_side_leave_nothing_waiting(stage: Stage) {
        let (probe, mut reports) = probe();
        let runs = Runs::default();
        let old = RunningWorker::start(builder(&stage, &runs, &probe).await);
        let new = RunningWorker::start(builder(&stage, &runs, &probe).await.register::<Newcomer>());
        for _ in 0..100 {
            send_to_the_newcomer(&stage, WAITING / 100).await;
        }
        assert_eq!(reports.next().await, "all ran");
        stage.until_empty("rollout").await;
        for worker in [old, new] {
            worker.stop().await;
        }
        assert_eq!(runs.0.load(Ordering::Relaxed), WAITING, "each ran once");
    }

    async fn parked_messages_are_logged_together(stage: Stage) {
        let log = LogCapture::default();
        // With a single subscriber, tracing asks the first thread that comes by whether anybody listens, and caches the
        // answer for all threads.
        let _second = tracing::Dispatch::new(Registry::default());
        let _listening = tracing::subscriber::set_default(Registry::default().with(log.clone()));
        let (probe, _reports) = probe();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = builder(&stage, &Runs::default(), &probe).await.run_until(async {
            let _ = stopped.await;
        });
        let (ended, ()) = tokio::join!(worker, async {
            send_to_the_newcomer(&stage, 500).await;
            stage.until("rollout", |counts| counts.scheduled == 500 && counts.in_flight == 0).await;
            let _ = stop.send(());
        });
        ended.unwrap();
        let parked = log.events("messages parked: no actor here can run them");
        let shown: Vec<_> = parked.iter().map(|fields| (&*fields["queue"], &*fields["ability"], &*fields["count"])).collect();
        assert_eq!(shown, [("rollout", "actor:newcomer", "1"), ("rollout", "actor:newcomer", "499")]);
        assert_eq!(parked[0]["reason"], "no actor of this name is implemented here, with all its states");
    }

    async fn what_comes_back_and_is_parked_again_is_logged_once_by_a_worker(stage: Stage) {
        let parked = r#""v":1,"parked":{"since":1,"why":"no actor of this name is implemented here"}"#;
        let log = LogCapture::default();
        let _second = tracing::Dispatch::new(Registry::default());
        let _listening = tracing::subscriber::set_default(Registry::default().with(log.clone()));
        let (probe, _reports) = probe();
        let (stop, stopped) = oneshot::channel::<()>();
        let builder = builder(&stage, &Runs::default(), &probe).await.park_timeout(Duration::MAX);
        let worker = builder.run_until(async {
            let _ = stopped.await;
        });
        let (ended, ()) = tokio::join!(worker, async {
            for _ in 0..50 {
                stage.put("rollout", with_members("newcomer", "rollout", "[]", parked)).await;
            }
            stage.until("rollout", |counts| counts.scheduled == 50 && counts.in_flight == 0).await;
            let _ = stop.send(());
        });
        ended.unwrap();
        let parked = log.events("messages parked: no actor here can run them");
        assert_eq!(parked.iter().map(|fields| &*fields["count"]).collect::<Vec<_>>(), ["1"]);
    }
}

#[tokio::test]
async fn a_message_that_waits_for_a_deploy_costs_a_few_commands() {
    let mut stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    let runs = Runs::default();
    let commands = |stage: &mut Stage| stage.server().calls().into_iter().filter(|(command, _)| command != "info");
    let total = |stage: &mut Stage| commands(stage).map(|(_, calls)| calls).sum::<u64>();
    let old = RunningWorker::with_own_lease(builder(&stage, &runs, &probe).await);
    send_to_the_newcomer(&stage, WAITING).await;
    until_scheduled(stage.server(), WAITING).await;
    let new = RunningWorker::with_own_lease(builder(&stage, &runs, &probe).await.register::<Newcomer>());
    assert_eq!(reports.next().await, "all ran");
    until_scheduled(stage.server(), 0).await;
    let with_deploy = total(&mut stage);
    for worker in [old, new] {
        worker.stop().await;
    }
    // The same messages, where they are known from the start.
    let mut plain = Stage::redis().await;
    let new = RunningWorker::with_own_lease(builder(&plain, &runs, &probe).await.register::<Newcomer>());
    send_to_the_newcomer(&plain, WAITING).await;
    assert_eq!(reports.next().await, "all ran");
    let without = total(&mut plain);
    new.stop().await;
    #[allow(clippy::cast_precision_loss)] // A float is precise enough for a number of commands.
    let extra = with_deploy.saturating_sub(without) as f64 / WAITING as f64;
    assert!(extra <= MOST_COMMANDS, "{extra} commands more for each message");
}
