//! Runs what an older worker parked because it lacked the actor, as slots are free.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::heartbeat::Status;
use super::outage::Outage;
use super::queue_session::QueueSession;
use super::service::Service;
use crate::failpoint;

/// How soon to ask again after something was found: while old and new workers run side by side, more is
/// parked all the time. With nothing found, the next heartbeat decides.
const AGAIN: Duration = Duration::from_millis(100);

/// How many heartbeats are skipped at most after nothing was found: what is parked may be nobody's here, and be
/// parked for as long as it takes until somebody comes.
const MOST_SKIPPED: u32 = 3;

const MOST_AT_ONCE: usize = 64;

pub(super) struct Unpark {
    pub(super) session: Arc<QueueSession>,
    pub(super) status: watch::Receiver<Status>,
}

impl Service for Unpark {
    fn outage(&self) -> &Outage {
        &self.session.outage
    }

    async fn work(&mut self) {
        let (session, status) = (&self.session, &mut self.status);
        let (mut skip, mut found_nothing) = (0, 0);
        loop {
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = session.halt.cancelled() => return,
            }
            let is_parked = match &*status.borrow_and_update() {
                Status::Live { parked, .. } => parked.contains(&session.served.queue),
                _ => false,
            };
            if !is_parked {
                (skip, found_nothing) = (0, 0);
            } else if skip > 0 {
                skip -= 1;
            } else {
                let Some(count) = take_all(session).await else { return };
                found_nothing = if count > 0 { 0 } else { found_nothing + 1 };
                skip = found_nothing.min(MOST_SKIPPED);
            }
        }
    }
}

/// Runs what is parked and can run here, until nothing is left. How many there were; `None` where it was
/// halted.
async fn take_all(session: &Arc<QueueSession>) -> Option<usize> {
    let mut all = 0;
    loop {
        let slot = session.halt.run_until_cancelled(session.served.slots.acquire()).await?;
        let slots = session.slots(slot, MOST_AT_ONCE);
        let abilities: Vec<_> = session.executor.abilities.iter().map(String::as_str).collect();
        // It may hold deliveries, so it is driven to its end, also where it is halted meanwhile.
        let found = match session.broker.unpark(&session.consumer, &abilities, slots.len()).await {
            Ok(found) => found,
            Err(error) => {
                session.outage.failed(&error);
                return Some(all);
            }
        };
        if !found.is_empty() {
            failpoint::pass("worker.unparked");
        }
        let (asked, count) = (slots.len(), found.len());
        session.start_or_release(found.into_iter().map(|delivery| (delivery, None)), slots);
        session.outage.ended();
        all += count;
        if count == 0 {
            return Some(all);
        }
        if count < asked {
            session.halt.run_until_cancelled(sleep(AGAIN)).await?;
        }
    }
}
