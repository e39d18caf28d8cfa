//! Settles what has ended: whatever is ready goes in one round trip, and nothing waits for a timer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::outage::{Backoff, Outage, chain};
use crate::Broker;
use crate::delivery::{Consumer, Receipt};
use crate::settlement::{Settled, Settlement};

/// The most that goes in one round trip.
const LARGEST_BATCH: usize = 512;

/// Where runs leave what is to be settled. It holds no more than what the worker holds.
pub(crate) type Settlements = UnboundedSender<(Receipt, Settlement)>;

/// Settles for one consumer, until every run has dropped its end of the channel.
pub(crate) struct Settler {
    broker: Arc<dyn Broker>,
    consumer: Consumer,
    outage: Arc<Outage>,
    inbox: UnboundedReceiver<(Receipt, Settlement)>,
    give_up: CancellationToken,
}

impl Settler {
    /// `give_up` ends the trying while the broker is away.
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        consumer: Consumer,
        outage: Arc<Outage>,
        give_up: CancellationToken,
    ) -> (Settlements, Self) {
        let (sender, inbox) = unbounded_channel();
        (sender, Self { broker, consumer, outage, inbox, give_up })
    }

    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(LARGEST_BATCH);
        while self.inbox.recv_many(&mut batch, LARGEST_BATCH).await > 0 {
            self.settle(&mut batch).await;
        }
    }

    /// Settles a batch. What fails is tried until it succeeds: the work is done, and a message that
    /// nobody settles would be run again only after this worker's end.
    async fn settle(&mut self, batch: &mut Vec<(Receipt, Settlement)>) {
        let mut backoff = Backoff::default();
        loop {
            let answers = self.broker.settle(&self.consumer, batch).await;
            let mut failed = Vec::new();
            for ((receipt, settlement), answer) in batch.drain(..).zip(answers) {
                match answer {
                    Ok(settled) => report(&self.consumer, &receipt, settled),
                    Err(error) => failed.push(((receipt, settlement), error)),
                }
            }
            let Some((_, error)) = failed.first() else {
                self.outage.ended();
                return;
            };
            self.outage.failed(error);
            if self.give_up.is_cancelled() {
                tracing::error!(
                    queue = %self.consumer.queue,
                    settlements = failed.len(),
                    error = %chain(error),
                    "settlements lost: their messages will be run again once the lease has ended"
                );
                return;
            }
            batch.extend(failed.into_iter().map(|(settlement, _)| settlement));
            self.pause(backoff.next()).await;
        }
    }

    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.give_up.cancelled() => {}
        }
    }
}

fn report(consumer: &Consumer, receipt: &Receipt, settled: Settled) {
    match settled {
        Settled::Yes => {}
        Settled::No => {
            tracing::info!(queue = %consumer.queue, ?receipt, "settled by another: the delivery was no longer held");
        }
        Settled::Unclear => tracing::debug!(queue = %consumer.queue, ?receipt, "settled, here or by another"),
    }
}
