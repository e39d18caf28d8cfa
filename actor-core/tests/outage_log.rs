//! What a worker logs of a broker that cannot be reached by all of its parts.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;
mod terminal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Delivery, Wait};
use actor_core::{Actor, BrokerError, MemoryBroker, Worker, actor};
use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::sleep;

use self::hooked::{Hooked, Hooks};
use self::terminal::Terminal;

#[actor(queue = "reached")]
async fn reached() {}

#[actor(queue = "cut_off")]
async fn cut_off() {}

/// A broker in memory that one queue's claims cannot reach.
#[derive(Debug, Default)]
struct Half {
    memory: MemoryBroker,
    mended: AtomicBool,
    refuses: AtomicBool,
    claims: AtomicUsize,
}

#[async_trait]
impl Hooks for Half {
    fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        if consumer.queue.as_str() == "cut_off" {
            self.claims.fetch_add(1, Ordering::SeqCst);
            if self.refuses.load(Ordering::SeqCst) {
                return Err(BrokerError::refused("this user may not read"));
            }
            if !self.mended.load(Ordering::SeqCst) {
                return Err(BrokerError::unavailable("max number of clients reached"));
            }
        }
        // What waits for long says nothing meanwhile.
        self.memory.claim(consumer, max, &Wait::new(wait.limit().min(Duration::from_millis(20)))).await
    }
}

/// Its subscriber is the whole process's, so it is the only test here.
#[tokio::test]
async fn a_queue_that_cannot_be_reached_is_named_once_while_others_can() {
    let terminal = Terminal::default();
    tracing::subscriber::set_global_default(terminal.subscriber(tracing::Level::INFO)).unwrap();
    let logged = async |count: usize, level: &str, text: &str| {
        let lines = terminal.until(count, "broker").await;
        assert_eq!(lines.len(), count, "{lines:?}");
        assert!(lines[count - 1].contains(&format!("{level} ")) && lines[count - 1].contains(text), "{lines:?}");
    };
    let broker = Arc::new(Hooked::<Half>::default());
    let queues = [reached::DEF.queue_name(), cut_off::DEF.queue_name()];
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::builder(Arc::clone(&broker)).queues(queues);
    let (ended, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), async {
        while broker.claims.load(Ordering::SeqCst) < 5 {
            sleep(Duration::from_millis(5)).await;
        }
        logged(1, "WARN", "broker unreachable queue=cut_off").await;
        broker.mended.store(true, Ordering::SeqCst);
        logged(2, "INFO", "broker reachable again").await;
        broker.refuses.store(true, Ordering::SeqCst);
        logged(3, "ERROR", "broker refuses queue=cut_off").await;
        broker.refuses.store(false, Ordering::SeqCst);
        logged(4, "INFO", "broker refuses no longer queue=cut_off").await;
        drop(stop);
    });
    ended.unwrap();
}
