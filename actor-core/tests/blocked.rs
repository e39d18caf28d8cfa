//! What a worker logs while async actors block every thread of its runtime.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Delivery, Wait};
use actor_core::{BrokerError, MemoryBroker, Worker, actor};
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use self::hooked::{Hooked, Hooks};

/// Only what hangs takes so long.
const HANGS: Duration = Duration::from_secs(30);

#[actor(queue = "blocks")]
async fn blocks(#[state] ran: &UnboundedSender<()>) {
    std::thread::sleep(Duration::from_secs(3));
    ran.send(()).unwrap();
}

/// Nobody sends it anything, so that its queue's claims are always under way.
#[actor(queue = "waits")]
async fn waits() {}

/// A broker in memory that must answer each claim within a second, as one behind a connection must.
#[derive(Debug, Default)]
struct Impatient(MemoryBroker);

#[async_trait]
impl Hooks for Impatient {
    fn memory(&self) -> &MemoryBroker {
        &self.0
    }

    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        let asked = std::time::Instant::now();
        let deliveries = self.0.claim(consumer, max, &Wait::new(wait.limit().min(Duration::from_millis(200)))).await?;
        if deliveries.is_empty() && asked.elapsed() > Duration::from_secs(1) {
            return Err(BrokerError::unknown("no answer came within 1 s"));
        }
        Ok(deliveries)
    }
}

/// Keeps what the library logs in any thread.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<(Level, String)>>>);

impl Logged {
    fn events(&self, text: &str) -> Vec<(Level, String)> {
        self.0.lock().unwrap().iter().filter(|(_, line)| line.contains(text)).cloned().collect()
    }

    async fn until(&self, text: &str) {
        let logged = timeout(HANGS, async {
            while self.events(text).is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        logged.await.unwrap_or_else(|_| panic!("{text:?} is not in {:?}", self.0.lock().unwrap()));
    }
}

impl Subscriber for Logged {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("actor_core")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

/// Its subscriber is the whole process's, so it is the only test here.
#[test]
fn a_runtime_that_actors_block_is_named_and_the_broker_is_not_blamed() {
    let logged = Logged::default();
    tracing::subscriber::set_global_default(logged.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = Arc::new(Hooked::<Impatient>::default());
        let (ran, mut runs) = unbounded_channel::<()>();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::builder(Arc::clone(&broker)).state(ran);
        // Not on a thread that the actors block.
        let (ended, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), async {
            logged.until("worker live").await;
            let mut sent = Vec::new();
            for _ in 0..4 {
                sent.push(blocks.send_with(&broker).await.unwrap());
            }
            logged.until("runtime blocked").await;
            logged.until("runtime runs again").await;
            logged.until("no answer while the runtime was blocked").await;
            for _ in 0..4 {
                timeout(HANGS, runs.recv()).await.unwrap().unwrap();
            }
            drop(stop);
            let (level, warning) = &logged.events("runtime blocked")[0];
            assert_eq!(*level, Level::WARN);
            let named = sent.iter().filter(|sent| warning.contains(&format!("blocks {}", sent.id()))).count();
            assert!((1..=2).contains(&named), "one on each thread at most: {warning}");
            assert!(warning.contains("plain `fn`") && warning.contains("spawn_blocking"), "{warning}");
        });
        ended.unwrap();
    });
    let blamed = logged.events("broker");
    assert!(blamed.iter().all(|(level, _)| *level == Level::DEBUG), "{blamed:?}");
}
