//! What users test their actors with.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod terminal;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use actor_core::broker::{Broker, Enqueue};
use actor_core::testing::{Drained, Sent, TestBroker, context};
use actor_core::{
    Actor, Context, Durability, Failure, Limit, MessageId, Priority, Queue, actor, assert_not_sent, assert_sent,
};

use self::terminal::Terminal;

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Default)]
struct Seen(Mutex<Vec<String>>);

impl Seen {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }
}

#[actor(queue = "a", max_retries = 5, min_backoff = "1ms", max_backoff = "1ms")]
async fn slow_to_fail(cx: &Context, times: u32) -> Result<(), String> {
    // Longer than any of its retries waits.
    tokio::time::sleep(Duration::from_millis(5)).await;
    if cx.attempt() <= times { Err(format!("attempt {}", cx.attempt())) } else { Ok(()) }
}

#[actor(queue = "b")]
async fn note(#[state] seen: &Seen, what: String) {
    seen.note(what);
}

#[actor(queue = "b")]
fn passes_on(what: &str) {
    tokio::runtime::Handle::current().block_on(note.send(what.to_owned())).unwrap();
}

#[actor(queue = "elsewhere")]
async fn declared_only(id: u128);

#[actor]
async fn weighed(weight: f32) {
    let _ = weight;
}

fn panics_with(assertion: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(assertion)).unwrap_err();
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| (*payload.downcast_ref::<&str>().unwrap()).to_owned())
}

#[tokio::test]
async fn a_durability_is_seen_and_the_message_runs() {
    let broker = TestBroker::new();
    note.message("it".to_owned()).durability(Durability::Synced).send_with(&broker).await.unwrap();
    note.send_with(&broker, "plain".to_owned()).await.unwrap();
    let sent: Vec<_> = broker.sent().iter().map(|sent| sent.durability).collect();
    assert_eq!(sent, [Some(Durability::Synced), None]);
    assert_eq!(broker.worker().state(Seen::default()).drain().await.done, 2);
}

#[tokio::test]
async fn a_body_is_called_with_the_context_of_a_first_attempt() {
    let cx = context(slow_to_fail);
    assert_eq!((cx.actor(), cx.queue().as_str()), ("slow_to_fail", "a"));
    assert_eq!((cx.attempt(), cx.crashes(), cx.fencing_token()), (1, 0, 1));
    assert!(cx.trace().is_none() && cx.cancellation().is_none());
    assert_eq!(slow_to_fail.call(&cx, 1).await, Err("attempt 1".to_owned()));
}

#[tokio::test]
async fn a_retry_waits_for_the_test_however_slow_the_actor_is() {
    let broker = TestBroker::new();
    let worker = broker.worker();
    slow_to_fail.send_with(&broker, 2).await.unwrap();
    let drained = worker.drain().await;
    assert_eq!((drained.done, drained.retried, drained.dead_lettered), (0, 1, 0));
    assert_eq!(drained.errors, ["slow_to_fail: attempt 1"]);
    let advanced = worker.advance(HOUR).await;
    assert_eq!((advanced.done, advanced.retried, advanced.dead_lettered), (1, 1, 0));
    assert_eq!(advanced.errors, ["slow_to_fail: attempt 2"]);
}

#[tokio::test]
async fn time_moves_on_as_far_as_the_test_says_and_what_is_due_runs_in_the_order_of_its_times() {
    let broker = TestBroker::new();
    let worker = broker.worker().state(Seen::default());
    for (what, hours) in [("third", 3), ("first", 1), ("second", 2)] {
        note.message(what.to_owned()).delay(HOUR * hours).send_with(&broker).await.unwrap();
    }
    note.message("at".to_owned()).at(SystemTime::now() + HOUR * 2).send_with(&broker).await.unwrap();
    assert_eq!(worker.drain().await.done, 0);
    assert_eq!(worker.advance(HOUR).await.done, 1);
    assert_eq!(worker.advance(HOUR + Duration::from_secs(1)).await.done, 2);
    // As long as there is any time.
    assert_eq!(worker.advance(Duration::MAX).await.done, 1);
    assert_eq!(worker.advance(Duration::MAX).await.done, 0);
}

#[tokio::test]
async fn what_could_not_run_says_why() {
    let broker = TestBroker::new();
    let worker = broker.worker();
    note.send_with(&broker, "x".to_owned()).await.unwrap();
    declared_only.send_with(&broker, u128::MAX).await.unwrap();
    let drained = worker.drain().await;
    assert_eq!((drained.done, drained.retried, drained.dead_lettered), (0, 1, 1));
    let [state, nobody] = &drained.errors[..] else { panic!("{:?}", drained.errors) };
    assert_eq!(state, "note: the worker lacks the state `testing::Seen`: give it with `.state(..)`");
    assert_eq!(
        nobody,
        "declared_only: left for a worker that can run it: no actor of this name is implemented here, with all its states"
    );
}

#[tokio::test]
async fn what_a_sync_actor_sends_goes_to_its_tests_broker() {
    let broker = TestBroker::new();
    let _installed = broker.install();
    passes_on.send("word").await.unwrap();
    let drained = broker.worker().state(Seen::default()).drain().await;
    assert_eq!((drained.done, drained.errors), (2, Vec::new()));
    assert_sent!(note, ("word".to_owned(),));
}

#[tokio::test]
async fn an_assertion_compares_what_is_sent_and_shows_it_when_it_fails() {
    assert!(panics_with(|| assert_not_sent!(note)).starts_with("no broker is installed for this test: "));
    let _installed = TestBroker::new().install();
    let nothing = panics_with(|| drop(assert_sent!(weighed, (0.1,))));
    assert_eq!(nothing, "weighed [0.1] was not sent; what was sent: nothing");
    weighed.send(0.1).await.unwrap();
    declared_only.message(u128::MAX).delay(HOUR).send().await.unwrap();
    assert_sent!(weighed, (0.1,));
    assert_eq!(assert_sent!(declared_only, (u128::MAX,)).delay, HOUR);
    assert_not_sent!(note);
    let other = panics_with(|| drop(assert_sent!(weighed, (0.2,))));
    assert!(
        other.starts_with("weighed [0.2] was not sent; what was sent:\n  weighed [0.1]\n  declared_only ["),
        "{other}"
    );
    let sent = panics_with(|| assert_not_sent!(weighed));
    assert!(sent.starts_with("weighed was sent:\n  weighed [0.1]"), "{sent}");
}

#[tokio::test]
async fn a_guard_that_another_replaces_takes_its_own_broker_away() {
    let (first, second) = (TestBroker::new(), TestBroker::new());
    let mut guard = first.install();
    drop(std::mem::replace(&mut guard, second.install()));
    note.send("for the second".to_owned()).await.unwrap();
    assert_eq!((first.sent().len(), second.sent().len()), (0, 1));
    drop(guard);
}

#[tokio::test]
async fn no_log_holds_an_argument_that_could_not_be_decoded() {
    let terminal = Terminal::default();
    let _here = tracing::subscriber::set_default(terminal.subscriber(tracing::Level::TRACE));
    let broker = TestBroker::new();
    let id = MessageId::new();
    let body = format!(r#"{{"v":1,"id":"{id}","actor":"slow_to_fail","queue":"a","args":["4111111111111111"]}}"#);
    let message = Enqueue::new(id, Priority::Normal, body.into());
    broker.enqueue(&slow_to_fail::DEF.queue_name(), vec![message]).await.remove(0).unwrap();
    let drained = broker.worker().state(Seen::default()).drain().await;
    assert_eq!(drained.dead_lettered, 1);
    let text = terminal.lines("").join("\n");
    assert!(text.contains("message dead-lettered") && !text.contains("4111"), "{text}");
}

#[actor(queue = "sync", time_limit = "1h")]
fn takes_its_time(cx: &Context, #[state] seen: &Seen) {
    std::thread::sleep(Duration::from_millis(50));
    seen.note(format!("{:?}", cx.cancellation()));
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_does_not_run_ahead_of_a_sync_actor() {
    let broker = TestBroker::new();
    takes_its_time.send_with(&broker).await.unwrap();
    let worker = broker.worker().state(Seen::default());
    let before = tokio::time::Instant::now();
    assert_eq!(worker.drain().await.done, 1);
    assert_eq!(before.elapsed(), Duration::ZERO, "its time limit was over at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_send_on_another_thread_than_the_tests_says_why_no_broker_is_installed() {
    let broker = TestBroker::new();
    let _installed = broker.install();
    let error = tokio::spawn(async { note.send("spawned".to_owned()).await }).await.unwrap().unwrap_err();
    assert!(error.is_not_installed());
    let text = error.to_string();
    assert!(
        text.contains("a `TestBroker` is installed on another") && text.contains("`send_with(&broker, ..)`"),
        "{text}"
    );
}

static CALLS: Queue =
    Queue::new("calls").rate(1, HOUR).per_key(Limit::new().concurrency(1).rate(1, Duration::from_secs(6 * 3_600)));

#[actor(queue = CALLS, key = tenant)]
async fn call(tenant: &str, #[state] seen: &Seen) {
    seen.note(tenant);
}

#[actor(queue = CALLS, key = "third party", cost = 2)]
async fn call_elsewhere(cx: &Context) -> Result<(), Failure> {
    if FULL.swap(false, Ordering::Relaxed) {
        return Err(Failure::rate_limited(HOUR * 12));
    }
    assert_eq!(cx.attempt(), 1, "what a limit refuses is no attempt");
    Ok(())
}

/// Whether the third party refuses the next call.
static FULL: AtomicBool = AtomicBool::new(true);

#[tokio::test]
async fn a_key_and_a_cost_are_seen() {
    let _installed = TestBroker::new().install();
    call.send("acme").await.unwrap();
    call.message("umbrella").key("other").cost(7).send().await.unwrap();
    note.message("it".to_owned()).key(5).send().await.unwrap();
    weighed.send(0.5).await.unwrap();
    let seen = |sent: &Sent| (sent.key.clone(), sent.cost);
    assert_eq!(seen(&assert_sent!(call, ("acme".to_owned(),))), (Some("acme".to_owned()), 1));
    let umbrella = assert_sent!(call, ("umbrella".to_owned(),));
    assert_eq!(seen(&umbrella), (Some("other".to_owned()), 7));
    assert_eq!(umbrella.to_string(), r#"call ["umbrella"] (key "other")"#);
    assert_eq!(seen(&assert_sent!(note, ("it".to_owned(),))), (Some("5".to_owned()), 0));
    assert_eq!(seen(&assert_sent!(weighed, (0.5,))), (None, 0));
}

#[tokio::test]
async fn what_waits_for_a_rate_runs_at_its_time() {
    let broker = TestBroker::new();
    let worker = broker.worker().state(Seen::default());
    for tenant in ["acme", "acme", "umbrella", "acme"] {
        call.send_with(&broker, tenant).await.unwrap();
    }
    assert_eq!(worker.drain().await.done, 1);
    assert_eq!(worker.drain().await.done, 0);
    assert_eq!(worker.advance(HOUR / 2).await.done, 0);
    assert_eq!(worker.advance(HOUR / 2).await.done, 1, "another key's, as soon as the queue's rate allows it");
    assert_eq!(worker.advance(HOUR * 4).await.done, 0);
    assert_eq!(worker.advance(HOUR).await.done, 1);
    assert_eq!(worker.advance(HOUR * 5).await.done, 0);
    assert_eq!(worker.advance(HOUR).await.done, 1);
}

#[tokio::test]
async fn what_a_limit_elsewhere_refuses_is_first_afterwards_and_spends_no_attempt() {
    let broker = TestBroker::new();
    let worker = broker.worker();
    call_elsewhere.send_with(&broker).await.unwrap();
    let refused = worker.drain().await;
    assert_eq!((refused.limited, refused.retried, refused.done), (1, 0, 0));
    assert_eq!(worker.advance(HOUR * 11).await, Drained::default());
    assert_eq!(worker.advance(HOUR).await.done, 1);
}

#[actor(queue = "orders", max_retries = 1)]
async fn order(cx: &Context) -> Result<(), Failure> {
    note.message("charged".to_owned()).send_after(cx)?;
    if cx.attempt() == 1 { Err("not yet".into()) } else { Ok(()) }
}

#[tokio::test]
async fn what_follows_from_a_run_is_seen_once_the_run_counts_and_runs() {
    let broker = TestBroker::new();
    let _installed = broker.install();
    let worker = broker.worker().state(Seen::default());
    order.send().await.unwrap();
    worker.drain().await;
    assert_not_sent!(note);
    assert_eq!(worker.advance(HOUR).await.done, 2);
    assert_sent!(note, ("charged".to_owned(),));
}
