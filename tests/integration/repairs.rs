use std::num::NonZeroU64;
use std::time::Duration;

use actor_core::broker::Enqueue;
use actor_core::inspect::{State, Which};
use actor_core::{Context, Failure, MessageId, Priority, actor};
use actor_redis::RedisBrokerBuilder as Settings;
use bytes::Bytes;
use tokio::time::sleep;

use crate::on_every_broker;
use crate::support::worker::LEASE;
use crate::support::{Gate, Probe, RedisServer, RunningWorker, Stage, probe, stage::name};

/// How many dead letters a queue keeps by default.
const KEPT: usize = 10_000;

#[actor(queue = "pausable")]
async fn pausable(number: u32, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("{number} start"));
    gate.pass().await;
    probe.report(format!("{number} end"));
}

/// Whether the actor is fixed.
#[derive(Clone)]
struct Repaired(bool);

#[actor(queue = "repaired")]
async fn breaks(
    cx: &Context,
    number: u32,
    #[state] repaired: &Repaired,
    #[state] probe: &Probe,
) -> Result<(), Failure> {
    probe.report(format!("{number} attempt {} token {}", cx.attempt(), cx.fencing_token()));
    if repaired.0 { Ok(()) } else { Err(Failure::do_not_retry("broken")) }
}

#[actor(queue = "dead_letters")]
async fn never_called() {}

on_every_broker! {
    async fn a_paused_queue_starts_nothing_and_goes_on_when_it_is_resumed(stage: Stage) {
        let (probe, mut reports) = probe();
        let gate = Gate::closed();
        let builder = stage.worker("pausable").await.state(probe);
        let worker = RunningWorker::start(builder.state(gate.clone()));
        pausable.send_with(&stage.broker, 1).await.unwrap();
        assert_eq!(reports.next().await, "1 start");
        stage.inspect.pause(&name("pausable")).await.unwrap();
        assert!(stage.counts("pausable").await.paused);
        sleep(LEASE).await; // Workers obey within a heartbeat, without an event.
        pausable.send_with(&stage.broker, 2).await.unwrap();
        gate.open();
        assert_eq!(reports.next().await, "1 end", "what runs is not disturbed");
        sleep(Duration::from_millis(300)).await; // No event shows that nothing starts.
        assert_eq!(reports.rest(), [""; 0]);
        stage.inspect.resume(&name("pausable")).await.unwrap();
        assert_eq!(reports.next().await, "2 start");
        stage.until_empty("pausable").await;
        worker.stop().await;
    }

    async fn a_replayed_dead_letter_is_run_as_if_new(stage: Stage) {
        let (probe, mut reports) = probe();
        let builder = stage.worker("repaired").await.state(probe.clone());
        let broken = RunningWorker::start(builder.state(Repaired(false)));
        for number in 0..4 {
            breaks.send_with(&stage.broker, number).await.unwrap();
            assert_eq!(reports.next().await, format!("{number} attempt 1 token 1"));
            stage.until("repaired", |counts| counts.dead == u64::from(number) + 1).await;
        }
        broken.stop().await;
        let builder = stage.worker("repaired").await.state(probe);
        let repaired = RunningWorker::start(builder.state(Repaired(true)));
        let oldest = stage.list("repaired", State::Dead).await.swap_remove(0);
        assert_eq!(oldest.reason.as_deref(), Some("broken"));
        assert_eq!(stage.inspect.replay(&name("repaired"), Which::One(oldest.handle)).await.unwrap(), 1);
        assert_eq!(reports.next().await, "0 attempt 1 token 2", "its attempts are forgotten, its token grows on");
        assert_eq!(stage.until_empty("repaired").await.dead, 3);
        assert_eq!(stage.inspect.replay(&name("repaired"), Which::All).await.unwrap(), 3);
        let runs = ["1 attempt 1 token 2", "2 attempt 1 token 2", "3 attempt 1 token 2"];
        assert_eq!(reports.next_sorted(3).await, runs);
        assert_eq!(stage.until_empty("repaired").await.dead, 0);
        repaired.stop().await;
    }

    async fn dead_letters_are_bounded_and_the_newest_stay(stage: Stage) {
        let worker = RunningWorker::start(stage.worker("dead_letters").await);
        for batch in 0..11_u32 {
            let malformed = (0..1_000_u32).map(|number| Bytes::from(format!("malformed {}", batch * 1_000 + number)));
            let enqueue = |body| Enqueue::new(MessageId::new(), Priority::Normal, body);
            for answer in stage.broker.enqueue(&name("dead_letters"), malformed.map(enqueue).collect()).await {
                answer.unwrap();
            }
            stage.until_empty("dead_letters").await;
        }
        worker.stop().await;
        let dead = stage.list("dead_letters", State::Dead).await;
        assert_eq!(dead.len(), KEPT);
        let oldest_batch = dead.iter().filter(|dead_letter| dead_letter.body.len() < "malformed 1000".len()).count();
        assert_eq!(oldest_batch, 0, "the oldest thousand stayed");
    }
}

#[tokio::test]
async fn redis_keeps_as_many_dead_letters_as_it_is_set_to() {
    let three = |settings: Settings| settings.dead_letters(Duration::from_secs(60), NonZeroU64::new(3).unwrap());
    let stage = Stage::with(RedisServer::start(), three).await;
    let worker = RunningWorker::start(stage.worker("dead_letters").await);
    for number in 0..10_u64 {
        stage.put("dead_letters", format!("malformed {number}")).await;
        let kept = (number + 1).min(3);
        stage.until("dead_letters", |counts| counts.outstanding() == 0 && counts.dead == kept).await;
    }
    let bodies: Vec<_> =
        stage.list("dead_letters", State::Dead).await.into_iter().map(|dead_letter| dead_letter.body).collect();
    assert_eq!(bodies, ["malformed 7", "malformed 8", "malformed 9"]);
    worker.stop().await;
}

#[tokio::test]
async fn redis_keeps_dead_letters_as_long_as_it_is_set_to() {
    let briefly = |settings: Settings| settings.dead_letters(Duration::from_millis(100), NonZeroU64::MAX);
    let stage = Stage::with(RedisServer::start(), briefly).await;
    let worker = RunningWorker::start(stage.worker("dead_letters").await);
    stage.put("dead_letters", "old").await;
    assert!(stage.dead_reason("dead_letters").await.starts_with("the message cannot be decoded"));
    sleep(Duration::from_millis(150)).await; // It must grow old.
    stage.put("dead_letters", "new").await;
    stage.until_empty("dead_letters").await;
    let bodies: Vec<_> =
        stage.list("dead_letters", State::Dead).await.into_iter().map(|dead_letter| dead_letter.body).collect();
    assert_eq!(bodies, ["new"]);
    worker.stop().await;
}
