//! What a worker logs while async actors block every thread of its runtime.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;
mod terminal;

use std::sync::Arc;
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Delivery, Wait};
use actor_core::{BrokerError, MemoryBroker, Worker, actor};
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::Level;

use self::hooked::{Hooked, Hooks};
use self::terminal::Terminal;

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

/// Its subscriber is the whole process's, so it is the only test here.
#[test]
fn a_runtime_that_actors_block_is_named_and_the_broker_is_not_blamed() {
    let terminal = Terminal::default();
    tracing::subscriber::set_global_default(terminal.subscriber(Level::DEBUG)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = Arc::new(Hooked::<Impatient>::default());
        let (ran, mut runs) = unbounded_channel::<()>();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::builder(Arc::clone(&broker)).state(ran);
        // Not on a thread that the actors block.
        let (ended, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), async {
            terminal.until(1, "worker live").await;
            let mut sent = Vec::new();
            for _ in 0..4 {
                sent.push(blocks.send_with(&broker).await.unwrap());
            }
            terminal.until(1, "runtime blocked").await;
            terminal.until(1, "runtime runs again").await;
            terminal.until(1, "no answer while the runtime was blocked").await;
            for _ in 0..4 {
                timeout(HANGS, runs.recv()).await.unwrap().unwrap();
            }
            drop(stop);
            let warning = &terminal.lines("runtime blocked")[0];
            assert!(warning.contains("WARN"), "{warning}");
            let named = sent.iter().filter(|sent| warning.contains(&format!("blocks {}", sent.id()))).count();
            assert!((1..=2).contains(&named), "one on each thread at most: {warning}");
            assert!(warning.contains("plain `fn`") && warning.contains("spawn_blocking"), "{warning}");
        });
        ended.unwrap();
    });
    let blamed = terminal.lines("broker");
    assert!(blamed.iter().all(|line| line.contains("DEBUG")), "{blamed:?}");
}
