//! The last step before a run: the storage frees the key that a message holds until it has started.

use std::pin::Pin;

use tokio::time::sleep;

use super::outage::{Backoff, Outage};
use super::run::interrupted;
use crate::call::RunError;
use crate::context::Stop;
use crate::delivery::{Consumer, Receipt};
use crate::settlement::Settled;
use crate::{Broker, failpoint};

/// What a run of a message that is unique until it has started begins with.
pub(crate) type Begin<'a> = dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), RunError>> + Send + 'a>> + Sync + 'a;

/// Notes that the run of a delivery begins. While the broker is away the run waits: who is told that the message
/// stands for another relies on it that its run begins later.
///
/// # Errors
///
/// The delivery is no longer this worker's, or the worker stops.
pub(crate) async fn begin(
    broker: &dyn Broker,
    consumer: &Consumer,
    receipt: &Receipt,
    stop: &Stop,
    outage: &Outage,
) -> Result<(), RunError> {
    let mut backoff = Backoff::default();
    loop {
        let answers = tokio::select! {
            biased;
            answers = broker.begin(consumer, std::slice::from_ref(receipt)) => answers,
            reason = stop.aborted() => return Err(interrupted(reason)),
        };
        match answers.into_iter().next() {
            Some(Ok(Settled::Applied)) => {
                outage.ended();
                failpoint::pass("worker.begun");
                return Ok(());
            }
            Some(Ok(Settled::Stale)) => return Err(RunError::LeaseLost),
            Some(Err(error)) => outage.failed(&error),
            None => {}
        }
        if let Some(reason) = stop.reason() {
            return Err(interrupted(reason));
        }
        sleep(backoff.next()).await;
    }
}
