//! A broker that wraps the real one and records calls and answers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actor_core::broker::{Broker, Enqueue, Enqueued};
use actor_core::delivery::{Consumer, Delivery, Receipt, Renewal, Wait, WorkerId};
use actor_core::outbox::Outboxes;
use actor_core::schedule::Schedules;
use actor_core::settlement::{Settled, Settlement};
use actor_core::{BrokerError, Control, MessageId, QueueName};
use async_trait::async_trait;
use serde::Deserialize;

use crate::clock::now_us;
use crate::history::{Journal, Lane, What};
use crate::process::QUEUES;
use crate::tasks::{NEWEST_QUEUE, gated};

mod schedules;

/// Passes everything on, and records sends, leases and deliveries.
#[derive(Debug)]
pub(crate) struct Recorder<B> {
    pub(crate) broker: B,
    pub(crate) journal: Arc<Journal>,
}

#[derive(Deserialize)]
struct Named {
    actor: String,
}

/// The members of a message that matter here, as in `docs/wire-format.md`.
#[derive(Deserialize)]
struct Counted {
    id: MessageId,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    crashes: u32,
    #[serde(default)]
    deliveries: u64,
    #[serde(default)]
    last_error: Option<String>,
}

impl<B> Recorder<B> {
    fn note_delivered(&self, deliveries: &[Delivery]) {
        for delivery in deliveries {
            // Nobody runs what cannot be read.
            if let Ok(Counted { id, attempt, crashes, deliveries, .. }) = serde_json::from_slice(&delivery.body) {
                let before = u64::from(delivery.crashes) + u64::from(delivery.interruptions);
                let token = deliveries + before + 1;
                let (attempt, crashes) = (attempt + 1, crashes + delivery.crashes);
                self.journal.note(&What::Delivered { id, attempt, crashes, token });
            }
        }
    }

    fn note_settled(&self, settlement: &Settlement) {
        // What is done has begun.
        let Some(body) = settlement.outcome.body() else { return };
        if let Ok(Counted { id, attempt, deliveries, last_error, .. }) = serde_json::from_slice(body) {
            self.journal.note(&What::Settled { id, token: deliveries, spent: attempt, error: last_error });
        }
    }
}

#[async_trait]
impl<B: Broker> Broker for Recorder<B> {
    async fn enqueue(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        for message in &messages {
            let (unique, once) = (&message.unique, &message.idempotency);
            if unique.is_some() || once.is_some() {
                let key = unique.as_ref().map(|unique| unique.key.to_string()).unwrap_or_default();
                let once = once.as_ref().map(|once| once.key.to_string());
                self.journal.note(&What::Keyed { id: message.id, key, once });
            }
            let actor =
                serde_json::from_slice::<Named>(&message.body).map_or_else(|_| "?".to_owned(), |named| named.actor);
            let delay_ms = u64::try_from(message.delay.as_millis()).unwrap_or(u64::MAX);
            let lane = message.lane.as_ref().map(|lane| Lane { key: lane.key.as_str().to_owned(), cost: lane.cost });
            self.journal.note(&What::Invoked { id: message.id, actor, delay_ms, lane });
        }
        let another = match queue.as_str() {
            // Older workers serve the queue of the newest actor too, but lack the actor.
            NEWEST_QUEUE => Some(QUEUES[0]),
            gated::BEFORE_QUEUE => Some(gated::QUEUE),
            _ => None,
        };
        let another = another.map(|name| name.parse().expect("the queues have proper names"));
        let answers = self.broker.enqueue(another.as_ref().unwrap_or(queue), messages).await;
        for (id, answer) in ids.into_iter().zip(&answers) {
            if let Ok(Enqueued::Replaced(old)) = answer {
                self.journal.note(&What::Displaced { id: *old });
            }
            self.journal.note(&match answer {
                Ok(Enqueued::Existing(by)) if *by != id => What::Stands { id, by: *by },
                Ok(_) => What::Acknowledged { id },
                // What only the master has may be lost with it.
                Err(error) if error.is_unknown() || error.is_stored() => What::Unknown { id, why: error.to_string() },
                Err(error) => What::Refused { id, why: error.to_string() },
            });
        }
        answers
    }

    async fn register(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<(), BrokerError> {
        let asked = now_us();
        let answer = self.broker.register(worker, queues, lease).await;
        if answer.is_ok() {
            self.journal.note(&What::Registered { worker: worker.to_string(), asked });
        }
        answer
    }

    async fn renew(&self, worker: &WorkerId, queues: &[QueueName], lease: Duration) -> Result<Renewal, BrokerError> {
        let asked = now_us();
        let answer = self.broker.renew(worker, queues, lease).await;
        match &answer {
            Ok(renewed) if renewed.held => {
                self.journal.note(&What::Renewed { worker: worker.to_string(), asked });
                if !renewed.forgotten.is_empty() {
                    self.journal.note(&What::Forgotten { worker: worker.to_string() });
                }
            }
            Ok(_) => self.journal.note(&What::Lost { worker: worker.to_string() }),
            Err(_) => {}
        }
        answer
    }

    async fn stopping(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        self.broker.stopping(worker, queues).await
    }

    async fn claim(&self, consumer: &Consumer, max: usize, wait: &Wait) -> Result<Vec<Delivery>, BrokerError> {
        let answer = self.broker.claim(consumer, max, wait).await;
        self.note_delivered(answer.as_deref().unwrap_or_default());
        answer
    }

    async fn recover(&self, consumer: &Consumer, max: usize, grace: Duration) -> Result<Vec<Delivery>, BrokerError> {
        let answer = self.broker.recover(consumer, max, grace).await;
        self.note_delivered(answer.as_deref().unwrap_or_default());
        answer
    }

    async fn unpark(&self, consumer: &Consumer, abilities: &[&str], max: usize) -> Result<Vec<Delivery>, BrokerError> {
        let answer = self.broker.unpark(consumer, abilities, max).await;
        self.note_delivered(answer.as_deref().unwrap_or_default());
        answer
    }

    async fn begin(&self, consumer: &Consumer, receipts: &[Receipt]) -> Vec<Result<Settled, BrokerError>> {
        self.broker.begin(consumer, receipts).await
    }

    async fn settle(
        &self,
        consumer: &Consumer,
        settlements: &[(Receipt, Settlement)],
    ) -> Vec<Result<Settled, BrokerError>> {
        settlements.iter().for_each(|(_, settlement)| self.note_settled(settlement));
        self.broker.settle(consumer, settlements).await
    }

    async fn deregister(&self, worker: &WorkerId, queues: &[QueueName]) -> Result<(), BrokerError> {
        self.journal.note(&What::Deregistered { worker: worker.to_string() });
        self.broker.deregister(worker, queues).await
    }

    fn control(&self) -> Option<&dyn Control> {
        self.broker.control()
    }

    fn now(&self) -> SystemTime {
        self.broker.now()
    }

    fn schedules(&self) -> Option<&dyn Schedules> {
        self.broker.schedules().map(|_| self as &dyn Schedules)
    }

    fn outboxes(&self) -> Option<&dyn Outboxes> {
        self.broker.outboxes()
    }

    fn max_message_bytes(&self) -> usize {
        self.broker.max_message_bytes()
    }
}
