//! Stores how far runs have come.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::outage::{Outage, until};
use super::panic::caught;
use super::service::Service;
use crate::BrokerError;
use crate::context::{KEPT, Reports, Stop};

/// Stores what the runs of a session say of their progress, until the session is over.
pub(crate) struct Progress {
    stop: Arc<Stop>,
    outage: Outage,
}

impl Progress {
    pub(crate) fn new(stop: &Arc<Stop>, outage: Outage) -> Self {
        Self { stop: Arc::clone(stop), outage }
    }
}

impl Service for Progress {
    fn outage(&self) -> &Outage {
        &self.outage
    }

    async fn work(&mut self) {
        store(&self.stop.reports, &self.outage).await;
    }
}

/// Stores what is said until nothing is to be stored any more. Of many runs, all at once.
pub(crate) async fn store(reports: &Reports, outage: &Outage) {
    let mut storing = JoinSet::new();
    loop {
        let (due, next) = reports.due();
        for due in due {
            storing.spawn(async move {
                let stored = caught(due.kept.set(&[due.field], KEPT)).await;
                let panicked = |what| Err(BrokerError::unknown(format!("a call panicked: {what}")));
                (due.id, stored.unwrap_or_else(panicked))
            });
        }
        tokio::select! {
            // Its own errors are caught: only a runtime that ends makes another one.
            Some(Ok((id, stored))) = storing.join_next() => match stored {
                Ok(true) => outage.ended(),
                Ok(false) => reports.lost(id),
                Err(error) => {
                    outage.failed(&error);
                    reports.failed(id);
                }
            },
            () = reports.changed.notified() => {}
            () = until(next) => {}
            () = reports.closed.cancelled() => return,
        }
    }
}
