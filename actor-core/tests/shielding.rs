//! What panics or is missing around a run, where neither the worker nor the message may suffer.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actor_core::{Actor, Context, Inspect, MemoryBroker, Worker, actor};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Event, Metadata, Subscriber};

use self::hooked::{Hooked, Hooks};

/// Only what hangs takes so long.
const HANGS: Duration = Duration::from_secs(30);

#[actor(queue = "twice", max_retries = 5, min_backoff = "1ms", max_backoff = "1ms")]
async fn twice(cx: &Context, #[state] attempts: &UnboundedSender<u32>) -> Result<(), String> {
    tokio::task::yield_now().await;
    attempts.send(cx.attempt()).unwrap();
    if cx.attempt() < 2 { Err("not yet".to_owned()) } else { Ok(()) }
}

/// A subscriber that panics once, at one place of a run.
struct Panics {
    at: &'static str,
    armed: Arc<AtomicBool>,
}

impl Panics {
    fn pass(&self, place: &str) {
        assert!(place != self.at || !self.armed.swap(false, Ordering::Relaxed), "the subscriber panics");
    }
}

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["executor", "report"].iter().any(|file| metadata.target().ends_with(file))
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.pass("new_span");
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.pass("event");
    }

    fn enter(&self, _: &Id) {
        self.pass("enter");
    }

    fn exit(&self, _: &Id) {
        self.pass("exit");
    }

    fn try_close(&self, _: Id) -> bool {
        self.pass("try_close");
        true
    }
}

#[tokio::test]
async fn a_subscriber_that_panics_keeps_no_message_from_its_end() {
    // With a single subscriber, tracing asks whatever thread first comes by whether anybody listens there.
    let _second = Dispatch::new(NoSubscriber::new());
    for at in ["new_span", "event", "enter", "exit", "try_close"] {
        let armed = Arc::new(AtomicBool::new(true));
        let _listening = tracing::subscriber::set_default(Panics { at, armed: Arc::clone(&armed) });
        let broker = MemoryBroker::new();
        let (attempts, mut attempted) = unbounded_channel::<u32>();
        let (stop, stopped) = oneshot::channel::<()>();
        let queue = twice::DEF.queue_name();
        let worker = Worker::builder(broker.clone()).queues([queue.clone()]).state(attempts);
        let (ended, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), async {
            twice.send_with(&broker).await.unwrap();
            loop {
                let attempt = timeout(HANGS, attempted.recv()).await;
                match attempt.unwrap_or_else(|_| panic!("{at}: it is not tried again")) {
                    Some(attempt) if attempt < 2 => {}
                    Some(_) => break,
                    None => panic!("{at}: the worker is gone"),
                }
            }
            drop(stop);
        });
        ended.unwrap();
        assert!(!armed.load(Ordering::Relaxed), "{at} was never reached");
        let left = broker.counts(&queue).await.unwrap();
        assert_eq!((left.ready, left.in_flight, left.scheduled, left.dead), (0, 0, 0, 0), "{at}");
    }
}

/// A broker in memory that panics once, where it is called so.
#[derive(Debug)]
struct Panicking {
    memory: MemoryBroker,
    at: &'static str,
    armed: AtomicBool,
}

impl Hooks for Panicking {
    fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    fn pass(&self, call: &str) {
        assert!(call != self.at || !self.armed.swap(false, Ordering::Relaxed), "the broker panics");
    }
}

#[actor(queue = "once")]
async fn once(#[state] ran: &UnboundedSender<()>) {
    ran.send(()).unwrap();
}

#[tokio::test]
async fn a_broker_that_panics_is_asked_again() {
    for at in ["register", "claim", "settle", "deregister"] {
        let broker = Arc::new(Hooked(Panicking { memory: MemoryBroker::new(), at, armed: AtomicBool::new(true) }));
        let (ran, mut runs) = unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let queue = once::DEF.queue_name();
        let worker = Worker::builder(Arc::clone(&broker)).queues([queue.clone()]).state::<UnboundedSender<()>>(ran);
        let (ended, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), async {
            once.send_with(&broker).await.unwrap();
            timeout(HANGS, runs.recv()).await.unwrap_or_else(|_| panic!("{at}: nothing runs")).unwrap();
            drop(stop);
        });
        ended.unwrap();
        assert!(!broker.armed.load(Ordering::Relaxed), "{at} was never called");
        let left = broker.memory.counts(&queue).await.unwrap();
        assert_eq!((left.ready, left.in_flight, left.scheduled, left.dead), (0, 0, 0, 0), "{at}");
    }
}

#[actor(queue = "idle")]
async fn idle() {}

#[test]
fn a_worker_that_gets_no_thread_for_its_heartbeat_says_so() {
    const HERE: &str = "WITHOUT_THREADS";
    if std::env::var_os(HERE).is_none() {
        // More stack than any machine has, asked for by every thread but the first.
        let this = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_worker_that_gets_no_thread_for_its_heartbeat_says_so", "--test-threads=1"])
            .envs([(HERE, "1"), ("RUST_MIN_STACK", "1000000000000000")])
            .output()
            .unwrap();
        assert!(this.status.success(), "{}", String::from_utf8_lossy(&this.stderr));
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let worker = Worker::builder(MemoryBroker::new()).queues([idle::DEF.queue_name()]);
    let error = runtime.block_on(worker.run_until(std::future::pending())).unwrap_err();
    assert!(error.to_string().contains("heartbeat"), "{error}");
}
