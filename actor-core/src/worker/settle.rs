//! Settles what has ended: whatever is ready goes in one round trip, and nothing waits for a timer.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outage::{Backoff, Outage, until};
use super::panic::shielded;
use super::queue_session::ServedQueue;
use crate::delivery::{Consumer, Receipt};
use crate::settlement::{Settled, Settlement};
use crate::{Broker, BrokerError, failpoint};

/// The most that goes in one round trip.
const LARGEST_BATCH: usize = 512;

/// Where runs leave what is to be settled. It holds no more than what the worker holds.
pub(crate) type Settlements = UnboundedSender<Pair>;

/// Settles for one consumer, until every run has dropped its end of the channel.
pub(crate) struct Settler {
    broker: Arc<dyn Broker>,
    consumer: Consumer,
    served: Arc<ServedQueue>,
    outage: Outage,
    inbox: UnboundedReceiver<Pair>,
    give_up: CancellationToken,
}

type Pair = (Receipt, Settlement);

/// What the broker did not take, and when to try it again.
#[derive(Default)]
struct Refused {
    settlements: Vec<Pair>,
    backoff: Backoff,
    again: Option<Instant>,
}

impl Settler {
    /// `give_up` ends the trying while the broker is away.
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        consumer: Consumer,
        served: Arc<ServedQueue>,
        outage: Outage,
        give_up: CancellationToken,
    ) -> (Settlements, Self) {
        let (sender, inbox) = unbounded_channel();
        (sender, Self { broker, consumer, served, outage, inbox, give_up })
    }

    /// What fails is tried until it succeeds: the work is done, and a message that nobody settles
    /// would be run again after this worker's end. It does not hold up what comes after it.
    pub(crate) async fn run(mut self) {
        let mut refused = Refused::default();
        let mut batch = Vec::with_capacity(LARGEST_BATCH);
        let mut closed = false;
        while !(closed && refused.settlements.is_empty()) {
            tokio::select! {
                received = self.inbox.recv_many(&mut batch, LARGEST_BATCH), if !closed => {
                    closed = received == 0;
                    self.settle(&mut batch, &mut refused).await;
                }
                () = until(refused.again) => {
                    refused.again = None;
                    batch.append(&mut refused.settlements);
                    self.settle(&mut batch, &mut refused).await;
                }
                () = self.give_up.cancelled(), if closed => {
                    let lost = refused.settlements.len();
                    self.served.settled(lost);
                    shielded(|| tracing::error!(
                        queue = %self.consumer.queue,
                        settlements = lost,
                        "settlements lost: their messages will be run again once the lease has ended"
                    ));
                    return;
                }
            }
        }
    }

    /// Settles a batch, and puts aside what the broker did not take.
    async fn settle(&self, batch: &mut Vec<Pair>, refused: &mut Refused) {
        if batch.is_empty() {
            return;
        }
        let answers = tokio::select! {
            biased;
            answers = self.broker.settle(&self.consumer, batch) => answers,
            // It may or may not have happened, and nobody waits for the answer any more.
            () = self.give_up.cancelled() => Vec::new(),
        };
        let mut answers = answers.into_iter();
        let mut first_error = None;
        let mut settled = 0;
        for (receipt, settlement) in batch.drain(..) {
            match answers.next().unwrap_or_else(|| Err(BrokerError::unknown("the broker gave no answer"))) {
                Ok(answer) => {
                    settled += 1;
                    shielded(|| report(&self.consumer, &receipt, answer));
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                    refused.settlements.push((receipt, settlement));
                }
            }
        }
        failpoint::pass("worker.settled");
        self.served.settled(settled);
        if let Some(error) = first_error {
            self.outage.failed(&error);
            refused.again.get_or_insert_with(|| Instant::now() + refused.backoff.next());
        } else if refused.settlements.is_empty() {
            self.outage.ended();
            refused.backoff.reset();
        }
    }
}

fn report(consumer: &Consumer, receipt: &Receipt, settled: Settled) {
    if settled == Settled::Stale {
        tracing::info!(queue = %consumer.queue, ?receipt, "settlement without effect: this worker no longer held the message");
    }
}
