//! What a worker logs, as it stands in a terminal.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod terminal;

use std::time::Duration;

use actor_core::{Failure, MemoryBroker, Worker, actor};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Level};

use self::terminal::Terminal;

/// Only what hangs takes so long.
const HANGS: Duration = Duration::from_secs(30);

#[actor(queue = "fails", max_retries = 1, min_backoff = "1ms", max_backoff = "1ms")]
async fn fails() -> Result<(), String> {
    Err("the bank is closed".to_owned())
}

#[actor(queue = "forbids")]
async fn forbids() -> Result<(), Failure> {
    Err(Failure::do_not_retry("the card is stolen"))
}

#[actor(queue = "ends", max_age = "1ms")]
async fn expires() {}

#[actor(queue = "ends")]
async fn succeeds() {}

#[actor(queue = "held")]
async fn held(#[state] began: &UnboundedSender<()>) {
    began.send(()).unwrap();
    std::future::pending::<()>().await;
}

/// Runs a worker of one queue on this thread, beside a test.
async fn logs(level: Level, queue: &str, test: impl AsyncFnOnce(&MemoryBroker, &Terminal)) -> Terminal {
    // With a single subscriber, tracing asks whatever thread first comes by whether anybody listens there.
    let _second = Dispatch::new(NoSubscriber::new());
    let terminal = Terminal::default();
    let _listening = tracing::subscriber::set_default(terminal.subscriber(level));
    let broker = MemoryBroker::new();
    let (stop, stopped) = oneshot::channel::<()>();
    let (began, mut begins) = unbounded_channel::<()>();
    let worker = Worker::builder(broker.clone()).queues([queue]).state(began);
    let worker = worker.shutdown_timeout(Duration::from_millis(300));
    let (ended, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), async {
        test(&broker, &terminal).await;
        if queue == "held" {
            timeout(HANGS, begins.recv()).await.unwrap();
        }
        drop(stop);
    });
    ended.unwrap();
    terminal
}

#[tokio::test]
async fn where_the_span_is_filtered_out_warnings_name_the_message_and_how_often_it_was_tried() {
    logs(Level::WARN, "fails", async |broker, terminal| {
        let id = fails.send_with(broker).await.unwrap().id();
        let dead = &terminal.until(1, "message dead-lettered").await[0];
        let failed = &terminal.lines("message failed, will be retried")[0];
        for (line, attempt) in [(failed, "attempt=1 of=2"), (dead, "attempt=2 of=2")] {
            for part in ["queue=fails", "actor=\"fails\"", &format!("id={id}"), attempt, "the bank is closed"] {
                assert!(line.contains(part), "{part} is not in {line}");
            }
        }
        assert!(failed.contains("WARN") && failed.contains(" after="), "{failed}");
        assert!(dead.contains("ERROR") && dead.contains("why=\"its retries are spent\""), "{dead}");
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_says_why_there_is_no_other_attempt() {
    logs(Level::ERROR, "forbids", async |broker, terminal| {
        forbids.send_with(broker).await.unwrap();
        let dead = &terminal.until(1, "message dead-lettered").await[0];
        assert!(dead.contains("attempt=1 of=21 why=\"its error forbids a retry\""), "{dead}");
    })
    .await;
}

#[tokio::test]
async fn in_its_span_an_event_repeats_no_field_and_the_end_of_a_run_has_its_duration() {
    logs(Level::DEBUG, "ends", async |broker, terminal| {
        let late = expires.message().delay(Duration::from_millis(20)).send_with(broker).await.unwrap().id();
        let done = succeeds.send_with(broker).await.unwrap().id();
        for (id, text) in [(late, "why=\"it expired\""), (done, "message done duration=")] {
            let line = &terminal.until(1, text).await[0];
            assert_eq!(line.matches(&id.to_string()).count(), 1, "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_fails_a_hundred_times_is_logged_ten_times_and_summed_up() {
    let terminal = logs(Level::WARN, "forbids", async |broker, _| {
        for _ in 0..100 {
            forbids.send_with(broker).await.unwrap();
        }
        use actor_core::Inspect;
        let queue = "forbids".parse().unwrap();
        while broker.counts(&queue).await.unwrap().dead < 100 {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert_eq!(terminal.lines("message dead-lettered").len(), 10);
    let sum = &terminal.lines("more messages dead-lettered")[0];
    assert!(sum.contains("ERROR") && sum.contains("actor=\"forbids\" count=90"), "{sum}");
}

#[tokio::test]
async fn a_worker_names_what_it_does_not_serve_and_for_what_it_waits_when_it_stops() {
    let terminal = logs(Level::INFO, "held", async |broker, _| {
        held.send_with(broker).await.unwrap();
    })
    .await;
    let not_served = terminal.lines("actors not served");
    assert_eq!(not_served.len(), 1, "{not_served:?}");
    let queues = r#"queues={"ends": {"expires", "succeeds"}, "fails": {"fails"}, "forbids": {"forbids"}}"#;
    assert!(not_served[0].contains(queues), "{not_served:?}");
    let stopping = &terminal.lines("worker stopping")[0];
    assert!(stopping.contains("runs=1 at_most=300ms"), "{stopping}");
}
