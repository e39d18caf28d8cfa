//! What is urgent goes before what a worker has fetched already.
#![allow(missing_docs, clippy::unwrap_used)] // A test's name is its document.

mod hooked;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Delivery, Wait};
use actor_core::{BrokerError, Context, MemoryBroker, MessageId, Worker, actor};
use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use self::hooked::{Hooked, Hooks};

/// So many messages wait, and for every so many of them an urgent one is sent.
const BACKLOG: u32 = 4_000;
const EVERY: u32 = 200;

/// For hangs only.
const HANG: Duration = Duration::from_secs(60);

/// A broker in process that writes down what it delivers, in its order.
#[derive(Debug, Default)]
struct Delivering {
    memory: MemoryBroker,
    delivered: Mutex<Vec<Bytes>>,
}

/// What ran, in its order.
#[derive(Default)]
struct Ran {
    ids: Mutex<Vec<MessageId>>,
    all: CancellationToken,
}

impl Ran {
    fn note(&self, id: MessageId) {
        let mut ids = self.ids.lock().unwrap();
        ids.push(id);
        if ids.len() == (BACKLOG + BACKLOG / EVERY) as usize {
            self.all.cancel();
        }
    }
}

#[actor(queue = "overtaking")]
async fn waits(cx: &Context, number: u32, #[state] broker: &Arc<Hooked<Delivering>>, #[state] ran: &Arc<Ran>) {
    ran.note(cx.id());
    if number.is_multiple_of(EVERY) {
        overtakes.send_with(broker).await.unwrap();
    }
}

#[actor(queue = "overtaking", priority = "high")]
async fn overtakes(cx: &Context, #[state] ran: &Arc<Ran>) {
    ran.note(cx.id());
}

/// How many urgent ones had run when the last of the others had.
#[derive(Default)]
struct Shares {
    low: Mutex<u32>,
    high: Mutex<u32>,
    all_low: CancellationToken,
}

const LOW: u32 = 20;

#[actor(queue = "shared", priority = "low")]
async fn patient(#[state] shares: &Arc<Shares>) {
    let mut low = shares.low.lock().unwrap();
    *low += 1;
    if *low == LOW {
        shares.all_low.cancel();
    }
}

#[actor(queue = "shared", priority = "high")]
async fn pressing(#[state] shares: &Arc<Shares>) {
    if !shares.all_low.is_cancelled() {
        *shares.high.lock().unwrap() += 1;
    }
}

#[tokio::test]
async fn with_weighted_priorities_what_is_low_runs_while_a_worker_is_never_without_urgent_work() {
    for (broker, is_strict) in [(MemoryBroker::new(), true), (MemoryBroker::new().with_weighted_priorities(), false)] {
        patient.send_many_with(&broker, (0..LOW).map(|_| ())).await.unwrap();
        pressing.send_many_with(&broker, (0..20 * BACKLOG).map(|_| ())).await.unwrap();
        let shares = Arc::new(Shares::default());
        let builder = Worker::builder(broker).queues(["shared"]).concurrency(1);
        let builder = builder.state(Arc::clone(&shares));
        let stop = CancellationToken::new();
        let worker = tokio::spawn(builder.run_until(stop.clone().cancelled_owned()));
        tokio::time::timeout(HANG, shares.all_low.cancelled()).await.unwrap();
        stop.cancel();
        worker.await.unwrap().unwrap();
        let high = *shares.high.lock().unwrap();
        assert_eq!(high == 20 * BACKLOG, is_strict, "{high} urgent ones ran before");
    }
}

#[tokio::test]
async fn what_is_urgent_overtakes_what_was_fetched_before_it() {
    let (broker, ran) = (Arc::new(Hooked::<Delivering>::default()), Arc::new(Ran::default()));
    waits.send_many_with(&broker, 0..BACKLOG).await.unwrap();
    let worker = Worker::builder(Arc::clone(&broker)).concurrency(1);
    let worker = worker.queues(["overtaking"]);
    let worker = worker.state(Arc::clone(&broker)).state(Arc::clone(&ran));
    let all = ran.all.clone();
    tokio::time::timeout(HANG, worker.run_until(async move { all.cancelled().await })).await.unwrap().unwrap();
    let id_of = |body: &Bytes| -> MessageId {
        let message: serde_json::Value = serde_json::from_slice(body).unwrap();
        message["id"].as_str().unwrap().parse().unwrap()
    };
    let delivered: Vec<MessageId> = broker.delivered.lock().unwrap().iter().map(id_of).collect();
    let ran = ran.ids.lock().unwrap();
    // Of one slot and one priority, what was delivered first runs first. Where the two orders differ, an urgent
    // message went before one that was in the worker's hands. It finds none there where the buffer has
    // just run empty: that is why there are many.
    let overtaking = ran.iter().zip(&delivered).filter(|(ran, delivered)| ran != delivered).count();
    assert!(overtaking > 0, "each of {} ran in the order in which it was in flight", ran.len());
}

#[async_trait]
impl Hooks for Delivering {
    fn memory(&self) -> &MemoryBroker {
        &self.memory
    }

    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        let deliveries = self.memory.claim(consumer, max, wait).await?;
        self.delivered.lock().unwrap().extend(deliveries.iter().map(|delivery| delivery.body.clone()));
        Ok(deliveries)
    }
}
