#![allow(clippy::print_stdout)] // The output of a process shows how far it is.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::on_every_broker;
use crate::support::probe::{Dropped, within};
use crate::support::stage::name;
use crate::support::worker::LEASE;
use crate::support::{Gate, Probe, RunningWorker, Stage, probe};
use actor_core::inspect::State;
use actor_core::layer::{Next, RunError, from_fn};
use actor_core::{BatchContext, Context, Failure, Worker, actor};
use actor_redis::RedisBroker;

/// Sorted, since messages that are sent at one moment have no order.
fn sorted(mut items: Vec<String>) -> String {
    items.sort();
    items.join(" ")
}

#[actor(queue = "gathers", batch(max = 3, wait = "1h"))]
async fn gathers(items: Vec<String>, #[state] probe: &Probe) {
    probe.report(items.join(" "));
}

#[actor(queue = "waits", batch(max = 1000, wait = "50ms"))]
async fn waits(items: Vec<u32>, #[state] probe: &Probe) {
    probe.report(items.len().to_string());
}

#[actor(queue = "on_a_thread", batch(max = 2, wait = "1h"))]
fn on_a_thread(cx: &BatchContext, items: Vec<(u32, String)>, #[state] probe: &Probe) -> Result<(), String> {
    let texts: Vec<String> = items.into_iter().map(|(number, text)| format!("{number}{text}")).collect();
    probe.report(format!("{} of {}: {}", cx.items().len(), cx.queue(), sorted(texts)));
    Ok(())
}

#[actor(queue = "each", max_retries = 1, min_backoff = "1ms", max_backoff = "1ms", batch(max = 4, wait = "100ms"))]
async fn each(cx: &BatchContext, items: Vec<String>, #[state] probe: &Probe) -> Vec<Result<(), Failure>> {
    let end = |(item, cx): (String, &Context)| {
        probe.report(format!("{item} {}", cx.attempt()));
        match &*item {
            "never" => Err(Failure::do_not_retry("it is gone")),
            "twice" if cx.attempt() == 1 => Err("once more".into()),
            "always" => Err("no luck".into()),
            _ => Ok(()),
        }
    };
    items.into_iter().zip(cx.items()).map(end).collect()
}

#[actor(queue = "all", max_retries = 0, time_limit = "20ms", batch(max = 2, wait = "1h"))]
async fn all(items: Vec<String>) -> Result<Vec<Result<(), String>>, String> {
    match &*items[0] {
        "fails" => Err("it is away".to_owned()),
        "panics" => panic!("at the disco"),
        "hangs" => std::future::pending().await,
        _ => Ok(vec![Ok(()); 3]),
    }
}

#[actor(queue = "alone", max_retries = 1, min_backoff = "1ms", max_backoff = "1ms", batch(max = 2, wait = "100ms"))]
async fn alone(items: Vec<String>, #[state] probe: &Probe) {
    probe.report(items.len().to_string());
    assert!(!items.iter().any(|item| item == "panics"), "at the disco");
}

#[actor(queue = "odd", batch(max = 2, wait = "1h"))]
async fn odd(items: Vec<u8>, #[state] probe: &Probe) {
    probe.report(format!("{items:?}"));
}

#[actor(queue = "keyed", batch(max = 2, wait = "1h"))]
async fn keyed(cx: &BatchContext, items: Vec<String>, #[state] probe: &Probe) {
    probe.report(format!("{}: {}", cx.key().unwrap_or("none"), sorted(items)));
}

#[actor(queue = "stops", batch(max = 2, wait = "1h"))]
async fn stops(items: Vec<u32>, #[state] probe: &Probe) {
    let _dropped = Dropped(probe.clone());
    probe.report(format!("{items:?}"));
    std::future::pending::<()>().await;
}

#[actor(queue = "mixed", batch(max = 100, wait = "1h"))]
async fn gathers_beside(items: Vec<u32>, #[state] probe: &Probe) {
    probe.report(format!("{} at once", items.len()));
}

#[actor(queue = "mixed")]
async fn runs_beside(#[state] gate: &Gate, #[state] probe: &Probe) {
    probe.report("one");
    gate.pass().await;
}

#[actor(queue = "surrounded_batch", max_retries = 0, batch(max = 3, wait = "1h"))]
async fn surrounded_batch(items: Vec<u32>) -> Vec<Result<(), String>> {
    items.into_iter().map(|item| if item == 1 { Err(format!("{item} is odd")) } else { Ok(()) }).collect()
}

async fn worker(stage: &Stage, queue: &str, probe: &Probe) -> RunningWorker {
    RunningWorker::start(stage.worker(queue).await.state(probe.clone()))
}

on_every_broker! {
    async fn a_full_batch_runs_at_once_and_the_next_one_waits(stage: Stage) {
        let (probe, mut reports) = probe();
        for item in ["c", "b", "a"] {
            gathers.send_with(&stage.broker, item.to_owned()).await.unwrap();
        }
        let worker = worker(&stage, "gathers", &probe).await;
        assert_eq!(reports.next().await, "c b a", "they are in the order of their deliveries");
        gathers.send_with(&stage.broker, "d".to_owned()).await.unwrap();
        stage.until("gathers", |counts| counts.in_flight == 1 && counts.outstanding() == 1).await;
        for item in ["e", "f"] {
            gathers.send_with(&stage.broker, item.to_owned()).await.unwrap();
        }
        assert_eq!(reports.next().await, "d e f");
        stage.until_empty("gathers").await;
        worker.stop().await;
    }

    async fn a_batch_runs_after_its_wait_and_may_be_larger_than_the_concurrency(stage: Stage) {
        let (probe, mut reports) = probe();
        waits.send_many_with(&stage.broker, 0..300).await.unwrap();
        let worker = RunningWorker::start(stage.worker("waits").await.state(probe).concurrency(2));
        let mut taken = 0;
        while taken < 300 {
            let count: usize = reports.next().await.parse().unwrap();
            assert!(count > 2, "a batch of {count}");
            taken += count;
        }
        stage.until_empty("waits").await;
        worker.stop().await;
    }

    async fn a_sync_actor_takes_batches_on_its_thread(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "on_a_thread", &probe).await;
        for (number, text) in [(1, "a"), (2, "b")] {
            on_a_thread.message((number, text.to_owned())).send_with(&stage.broker).await.unwrap();
        }
        assert_eq!(reports.next().await, "2 of on_a_thread: 1a 2b");
        stage.until_empty("on_a_thread").await;
        worker.stop().await;
    }

    async fn each_message_of_a_batch_has_its_own_outcome_and_retries(stage: Stage) {
        let (probe, mut reports) = probe();
        each.send_many_with(&stage.broker, ["done", "never", "twice", "always"].map(str::to_owned)).await.unwrap();
        let worker = worker(&stage, "each", &probe).await;
        assert_eq!(reports.next_sorted(6).await, ["always 1", "always 2", "done 1", "never 1", "twice 1", "twice 2"]);
        let counts = stage.until_empty("each").await;
        assert_eq!(counts.dead, 2);
        let mut reasons: Vec<_> = stage.list("each", State::Dead).await.into_iter().filter_map(|dead| dead.reason).collect();
        reasons.sort();
        assert_eq!(reasons, ["it is gone", "no luck"]);
        worker.stop().await;
        assert_eq!(reports.rest(), [""; 0]);
    }

    async fn one_outcome_is_that_of_every_message(stage: Stage) {
        let (probe, _reports) = probe();
        let worker = worker(&stage, "all", &probe).await;
        for (how, why) in [
            ("fails", "it is away"),
            ("panics", "the actor panicked: at the disco"),
            ("hangs", "the actor took longer than its time limit of 20ms"),
            ("miscounts", "the actor returned 3 results for a batch of 2 messages, so that none of them counts"),
        ] {
            all.send_many_with(&stage.broker, [how.to_owned(), how.to_owned()]).await.unwrap();
            stage.until("all", |counts| counts.dead == 2 && counts.outstanding() == 0).await;
            for dead in stage.list("all", State::Dead).await {
                let reason = dead.reason.unwrap();
                assert!(reason.starts_with(why), "{how}: {reason}");
            }
            stage.inspect.purge(&name("all"), State::Dead).await.unwrap();
        }
        worker.stop().await;
    }

    async fn a_message_is_not_dead_lettered_for_its_neighbours_panic(stage: Stage) {
        let (probe, mut reports) = probe();
        alone.send_many_with(&stage.broker, ["fine", "panics"].map(str::to_owned)).await.unwrap();
        let worker = worker(&stage, "alone", &probe).await;
        assert_eq!(reports.next_sorted(3).await, ["1", "1", "2"]);
        let reason = stage.dead_reason("alone").await;
        assert!(reason.starts_with("the actor panicked: at the disco"), "{reason}");
        stage.until_empty("alone").await;
        worker.stop().await;
    }

    async fn what_cannot_run_enters_no_batch(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = worker(&stage, "odd", &probe).await;
        let args = r#""args":[300]"#;
        let id = actor_core::MessageId::new();
        stage.put("odd", format!(r#"{{"v":1,"id":"{id}","actor":"odd","queue":"odd",{args}}}"#)).await;
        odd.message(1).expires_in(Duration::ZERO).send_with(&stage.broker).await.unwrap();
        odd.send_with(&stage.broker, 7).await.unwrap();
        stage.until("odd", |counts| counts.dead == 2 && counts.in_flight == 1).await;
        assert_eq!(reports.rest(), [""; 0]);
        odd.send_with(&stage.broker, 8).await.unwrap();
        let took = reports.next().await;
        assert!(["[7, 8]", "[8, 7]"].contains(&&*took), "{took}");
        stage.until_empty("odd").await;
        worker.stop().await;
    }

    async fn messages_of_one_key_go_together(stage: Stage) {
        let (probe, mut reports) = probe();
        for (key, item) in [("a", "1"), ("b", "2"), ("a", "3"), ("b", "4")] {
            let id = actor_core::MessageId::new();
            let message = format!(r#"{{"v":1,"id":"{id}","actor":"keyed","queue":"keyed","args":["{item}"],"key":"{key}"}}"#);
            stage.put("keyed", message).await;
        }
        keyed.send_many_with(&stage.broker, ["5", "6"].map(str::to_owned)).await.unwrap();
        let worker = worker(&stage, "keyed", &probe).await;
        assert_eq!(reports.next_sorted(3).await, ["a: 1 3", "b: 2 4", "none: 5 6"]);
        stage.until_empty("keyed").await;
        worker.stop().await;
    }

    async fn a_stopping_worker_releases_what_waits_and_what_it_drops(stage: Stage) {
        let (probe, mut reports) = probe();
        let builder = stage.worker("stops").await.state(probe.clone()).shutdown_timeout(Duration::ZERO);
        let stopping = RunningWorker::for_ever(builder);
        stops.send_many_with(&stage.broker, 0..3).await.unwrap();
        reports.next().await;
        stage.until("stops", |counts| counts.in_flight == 3).await;
        stopping.stop().await;
        assert_eq!(reports.next().await, "dropped");
        let counts = stage.counts("stops").await;
        assert_eq!((counts.in_flight, counts.ready), (0, 3));
        for waiting in stage.list("stops", State::Ready).await {
            let message = waiting.message().unwrap();
            assert_eq!((message.attempts, message.crashes), (0, 0));
        }
    }

    async fn a_batch_that_waits_keeps_no_slot_from_others(stage: Stage) {
        let ((probe, mut reports), gate) = (probe(), Gate::closed());
        let builder = stage.worker("mixed").await.state(probe.clone()).state(gate.clone()).concurrency(2);
        let worker = RunningWorker::start(builder);
        gathers_beside.send_many_with(&stage.broker, 0..50).await.unwrap();
        stage.until("mixed", |counts| counts.in_flight == 50).await;
        for _ in 0..2 {
            runs_beside.send_with(&stage.broker).await.unwrap();
            assert_eq!(reports.next().await, "one");
        }
        gate.open();
        gathers_beside.send_many_with(&stage.broker, 50..100).await.unwrap();
        assert_eq!(reports.next().await, "100 at once");
        stage.until_empty("mixed").await;
        worker.stop().await;
    }

    async fn a_layer_surrounds_a_batch_once_and_sees_its_failures(stage: Stage) {
        let (probe, mut reports) = probe();
        let seen = probe.clone();
        let layer = from_fn(move |cx: Context, next: Next| {
            let probe = seen.clone();
            async move {
                let result = next.run().await;
                let headers: Vec<_> = cx.headers().map(|(name, _)| name.to_owned()).collect();
                let of = cx.batch().map(|batch| batch.items().len());
                let failed = match &result {
                    Err(RunError::Batch(error)) => error.failed(),
                    _ => 0,
                };
                probe.report(format!("{of:?}, {failed} failed, headers {headers:?}"));
                result
            }
        });
        for (item, tenant) in [(1, "a"), (2, "b"), (4, "a")] {
            let message = surrounded_batch.message(item).header("tenant", tenant).header("region", "eu");
            message.send_with(&stage.broker).await.unwrap();
        }
        let worker = RunningWorker::start(stage.worker("surrounded_batch").await.layer(layer));
        assert_eq!(reports.next().await, r#"Some(3), 1 failed, headers ["region"]"#);
        assert_eq!(stage.dead_reason("surrounded_batch").await, "1 is odd");
        stage.until_empty("surrounded_batch").await;
        worker.stop().await;
    }
}

/// Makes a test the process of a worker, and names its Redis.
const REDIS: &str = "ACTOR_TEST_POISONED_WORKER";

const POISON: u32 = 13;

#[actor(queue = "poisoned_batch", batch(max = 100, wait = "100ms"))]
async fn poisoned_batch(items: Vec<u32>) {
    if items.contains(&POISON) {
        println!("aborts with {}", items.len());
        std::process::abort();
    }
    for item in items {
        println!("done {item}");
    }
}

/// The process of the next test; run directly, it does nothing.
#[tokio::test]
async fn a_worker_that_aborts_with_a_poison_message() {
    let Ok(url) = std::env::var(REDIS) else { return };
    let broker = RedisBroker::connect(&url).await.unwrap();
    let builder = Worker::builder(broker).queues(["poisoned_batch"]).concurrency(4).lease(LEASE);
    // Its parent kills it, or its standard input ends with its parent.
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    builder.run_until(async { drop(ended.await) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_poison_message_in_a_batch_is_dead_lettered_alone_and_its_neighbours_are_done() {
    let mut stage = Stage::redis().await;
    poisoned_batch.send_many_with(&stage.broker, 0..40).await.unwrap();
    let (mut done, mut batches) = (BTreeSet::new(), Vec::new());
    let left = loop {
        let mut worker = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "batches::a_worker_that_aborts_with_a_poison_message"])
            .env(REDIS, stage.server().url())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(worker.stdout.take().unwrap()).lines();
        let output = tokio::task::spawn_blocking(|| lines.map_while(Result::ok).collect::<Vec<_>>());
        let status = within(async {
            loop {
                if let Some(status) = worker.try_wait().unwrap() {
                    return Some(status);
                }
                if stage.counts("poisoned_batch").await.outstanding() == 0 {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let status = status.await;
        drop(worker.stdin.take());
        for line in output.await.unwrap() {
            // The test's own first output may stand before it.
            if let Some((_, item)) = line.split_once("done ") {
                done.insert(item.parse::<u32>().unwrap());
            } else if let Some((_, size)) = line.split_once("aborts with ") {
                batches.push(size.to_owned());
            }
        }
        worker.wait().unwrap();
        match status {
            Some(status) => assert!(!status.success(), "it aborts, or has more to do"),
            None => break stage.list("poisoned_batch", State::Dead).await,
        }
    };
    assert_eq!(batches, ["40", "1", "1"], "with how many the poison ran");
    assert_eq!(done, (0..40).filter(|item| *item != POISON).collect());
    let [dead] = &left[..] else { panic!("{} dead letters", left.len()) };
    assert_eq!(dead.reason.as_deref(), Some("the worker died 3 times while it held this message"));
    assert_eq!(dead.message().unwrap().args, format!("[{POISON}]"));
}
