use std::time::{Duration, Instant};

use actor_core::layer::{Next, RunError, from_fn};
use actor_core::{Context, Failure, actor};

use crate::on_every_broker;
use crate::support::{Probe, RunningWorker, Stage, probe};

#[actor(queue = "carries", max_retries = 1, min_backoff = "1ms", max_backoff = "1ms")]
async fn carries(cx: &Context, #[state] probe: &Probe) -> Result<(), String> {
    let tenant = cx.header("tenant").unwrap_or("none");
    probe.report(format!("{tenant}, of {} headers, last: {}", cx.headers().count(), cx.is_last_attempt()));
    if cx.is_last_attempt() { Ok(()) } else { Err("once more".to_owned()) }
}

#[actor(queue = "sends")]
async fn sends(cx: &Context) {
    assert!(cx.deadline().is_some_and(|deadline| deadline > Instant::now()));
    receives.send("an async actor".to_owned()).await.unwrap();
    // A spawned task belongs to no run.
    assert!(tokio::spawn(receives.send("a task".to_owned())).await.unwrap().is_ok());
    let later = tokio::spawn(async { receives.send("nobody".to_owned()).await });
    assert!(later.await.unwrap().unwrap_err().is_not_installed());
}

#[actor(queue = "sends")]
fn sends_from_a_thread() {
    receives.message("a sync actor".to_owned()).send_blocking().unwrap();
}

#[actor(queue = "sends")]
async fn receives(from: String, #[state] probe: &Probe) {
    probe.report(from);
}

tokio::task_local! {
    static SURROUNDED: &'static str;
}

#[actor(queue = "surrounded", max_retries = 0)]
async fn surrounded(how: String, #[state] probe: &Probe) -> Result<(), String> {
    probe.report(format!("within {}", SURROUNDED.get()));
    match how.as_str() {
        "fails" => Err("no luck".to_owned()),
        "panics" => panic!("at the disco"),
        _ => Ok(()),
    }
}

#[actor(queue = "surrounded", max_retries = 0)]
fn surrounded_on_a_thread(#[state] probe: &Probe) -> Result<(), String> {
    probe.report("on a thread");
    Err("no thread's luck".to_owned())
}

#[actor(queue = "changed", max_retries = 5)]
async fn changed() -> Result<(), String> {
    Err("it is gone".to_owned())
}

#[actor(queue = "hangs", max_retries = 0, time_limit = "1ms")]
async fn hangs() {}

async fn worker(stage: &Stage, queue: &str, probe: Probe) -> RunningWorker {
    RunningWorker::start(stage.worker(queue).await.state(probe))
}

on_every_broker! {
    async fn headers_go_through_every_attempt_and_are_listed(stage: Stage) {
        let (probe, mut reports) = probe();
        let message = carries.message().header("tenant", "none yet").header("tenant", "acme").header("a", "b");
        message.delay(Duration::from_secs(3_600)).send_with(&stage.broker).await.unwrap();
        let scheduled = stage.list("carries", actor_core::inspect::State::Scheduled).await;
        assert_eq!(scheduled[0].message().unwrap().header("tenant"), Some("acme"));
        let message = carries.message().header("tenant", "acme").header("a", "b");
        message.send_with(&stage.broker).await.unwrap();
        let worker = worker(&stage, "carries", probe).await;
        assert_eq!(reports.next().await, "acme, of 2 headers, last: false");
        assert_eq!(reports.next().await, "acme, of 2 headers, last: true");
        worker.stop().await;
    }

    async fn what_an_actor_sends_goes_through_its_workers_broker(stage: Stage) {
        let (probe, mut reports) = probe();
        sends.send_with(&stage.broker).await.unwrap();
        sends_from_a_thread.send_with(&stage.broker).await.unwrap();
        let worker = worker(&stage, "sends", probe).await;
        assert_eq!(reports.next_sorted(3).await, ["a sync actor", "a task", "an async actor"]);
        worker.stop().await;
        assert_eq!(stage.until_empty("sends").await.dead, 0);
    }

    async fn layers_surround_every_run_with_its_outcome_in_hand(stage: Stage) {
        let (probe, mut reports) = probe();
        let (outer, inner) = (probe.clone(), probe.clone());
        let outer = from_fn(move |_: Context, next: Next| {
            let probe = outer.clone();
            async move {
                let result = SURROUNDED.scope("the outer", next.run()).await;
                probe.report(match &result {
                    Ok(()) => "done".to_owned(),
                    Err(error) => error.to_string().chars().take(25).collect(),
                });
                result
            }
        });
        let inner = from_fn(move |cx: Context, next: Next| {
            inner.report(format!("attempt {} of {}", cx.attempt(), cx.actor()));
            next.run()
        });
        let worker = RunningWorker::start(stage.worker("surrounded").await.layer(outer).layer(inner).state(probe));
        for (how, end) in [("works", "done"), ("fails", "no luck"), ("panics", "the actor panicked: at the")] {
            surrounded.send_with(&stage.broker, how.to_owned()).await.unwrap();
            assert_eq!(reports.next().await, "attempt 1 of surrounded");
            assert_eq!(reports.next().await, "within the outer");
            assert_eq!(reports.next().await, end[..end.len().min(25)]);
        }
        surrounded_on_a_thread.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "attempt 1 of surrounded_on_a_thread");
        assert_eq!(reports.next().await, "on a thread");
        assert_eq!(reports.next().await, "no thread's luck");
        worker.stop().await;
        assert_eq!(stage.until_empty("surrounded").await.dead, 3);
    }

    async fn a_layer_may_change_the_outcome(stage: Stage) {
        let worker = stage.worker("changed").await.layer(from_fn(|_: Context, next: Next| async move {
            next.run().await.map_err(|error| RunError::Failed(Failure::do_not_retry(error)))
        }));
        let worker = RunningWorker::start(worker);
        changed.send_with(&stage.broker).await.unwrap();
        assert_eq!(stage.dead_reason("changed").await, "it is gone");
        worker.stop().await;
    }

    async fn a_layer_that_hangs_ends_with_its_worker(stage: Stage) {
        let (probe, mut reports) = probe();
        let worker = stage.worker("hangs").await.shutdown_timeout(Duration::ZERO);
        let worker = RunningWorker::start(worker.layer(from_fn(move |_: Context, next: Next| {
            let probe = probe.clone();
            async move {
                let result = next.run().await;
                probe.report("done");
                std::future::pending::<()>().await;
                result
            }
        })));
        hangs.send_with(&stage.broker).await.unwrap();
        assert_eq!(reports.next().await, "done");
        worker.stop().await;
        assert_eq!(stage.counts("hangs").await.ready, 1);
    }
}
