//! What a broker delivers after its worker was asked to stop.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;

use std::sync::Arc;
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Delivery, Wait, WorkerId};
use actor_core::{Actor, BrokerError, Inspect, MemoryBroker, Worker, actor};
use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use self::hooked::{Hooked, Hooks};

/// Only what hangs takes so long.
const HANGS: Duration = Duration::from_secs(30);

#[actor(queue = "late")]
async fn late(#[state] ran: &mpsc::UnboundedSender<()>) {
    ran.send(()).unwrap();
}

/// A broker in memory whose answer to a recovery comes when the test says so.
#[derive(Debug, Default)]
struct Late {
    memory: MemoryBroker,
    recovered: Notify,
    answers: Notify,
}

#[async_trait]
impl Hooks for Late {
    fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
        let recovered = self.memory.recover(consumer, max, grace).await?;
        if !recovered.is_empty() {
            self.recovered.notify_one();
            self.answers.notified().await;
        }
        Ok(recovered)
    }
}

#[tokio::test]
async fn what_is_recovered_while_the_worker_stops_never_begins_here() {
    let broker = Arc::new(Hooked::<Late>::default());
    let queue = late::DEF.queue_name();
    late.send_with(&broker).await.unwrap();
    // A worker that dies with it.
    let dead = Consumer::new(WorkerId::new("dead"), queue.clone());
    broker.register(&dead.worker, std::slice::from_ref(&queue), Duration::from_secs(60)).await.unwrap();
    assert_eq!(broker.memory.claim(&dead, 1, &Wait::new(Duration::ZERO)).await.unwrap().len(), 1);
    broker.deregister(&dead.worker, std::slice::from_ref(&queue)).await.unwrap();

    let (ran, mut runs) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::builder(Arc::clone(&broker)).queues([queue.clone()]).lease(Duration::from_millis(150));
    let worker = worker.state::<mpsc::UnboundedSender<()>>(ran);
    let (asked, answer) = (Notify::new(), Arc::clone(&broker));
    let (ended, ()) = tokio::join!(
        worker.run_until(async {
            drop(stopped.await);
            asked.notify_one();
        }),
        async {
            timeout(HANGS, broker.recovered.notified()).await.expect("nothing is recovered");
            drop(stop);
            asked.notified().await;
            tokio::task::yield_now().await;
            answer.answers.notify_one();
        }
    );
    ended.unwrap();
    assert!(runs.try_recv().is_err(), "it began after the stop");
    let counts = broker.memory.counts(&queue).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.dead), (1, 0, 0));
}
