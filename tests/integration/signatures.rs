use std::time::Duration;

use actor_core::actor::{ActorDef, Implementation, ImplementationDef, Options};
use actor_core::inspect::State;
use actor_core::{Actor, Failure, actor};

use crate::on_every_broker;
use crate::support::by_hand::with_members;
use crate::support::{Probe, RunningWorker, Stage, by_hand, probe};

#[actor(queue = "signatures")]
async fn flat(width: u32, height: u32, #[state] probe: &Probe) {
    probe.report(format!("{width}x{height}"));
}

#[actor(queue = "signatures")]
async fn swapped(height: u32, width: u32, #[state] probe: &Probe) {
    probe.report(format!("{width}x{height}, as it was declared"));
}

#[actor(queue = "signatures")]
async fn deep(width: u32, height: u32, depth: u32, #[state] probe: &Probe) {
    probe.report(format!("{width}x{height}x{depth}"));
}

#[actor(queue = "signatures")]
async fn named(name: Option<String>, width: u32, #[default = 7] height: u32, #[state] probe: &Probe) {
    probe.report(format!("{width}x{height} {name:?}"));
}

#[actor(queue = "signatures")]
async fn renamed(w: u32, h: u32, #[state] probe: &Probe) {
    probe.report(format!("{w}x{h}"));
}

#[actor(queue = "signatures")]
async fn partial(width: u32) {
    let _ = width;
}

#[actor(queue = "signatures")]
async fn fails() -> Result<(), Failure> {
    Err(Failure::retry_in(Duration::from_secs(3_600), "no"))
}

/// `scale`, as one deploy declares and implements it.
macro_rules! deploys {
    ($($deploy:ident: $actor:ident),*) => {$(
        struct $deploy;

        impl Implementation for $deploy {
            const IMPLEMENTATION: &'static ImplementationDef = {
                const CODE: &ImplementationDef = <$actor as Implementation>::IMPLEMENTATION;
                const DEF: &ActorDef =
                    &ActorDef::new("scale", &actor_core::Queue::new("signatures"), CODE.actor.args, Options::DEFAULT, CODE.at, true);
                &ImplementationDef::new(DEF, CODE.at, CODE.states, CODE.handler)
            };
        }
    )*};
}

deploys!(Plain: flat, Deep: deep, Named: named);

async fn worker<I: Implementation>(stage: &Stage, probe: &Probe) -> RunningWorker {
    RunningWorker::start(stage.worker("signatures").await.register::<I>().state(probe.clone()))
}

/// Sends to `scale` as a service would whose declaration of it has the arguments of `A`.
async fn send<A: Actor>(stage: &Stage, args: &str) {
    let members = format!(r#""v":1,"sig":"{}""#, A::DEF.fingerprint());
    stage.put("signatures", with_members("scale", "signatures", args, &members)).await;
}

on_every_broker! {
    async fn a_message_carries_the_fingerprint_of_what_its_sender_declares(stage: Stage) {
        deep.send_with(&stage.broker, 1, 2, 3).await.unwrap();
        let body = stage.list("signatures", State::Ready).await.pop().unwrap().body;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["sig"], deep::DEF.fingerprint());
    }

    async fn arguments_that_changed_places_between_two_deploys_run_with_the_right_values(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker::<Plain>(&stage, &probe).await;
        send::<flat>(&stage, "[1,2]").await;
        send::<swapped>(&stage, "[4,3]").await;
        send::<renamed>(&stage, "[5,6]").await;
        stage.put("signatures", by_hand("scale", "signatures", "[7,8]")).await;
        assert_eq!(reports.next_sorted(4).await, ["1x2", "3x4", "5x6", "7x8"]);
        stage.until_empty("signatures").await;
        worker.stop().await;
    }

    async fn what_a_sender_does_not_know_is_missing_by_name(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker::<Named>(&stage, &probe).await;
        send::<flat>(&stage, "[1,2]").await;
        send::<partial>(&stage, "[3]").await;
        assert_eq!(reports.next_sorted(2).await, ["1x2 None", "3x7 None"]);
        stage.until_empty("signatures").await;
        worker.stop().await;
    }

    async fn arguments_that_a_worker_does_not_know_are_left_for_one_that_does(stage: Stage) {
        let (probe, mut reports) = probe();
        let old = worker::<Plain>(&stage, &probe).await;
        stage.put("signatures", by_hand("scale", "signatures", "[1,2,3]")).await;
        send::<deep>(&stage, "[4,5,6]").await;
        send::<flat>(&stage, "[7,8]").await;
        assert_eq!(reports.next().await, "7x8", "they hold up nobody");
        let counts = stage.until("signatures", |counts| counts.scheduled == 2 && counts.in_flight == 0).await;
        assert_eq!(counts.dead, 0);
        let mut why = Vec::new();
        for left in stage.list("signatures", State::Scheduled).await {
            let message = left.message().unwrap();
            assert_eq!((message.attempts, message.last_error), (0, None), "being left counts nothing");
            let parked = message.parked.unwrap();
            // The worker's broker and this one each estimate the server's clock.
            assert!(parked.since <= stage.broker.now() + Duration::from_secs(5));
            why.push(parked.why);
        }
        why.sort();
        assert_eq!(why, [
            "the message has 3 arguments, but this worker's actor takes 2: deploy workers before senders".to_owned(),
            format!(
                "the sender declares other arguments: the message has 3, with the fingerprint {}, and this worker's \
                 actor takes `(width: u32, height: u32)`, with the fingerprint {}",
                deep::DEF.fingerprint(),
                flat::DEF.fingerprint(),
            ),
        ]);
        let new = worker::<Deep>(&stage, &probe).await;
        assert_eq!(reports.next_sorted(2).await, ["1x2x3", "4x5x6"]);
        stage.until_empty("signatures").await;
        for worker in [old, new] {
            worker.stop().await;
        }
    }

    async fn what_a_worker_needs_and_a_sender_does_not_know_is_left_for_another(stage: Stage) {
        let (probe, mut reports) = probe();
        let new = worker::<Deep>(&stage, &probe).await;
        send::<flat>(&stage, "[1,2]").await;
        stage.until("signatures", |counts| counts.scheduled == 1 && counts.in_flight == 0).await;
        let left = stage.list("signatures", State::Scheduled).await.pop().unwrap().message().unwrap();
        assert_eq!(
            left.parked.unwrap().why,
            "the sender's actor has no argument `depth`, which this worker's needs"
        );
        let old = worker::<Plain>(&stage, &probe).await;
        assert_eq!(reports.next().await, "1x2");
        stage.until_empty("signatures").await;
        for worker in [old, new] {
            worker.stop().await;
        }
    }

    async fn what_no_worker_can_run_in_time_is_dead_lettered_with_what_it_lacked(stage: Stage) {
        let (probe, _reports) = probe();
        let timeout = Duration::from_millis(50);
        let builder = stage.worker("signatures").await.register::<Plain>().state(probe.clone());
        let worker = RunningWorker::start(builder.park_timeout(timeout));
        for (actor, args, what) in [
            ("nobody", "[]", "no actor of this name is implemented here, with all its states"),
            (
                "scale",
                "[1,2,3]",
                "the message has 3 arguments, but this worker's actor takes 2: deploy workers before senders",
            ),
        ] {
            stage.put("signatures", by_hand(actor, "signatures", args)).await;
            let reason = stage.dead_reason("signatures").await;
            assert_eq!(reason, format!("no worker could run it for 50ms: {what}"));
            let dead = stage.list("signatures", State::Dead).await.pop().unwrap();
            let message = dead.message().unwrap();
            assert_eq!((message.attempts, message.parked.unwrap().why.as_str()), (0, what));
            let queue = crate::support::stage::name("signatures");
            assert!(stage.inspect.delete(&queue, State::Dead, &dead.handle).await.unwrap());
        }
        worker.stop().await;
    }

    async fn a_message_that_runs_waits_for_nobody_any_more(stage: Stage) {
        let (probe, _reports) = probe();
        let worker = worker::<Plain>(&stage, &probe).await;
        let parked = r#""v":1,"parked":{"since":1,"why":"nobody could run it"}"#;
        stage.put("signatures", with_members("fails", "signatures", "[]", parked)).await;
        stage.until("signatures", |counts| counts.scheduled == 1 && counts.in_flight == 0).await;
        let retried = stage.list("signatures", State::Scheduled).await.pop().unwrap().message().unwrap();
        assert_eq!((retried.attempts, retried.parked), (1, None));
        worker.stop().await;
    }
}
