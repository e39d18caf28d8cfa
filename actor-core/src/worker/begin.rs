//! The last step before a run: the storage frees the key that a message holds until it has started.

use std::pin::Pin;

use tokio::time::sleep;

use super::message::Message;
use super::outage::{Backoff, Outage};
use super::run::interrupted;
use crate::call::RunError;
use crate::context::Stop;
use crate::delivery::{Consumer, Receipt};
use crate::settlement::Settled;
use crate::wire::{Held, HeldUntil};
use crate::{Broker, failpoint};

/// What a run of messages that are unique until they have started begins with. It answers for each.
pub(crate) type Begin<'a> = dyn Fn(Vec<Receipt>) -> Begun<'a> + Sync + 'a;
/// Whether each run may go on.
pub(crate) type Begun<'a> = Pin<Box<dyn Future<Output = Vec<Result<(), RunError>>> + Send + 'a>>;

/// Whether the storage is told that a message's run begins.
pub(super) fn begins(message: &Message<'_>) -> bool {
    matches!(message.envelope.unique, Some(Held { until: HeldUntil::Started, .. }))
}

/// Notes that the runs of deliveries begin. While the broker is away they wait: who is told that a message stands for
/// another relies on it that its run begins later. An error says that a delivery is no longer this worker's, or that the
/// worker stops.
pub(crate) async fn begin(
    broker: &dyn Broker,
    consumer: &Consumer,
    receipts: Vec<Receipt>,
    stop: &Stop,
    outage: &Outage,
) -> Vec<Result<(), RunError>> {
    let mut backoff = Backoff::default();
    loop {
        let answers = tokio::select! {
            biased;
            answers = broker.begin(consumer, &receipts) => answers,
            reason = stop.aborted() => return receipts.iter().map(|_| Err(interrupted(reason))).collect(),
        };
        // Noting it again changes nothing.
        match answers.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(answers) if answers.len() == receipts.len() => {
                outage.ended();
                failpoint::pass("worker.begun");
                let begun = |settled| if settled == Settled::Applied { Ok(()) } else { Err(RunError::LeaseLost) };
                return answers.into_iter().map(begun).collect();
            }
            Ok(_) => {}
            Err(error) => outage.failed(&error),
        }
        if let Some(reason) = stop.reason() {
            return receipts.iter().map(|_| Err(interrupted(reason))).collect();
        }
        sleep(backoff.next()).await;
    }
}
