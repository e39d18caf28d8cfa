//! What every behaviour begins with: a broker on an empty storage, a queue, and workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Harness;
use crate::broker::{Broker, Enqueue};
use crate::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use crate::inspect::{Inspect, Listed, Page, State};
use crate::settlement::{Outcome, Settled, Settlement};
use crate::{Key, Lane, MessageId, Priority, QueueName};

/// Longer than any test: a lease ends only where the harness ends it.
pub(super) const LEASE: Duration = Duration::from_secs(3600);

/// Far more than the rest of a test takes.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// Short, since a harness may really wait for it.
pub(super) const DELAY: Duration = Duration::from_millis(200);

/// How long a claim waits for what is there or comes. Only a broker that is wrong takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// No storage may fail during the suite.
pub(super) const REACHED: &str = "the storage can be reached";

/// What a behaviour is tried on: a broker, and a queue of it.
#[derive(Debug)]
pub struct Scene<H: Harness> {
    pub(super) harness: H,
    pub(super) broker: Arc<H::Broker>,
    pub(super) queue: QueueName,
}

impl<H: Harness> Scene<H> {
    /// The scene on an empty storage of the harness.
    pub async fn new(harness: H) -> Self {
        let broker = Arc::new(harness.broker().await);
        Self { harness, broker, queue: QueueName::declared("conformance") }
    }

    /// A worker with a lease.
    pub(super) async fn worker(&self, name: &str) -> Consumer {
        let unregistered = self.unregistered(name);
        self.broker.register(&unregistered.worker, std::slice::from_ref(&self.queue), LEASE).await.expect(REACHED);
        unregistered
    }

    /// A worker without a lease.
    pub(super) fn unregistered(&self, name: &str) -> Consumer {
        Consumer::new(WorkerId::new(name), self.queue.clone())
    }

    /// Sends messages of normal priority, each in a call of its own.
    pub(super) async fn send(&self, bodies: &[&str]) {
        for body in bodies {
            self.enqueue(vec![message(body, Priority::Normal)]).await;
        }
    }

    pub(super) async fn enqueue(&self, messages: Vec<Enqueue>) {
        let count = messages.len();
        let answers = self.broker.enqueue(&self.queue, messages).await;
        assert_eq!(answers.len(), count, "each message gets one answer");
        for answer in answers {
            answer.expect(REACHED);
        }
    }

    /// One claim that delivers something.
    pub(super) async fn claim(&self, consumer: &Consumer, max: usize) -> Vec<Delivery> {
        let begun = Instant::now();
        loop {
            let delivered = self.broker.claim(consumer, max, &Wait::new(PATIENCE)).await.expect(REACHED);
            if !delivered.is_empty() {
                return delivered;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing was in flight");
        }
    }

    /// Waits until `count` messages are in flight, and no more.
    pub(super) async fn deliver(&self, consumer: &Consumer, count: usize) -> Vec<Delivery> {
        let mut delivered = Vec::new();
        while delivered.len() < count {
            delivered.extend(self.claim(consumer, count - delivered.len()).await);
        }
        assert_eq!(delivered.len(), count, "more were in flight than were asked for: {:?}", texts(&delivered));
        delivered
    }

    pub(super) async fn claim_one(&self, consumer: &Consumer) -> Delivery {
        self.deliver(consumer, 1).await.pop().expect("one was in flight")
    }

    /// Sends messages, and has all of them delivered to `consumer`.
    pub(super) async fn hold(&self, consumer: &Consumer, bodies: &[&str]) -> Vec<Delivery> {
        self.send(bodies).await;
        self.deliver(consumer, bodies.len()).await
    }

    pub(super) async fn hold_one(&self, consumer: &Consumer, body: &str) -> Delivery {
        self.send(&[body]).await;
        self.claim_one(consumer).await
    }

    pub(super) async fn delivers_nothing(&self, consumer: &Consumer) {
        let delivered = self.broker.claim(consumer, 100, &Wait::new(Duration::ZERO)).await.expect(REACHED);
        assert_eq!(texts(&delivered), [""; 0], "nothing should be in flight");
    }

    pub(super) async fn recover(&self, consumer: &Consumer, max: usize) -> Vec<Delivery> {
        self.broker.recover(consumer, max, Duration::ZERO).await.expect(REACHED)
    }

    /// Recovers all there is, with a grace.
    pub(super) async fn recover_with(&self, consumer: &Consumer, grace: Duration) -> Vec<Delivery> {
        self.broker.recover(consumer, usize::MAX, grace).await.expect(REACHED)
    }

    pub(super) async fn settle(&self, consumer: &Consumer, delivery: &Delivery, end: Settlement) -> Settled {
        let mut answers = self.settle_all(consumer, &[(delivery.receipt.clone(), end)]).await;
        answers.pop().expect("one settlement gets one answer")
    }

    pub(super) async fn settle_all(&self, consumer: &Consumer, ends: &[(Receipt, Settlement)]) -> Vec<Settled> {
        let answers = self.broker.settle(consumer, ends).await;
        assert_eq!(answers.len(), ends.len(), "each settlement gets one answer");
        answers.into_iter().map(|answer| answer.expect(REACHED)).collect()
    }

    pub(super) async fn renew(&self, consumer: &Consumer) -> Renewal {
        self.broker.renew(&consumer.worker, std::slice::from_ref(&self.queue), LEASE).await.expect(REACHED)
    }

    pub(super) async fn end_lease(&self, consumer: &Consumer) {
        self.harness.end_lease(&self.broker, &consumer.worker, &self.queue).await;
    }

    pub(super) async fn advance(&self, duration: Duration) {
        self.harness.advance(&self.broker, duration).await;
    }

    /// Asserts how many messages are ready, in flight, scheduled and dead.
    pub(super) async fn counts(&self, expected: [u64; 4]) {
        let counts = self.broker.counts(&self.queue).await.expect(REACHED);
        let counts = [counts.ready, counts.in_flight, counts.scheduled, counts.dead];
        assert_eq!(counts, expected, "messages that are ready, in flight, scheduled, dead");
    }

    /// Asserts how many messages wait in lanes.
    pub(super) async fn waiting(&self, expected: u64) {
        let counts = self.broker.counts(&self.queue).await.expect(REACHED);
        assert_eq!(counts.waiting, expected, "messages that wait in lanes");
    }

    /// Every message of a state, read in one page.
    pub(super) async fn list(&self, state: State) -> Vec<Listed> {
        self.broker.list(&self.queue, state, Page::first(1_000)).await.expect(REACHED).messages
    }

    /// A dead letter of each body, dead-lettered in their order.
    pub(super) async fn dead_letter(&self, bodies: impl IntoIterator<Item = Bytes>) {
        let worker = self.worker("undertaker").await;
        for body in bodies {
            self.enqueue(vec![Enqueue::new(MessageId::new(), Priority::Normal, body)]).await;
            let delivery = self.claim_one(&worker).await;
            let end = dead_lettered(delivery.body.clone(), "it failed");
            assert_eq!(self.settle(&worker, &delivery, end).await, Settled::Applied);
        }
    }
}

pub(super) fn message(body: &str, priority: Priority) -> Enqueue {
    Enqueue::new(MessageId::new(), priority, Bytes::copy_from_slice(body.as_bytes()))
}

/// A message of normal priority in a lane.
pub(super) fn lane(body: &str, key: &str, cost: u32) -> Enqueue {
    let key = Key::new(key).expect("a test's keys are short");
    message(body, Priority::Normal).lane(Lane::new(key).cost(cost))
}

pub(super) fn limited(body: &str, after: Duration) -> Settlement {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Outcome::Limited { id: MessageId::new(), priority: Priority::Normal, body, after }.into()
}

pub(super) fn retry(body: &str, after: Duration) -> Settlement {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Outcome::Reschedule { id: MessageId::new(), priority: Priority::Normal, body, after }.into()
}

pub(super) fn parked(body: &str, ability: &str, after: Duration) -> Settlement {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let ability = ability.to_owned();
    Outcome::Park { id: MessageId::new(), priority: Priority::Normal, body, after, ability }.into()
}

pub(super) fn dead_lettered(body: Bytes, reason: &str) -> Settlement {
    Outcome::DeadLetter { id: Some(MessageId::new()), body, reason: reason.to_owned() }.into()
}

pub(super) fn release(body: &str) -> Settlement {
    Outcome::Release { body: Bytes::copy_from_slice(body.as_bytes()) }.into()
}

pub(super) fn text(body: &Bytes) -> String {
    String::from_utf8_lossy(body).into_owned()
}

pub(super) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| text(&delivery.body)).collect()
}
