//! Settles what has ended: whatever is ready goes in one round trip, and nothing waits for a timer.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outage::{Backoff, Outage, until};
use super::queue_session::ServedQueue;
use super::relay::{self, Targets};
use super::service::Service;
use crate::delivery::{Consumer, Receipt};
use crate::settlement::{Settled, Settlement};
use crate::{Broker, BrokerError, failpoint, wire};

const LARGEST_BATCH: usize = 512;

/// Where runs leave what is to be settled. It holds no more than what the worker holds.
pub(crate) type Settlements = UnboundedSender<Pair>;

/// Settles for one consumer, until every run has dropped its end of the channel.
pub(crate) struct Settler {
    broker: Arc<dyn Broker>,
    consumer: Consumer,
    served: Arc<ServedQueue>,
    targets: Targets,
    outage: Outage,
    inbox: UnboundedReceiver<Pair>,
    is_closed: bool,
    /// What is settled now.
    batch: Vec<Pair>,
    /// What the broker did not take, and when to try it again.
    refused: Vec<Pair>,
    again: Option<Instant>,
    backoff: Backoff,
    give_up: CancellationToken,
}

type Pair = (Receipt, Settlement);

impl Settler {
    /// `give_up` ends the tries while the broker is away.
    pub(crate) fn new(
        broker: &Arc<dyn Broker>,
        consumer: Consumer,
        served: &Arc<ServedQueue>,
        targets: Targets,
        outage: Outage,
        give_up: &CancellationToken,
    ) -> (Settlements, Self) {
        let (sender, inbox) = unbounded_channel();
        let settler = Self {
            broker: Arc::clone(broker),
            consumer,
            served: Arc::clone(served),
            targets,
            outage,
            inbox,
            is_closed: false,
            batch: Vec::with_capacity(LARGEST_BATCH),
            refused: Vec::new(),
            again: None,
            backoff: Backoff::default(),
            give_up: give_up.clone(),
        };
        (sender, settler)
    }

    /// Settles the batch, and puts aside what the broker did not take.
    async fn settle(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let answers = tokio::select! {
            biased;
            answers = self.broker.settle(&self.consumer, &self.batch) => answers,
            // It may or may not have happened, and nobody waits for the answer any more.
            () = self.give_up.cancelled() => Vec::new(),
        };
        let mut answers = answers.into_iter();
        let (mut first_error, mut settled, mut stale) = (None, 0, 0_usize);
        for pair in self.batch.drain(..) {
            match answers.next().unwrap_or_else(|| Err(BrokerError::unknown("the broker gave no answer"))) {
                Ok(answer) => {
                    settled += 1;
                    // Whatever the answer: it may be that to a second try, and the first one counted.
                    for to in relay::targets(&self.consumer.queue, &pair.1) {
                        // A worker whose broker has no outboxes relays nothing.
                        let _ = self.targets.send(to.clone());
                    }
                    if answer == Settled::Cancelled {
                        // Its worker had not learned of it before the run ended.
                        let id = pair.1.outcome.body().and_then(|body| wire::id(body)).map(tracing::field::display);
                        tracing::info!(queue = %self.consumer.queue, id, "message cancelled");
                    }
                    stale += usize::from(answer == Settled::Stale);
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                    self.refused.push(pair);
                }
            }
        }
        failpoint::pass("worker.settled");
        self.served.settled(settled);
        if first_error.is_some() {
            self.try_again_later();
        }
        if stale > 0 {
            tracing::info!(
                queue = %self.consumer.queue,
                settlements = stale,
                "settlements without effect: this worker no longer held the messages"
            );
        }
        if let Some(error) = first_error {
            self.outage.failed(&error);
        } else if self.refused.is_empty() {
            self.backoff.reset();
            self.outage.ended();
        }
    }

    fn try_again_later(&mut self) {
        self.again.get_or_insert_with(|| Instant::now() + self.backoff.next());
    }
}

impl Service for Settler {
    fn outage(&self) -> &Outage {
        &self.outage
    }

    /// What fails is tried until it succeeds: the work is done, and a message that nobody settles
    /// would be run again after this worker's end. It does not hold up what comes after it.
    async fn work(&mut self) {
        if !self.batch.is_empty() {
            // Nobody knows what became of it when the broker panicked.
            self.refused.append(&mut self.batch);
            self.try_again_later();
        }
        while !(self.is_closed && self.refused.is_empty()) {
            tokio::select! {
                received = self.inbox.recv_many(&mut self.batch, LARGEST_BATCH), if !self.is_closed => {
                    self.is_closed = received == 0;
                    self.settle().await;
                }
                () = until(self.again) => {
                    self.again = None;
                    self.batch.append(&mut self.refused);
                    self.settle().await;
                }
                () = self.give_up.cancelled(), if self.is_closed => {
                    let lost = std::mem::take(&mut self.refused).len();
                    self.served.settled(lost);
                    tracing::error!(
                        queue = %self.consumer.queue,
                        settlements = lost,
                        "settlements lost: their messages will be run again once the lease has ended"
                    );
                }
            }
        }
    }
}
