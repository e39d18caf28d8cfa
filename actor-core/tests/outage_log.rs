//! What a worker logs of a broker that cannot be reached by all of its parts.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Delivery, Wait};
use actor_core::{Actor, BrokerError, MemoryBroker, Worker, actor};
use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use self::hooked::{Hooked, Hooks};

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

/// Hears what is logged at INFO and above, in every thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn of_the_broker(&self) -> Vec<String> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.contains("broker")).cloned().collect()
    }

    async fn until(&self, count: usize) -> Vec<String> {
        let lines = timeout(Duration::from_secs(30), async {
            while self.of_the_broker().len() < count {
                sleep(Duration::from_millis(5)).await;
            }
        });
        lines.await.unwrap_or_else(|_| panic!("only {:?} was logged", self.of_the_broker()));
        self.of_the_broker()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let queue = fields.0.get("queue").map(|queue| format!(" queue={queue}")).unwrap_or_default();
        let line = format!("{} {}{queue}", event.metadata().level(), fields.0["message"]);
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// Its subscriber is the whole process's, so it is the only test here.
#[tokio::test]
async fn a_queue_that_cannot_be_reached_is_named_once_while_others_can() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let broker = Arc::new(Hooked::<Half>::default());
    let queues = [reached::DEF.queue_name(), cut_off::DEF.queue_name()];
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::builder(Arc::clone(&broker)).queues(queues);
    let (ended, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), async {
        while broker.claims.load(Ordering::SeqCst) < 5 {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(log.of_the_broker(), ["WARN broker unreachable queue=cut_off"]);
        broker.mended.store(true, Ordering::SeqCst);
        assert_eq!(log.until(2).await[1..], ["INFO broker reachable again"]);
        broker.refuses.store(true, Ordering::SeqCst);
        assert_eq!(log.until(3).await[2..], ["ERROR broker refuses queue=cut_off"]);
        broker.refuses.store(false, Ordering::SeqCst);
        assert_eq!(log.until(4).await[3..], ["INFO broker refuses no longer queue=cut_off"]);
        drop(stop);
    });
    ended.unwrap();
}
