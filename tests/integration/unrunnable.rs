use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actor_core::actor::{ActorDef, Implementation, ImplementationDef, Options};
use actor_core::broker::Enqueue;
use actor_core::inspect::State;
use actor_core::{Context, Failure, MessageId, Priority, actor};
use bytes::Bytes;
use fastrand::Rng;
use serde_json::Value;
use uuid::Uuid;

use crate::on_every_broker;
use crate::support::by_hand::with_members;
use crate::support::{Probe, RunningWorker, Stage, by_hand, probe, stage::name};

/// How many random entries there are.
const RANDOM: usize = 2_000;

#[actor(queue = "unrunnable")]
async fn neighbour(number: u32, flag: bool, #[state] probe: &Probe) {
    probe.report(format!("{number} {flag}"));
}

/// Counts its runs, for messages that may be damaged.
#[derive(Clone, Default)]
struct Done(Arc<AtomicU64>);

#[actor(queue = "random")]
async fn survivor(number: u32, #[state] done: &Done, #[state] probe: &Probe) {
    done.0.fetch_add(1, Ordering::Relaxed);
    if number == u32::MAX {
        probe.report("still here");
    }
}

#[actor(queue = "rolling")]
async fn early(cx: &Context, #[state] probe: &Probe) {
    let (attempt, crashes, token) = (cx.attempt(), cx.crashes(), cx.fencing_token());
    probe.report(format!("{} attempt {attempt} crashes {crashes} token {token}", cx.actor()));
}

/// An actor that only some workers have, as during a deploy.
struct Late;

impl Implementation for Late {
    const IMPLEMENTATION: &'static ImplementationDef = {
        const EARLY: &ImplementationDef = <early as Implementation>::IMPLEMENTATION;
        const DEF: &ActorDef =
            &ActorDef::new("late", &actor_core::Queue::new("rolling"), &[], Options::DEFAULT, EARLY.at, true);
        &ImplementationDef::new(DEF, EARLY.at, &[], EARLY.handler)
    };
}

#[actor(queue = "postponed")]
async fn postpones(cx: &Context) -> Result<(), Failure> {
    Err(Failure::retry_in(Duration::from_secs(3_600), format!("attempt {}", cx.attempt())))
}

/// The actor of the example in `docs/wire-format.md`.
#[actor(queue = "video_processing")]
async fn process_video(video_id: Uuid, #[state] probe: &Probe) {
    probe.report(format!("processed {video_id}"));
}

on_every_broker! {
    async fn an_undecodable_message_between_two_good_ones_is_dead_lettered_untouched_and_they_are_done(stage: Stage) {
        let (probe, mut reports) = probe();
        neighbour.send_with(&stage.broker, 1, true).await.unwrap();
        let malformed = Bytes::from_static(b"\xff\x00 {\"v\":1} is no message");
        stage.put("unrunnable", malformed.clone()).await;
        neighbour.send_with(&stage.broker, 2, true).await.unwrap();
        let worker = worker(&stage, "unrunnable", probe).await;
        assert_eq!(reports.next_sorted(2).await, ["1 true", "2 true"]);
        let reason = stage.dead_reason("unrunnable").await;
        assert!(reason.starts_with("the message cannot be decoded: it is not UTF-8"), "{reason}");
        assert_eq!(stage.list("unrunnable", State::Dead).await.pop().unwrap().body, malformed);
        stage.until_empty("unrunnable").await;
        worker.stop().await;
    }

    async fn arguments_of_another_type_or_too_few_are_dead_lettered_by_name(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "unrunnable", probe).await;
        for (args, reason) in [
            (r#"["x",true]"#, r#"argument 1 (`number`): invalid type: string "x", expected u32"#),
            ("[-1,true]", "argument 1 (`number`): invalid value: integer `-1`, expected u32"),
            ("[1,0]", "argument 2 (`flag`): invalid type: integer `0`, expected a boolean"),
            ("[1]", "argument 2 (`flag`) is missing"),
            (r#"{"number":1}"#, "`args` is not a JSON array"),
        ] {
            stage.put("unrunnable", by_hand("neighbour", "unrunnable", args)).await;
            assert_eq!(stage.dead_reason("unrunnable").await, reason);
            let dead_letter = stage.list("unrunnable", State::Dead).await.pop().unwrap();
            let body: Value = serde_json::from_slice(&dead_letter.body).unwrap();
            assert_eq!(body["attempt"], 0, "what never ran is no attempt");
            assert!(stage.inspect.delete(&name("unrunnable"), State::Dead, &dead_letter.handle).await.unwrap());
        }
        neighbour.send_with(&stage.broker, 3, false).await.unwrap();
        assert_eq!(reports.next().await, "3 false");
        worker.stop().await;
    }

    async fn an_unknown_actor_is_left_for_a_worker_that_has_it(stage: Stage) {
        let (probe, mut reports) = probe();
        let old = worker(&stage, "rolling", probe.clone()).await;
        stage.put("rolling", by_hand("late", "rolling", "[]")).await;
        early.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "early attempt 1 crashes 0 token 1", "it holds up nobody");
        let counts = stage.until("rolling", |counts| counts.scheduled == 1 && counts.in_flight == 0).await;
        assert_eq!(counts.dead, 0);
        old.stop().await;

        let builder = stage.worker("rolling").await.register::<Late>();
        let new = RunningWorker::start(builder.state(probe));
        let run = reports.next().await;
        assert!(run.starts_with("late attempt 1 crashes 0 token "), "being left counts nothing: {run}");
        assert!(!run.ends_with("token 1"), "{run}");
        stage.until_empty("rolling").await;
        new.stop().await;
    }

    async fn a_message_of_a_newer_version_is_left_for_a_newer_worker(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "unrunnable", probe).await;
        let newer = with_members("neighbour", "unrunnable", r#"{"by_name":{"number":1}}"#, r#""v":3,"attempt":"none""#);
        stage.put("unrunnable", newer.clone()).await;
        neighbour.send_with(&stage.broker, 1, true).await.unwrap();
        assert_eq!(reports.next().await, "1 true");
        let counts = stage.until("unrunnable", |counts| counts.scheduled == 1 && counts.in_flight == 0).await;
        assert_eq!(counts.dead, 0);
        let left = stage.list("unrunnable", State::Scheduled).await.pop().unwrap();
        assert_eq!(left.body, newer, "nobody changes what he cannot read");
        let wait = left.time.unwrap().duration_since(stage.broker.now()).unwrap();
        assert!((100..=300).contains(&wait.as_secs()), "it is tried again in {wait:?}");
        worker.stop().await;
    }

    async fn members_that_this_version_does_not_know_survive_a_retry(stage: Stage) {
        let (probe, _heard) = probe();
        let worker = worker(&stage, "postponed", probe).await;
        let own = r#""acme_tenant":{"id": 1.50, "path":["a", null]}"#;
        stage.put("postponed", with_members("postpones", "postponed", "[]", &format!(r#""v":1,{own}"#))).await;
        stage.until("postponed", |counts| counts.scheduled == 1).await;
        let retry = stage.list("postponed", State::Scheduled).await.pop().unwrap();
        let text = std::str::from_utf8(&retry.body).unwrap();
        assert!(text.contains(own), "{text}");
        let body: Value = serde_json::from_str(text).unwrap();
        assert_eq!((&body["attempt"], &body["last_error"]), (&1.into(), &"attempt 1".into()));
        worker.stop().await;
    }

    async fn random_bytes_are_all_dead_lettered_untouched(stage: Stage) {
        let (probe, mut reports) = probe();
        let builder = stage.worker("random").await;
        let worker = RunningWorker::start(builder.state(probe).state(Done::default()));
        let mut rng = Rng::with_seed(1);
        let entries: Vec<Bytes> = (0..RANDOM).map(|_| random(&mut rng)).collect();
        store(&stage, "random", &entries).await;
        survivor.send_with(&stage.broker, u32::MAX).await.unwrap();
        assert_eq!(reports.next().await, "still here");
        stage.until_empty("random").await;
        let mut expected = BTreeMap::new();
        for entry in entries {
            *expected.entry(entry).or_insert(0) += 1;
        }
        let mut dead_lettered = BTreeMap::new();
        for dead_letter in stage.list("random", State::Dead).await {
            assert!(dead_letter.reason.is_some_and(|reason| !reason.is_empty()));
            *dead_lettered.entry(dead_letter.body).or_insert(0) += 1;
        }
        assert!(dead_lettered == expected, "what was dead-lettered is not what was sent");
        worker.stop().await;
    }

    async fn a_damaged_message_is_done_dead_lettered_or_left_and_never_lost(stage: Stage) {
        let (probe, mut reports) = probe();
        let done = Done::default();
        let builder = stage.worker("random").await;
        let worker = RunningWorker::start(builder.state(probe).state(done.clone()));
        let mut rng = Rng::with_seed(2);
        let entries: Vec<Bytes> = (0..RANDOM).map(|_| damaged(&mut rng)).collect();
        store(&stage, "random", &entries).await;
        survivor.send_with(&stage.broker, u32::MAX).await.unwrap();
        assert_eq!(reports.next().await, "still here");
        let counts = stage.until("random", |counts| counts.ready == 0 && counts.in_flight == 0).await;
        let done = done.0.load(Ordering::Relaxed) - 1;
        assert_eq!(done + counts.dead + counts.scheduled, RANDOM as u64, "{done} done, {counts:?}");
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_message_from_plain_redis_cli_is_run() {
    let mut stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    let worker = worker(&stage, "video_processing", probe).await;
    // The documented command, verbatim.
    let document = include_str!("../../docs/wire-format.md");
    let command = document.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(command.starts_with("redis-cli XADD "), "{command}");
    stage.server().shell(command);
    assert_eq!(reports.next().await, "processed 5f0c2a1e-9a3b-4a52-8f0e-3a1b7a3f9a10");
    stage.until_empty("video_processing").await;
    worker.stop().await;
}

#[tokio::test]
async fn an_entry_of_any_other_shape_is_dead_lettered_and_holds_up_nobody() {
    let mut stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    let stream = "{actor:unrunnable}:ready:normal";
    neighbour.send_with(&stage.broker, 1, true).await.unwrap();
    stage.server().cli(&["XADD", stream, "*", "body", "what is this"]);
    stage.server().cli(&["XADD", stream, "*", "m", "not a message"]);
    stage.server().cli(&["XADD", stream, "*", "", ""]);
    let good = by_hand("neighbour", "unrunnable", "[2,false]");
    stage.server().cli(&["XADD", stream, "*", "from", "me", "m", &good]);
    neighbour.send_with(&stage.broker, 3, true).await.unwrap();
    let worker = worker(&stage, "unrunnable", probe).await;
    assert_eq!(reports.next_sorted(3).await, ["1 true", "2 false", "3 true"]);
    let counts = stage.until_empty("unrunnable").await;
    assert_eq!(counts.dead, 3);
    let texts: Vec<_> =
        stage.list("unrunnable", State::Dead).await.into_iter().map(|dead_letter| dead_letter.body).collect();
    for text in ["body what is this", "not a message"] {
        assert!(texts.iter().any(|dead_lettered| dead_lettered == text), "{text:?} is not among {texts:?}");
    }
    worker.stop().await;
}

async fn worker(stage: &Stage, queue: &str, probe: Probe) -> RunningWorker {
    RunningWorker::start(stage.worker(queue).await.state(probe))
}

async fn store(stage: &Stage, queue: &str, entries: &[Bytes]) {
    let enqueue = |body: &Bytes| Enqueue::new(MessageId::new(), Priority::Normal, body.clone());
    for answer in stage.broker.enqueue(&name(queue), entries.iter().map(enqueue).collect()).await {
        answer.unwrap();
    }
}

/// No message: random bytes, or bytes that resemble JSON.
fn random(rng: &mut Rng) -> Bytes {
    let length = rng.usize(0..200);
    if rng.bool() {
        return std::iter::repeat_with(|| rng.u8(..)).take(length).collect();
    }
    let like_json = br#"{}[]":,0123456789.-+eE\utfnrulsav "#;
    std::iter::repeat_with(|| like_json[rng.usize(..like_json.len())]).take(length).collect()
}

/// A valid message with a few bytes changed, removed or added.
fn damaged(rng: &mut Rng) -> Bytes {
    let mut bytes = by_hand("survivor", "random", "[12345]").into_bytes();
    for _ in 0..rng.usize(1..4) {
        if bytes.len() < 2 {
            break;
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(0..4) {
            0 => bytes[at] = rng.u8(..),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, rng.u8(b' '..0x7f)),
            _ => bytes.truncate(at + 1),
        }
    }
    bytes.into()
}
