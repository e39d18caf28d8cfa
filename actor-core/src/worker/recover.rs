//! Recovers what dead workers of a queue held, as slots are free.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::fetch::IDLE_WAIT;
use super::heartbeat::Status;
use super::outage::Outage;
use super::queue_session::QueueSession;
use super::service::Service;
use super::slots::Slot;
use super::suspects::Admission;
use crate::failpoint;

/// How often to ask without a hint: the hint is an index, and an index may be lost. That is rare, and
/// this is the most expensive thing that an idle worker asks for.
const WITHOUT_HINT: Duration = Duration::from_secs(30);

/// How soon after a death to ask again. A worker that was cut off rather than killed leaves a waiting
/// claim behind, which may be delivered something until its time is up, after everything else was taken.
const AFTER_DEATH: Duration = IDLE_WAIT.saturating_add(Duration::from_secs(1));

/// How soon to ask again where the broker could not be asked, at least.
const AGAIN: Duration = Duration::from_secs(1);

/// How many messages are recovered in one step. A step costs an answer of the storage, which may have to
/// wait for its disk, and what a dead worker had fetched ahead may be a thousand.
const MOST_AT_ONCE: usize = 32;

pub(super) struct Recover {
    pub(super) session: Arc<QueueSession>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) lease: Duration,
}

impl Service for Recover {
    fn outage(&self) -> &Outage {
        &self.session.outage
    }

    async fn work(&mut self) {
        let (session, status, lease) = (&self.session, &mut self.status, self.lease);
        let (mut live_since, mut next) = (None, Instant::now() + lease);
        let mut awaits_renewal = true;
        loop {
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = sleep_until(next), if !awaits_renewal => {}
                () = session.halt.cancelled() => return,
            }
            let (hinted, may_judge) = {
                let status = status.borrow_and_update();
                if let Some(since) = status.kept(&session.served.queue).map(|kept| kept.since)
                    && live_since < Some(since)
                {
                    // Who died before the broker lost its leases is in no hint any more.
                    (live_since, next) = (Some(since), since + lease);
                }
                (
                    matches!(*status, Status::Live { deaths: true, .. }),
                    status.may_judge(&session.served.queue, lease).is_some(),
                )
            };
            awaits_renewal = !may_judge;
            if may_judge && (hinted || next <= Instant::now()) {
                match recover_all(session, status, lease).await {
                    Recovered::All => {
                        let wait = if hinted { AFTER_DEATH } else { WITHOUT_HINT };
                        // Workers that began together must not ask together.
                        next = Instant::now() + wait.mul_f64(1.0 + fastrand::f64() / 4.0);
                    }
                    Recovered::MayNotJudge => awaits_renewal = true,
                    Recovered::Failed => next = Instant::now() + AGAIN.mul_f64(1.0 + fastrand::f64()),
                }
            }
        }
    }
}

/// How recovering ended.
enum Recovered {
    /// None is left that can be recovered for now.
    All,
    /// This worker may declare nobody dead until its next renewal.
    MayNotJudge,
    /// The broker could not do it now.
    Failed,
}

/// Runs what the dead held, as slots are free, until none is left.
async fn recover_all(session: &Arc<QueueSession>, status: &watch::Receiver<Status>, lease: Duration) -> Recovered {
    // Most of the time nothing is found, and no slots may be kept meanwhile.
    let mut at_once = 1;
    loop {
        let Some((slot, entered)) = session.halt.run_until_cancelled(admitted_slot(session)).await else {
            return Recovered::All;
        };
        // A slot may be long in coming, and the broker have been away meanwhile.
        let Some(grace) = status.borrow().may_judge(&session.served.queue, lease) else {
            return Recovered::MayNotJudge;
        };
        // What is recovered starts at once, so no more than there are slots: a worker's death counts against each
        // message that it holds, also one that has not started.
        let slots = session.slots(slot, at_once);
        match session.broker.recover(&session.consumer, slots.len(), grace).await {
            Ok(recovered) => {
                if recovered.is_empty() {
                    session.outage.ended();
                    return Recovered::All;
                }
                failpoint::pass("worker.recovered");
                session.served.orphaned.notify_one();
                let admissions = session.executor.readmit(&recovered, entered);
                session.start_or_release(recovered.into_iter().zip(admissions), slots);
            }
            Err(error) => {
                session.outage.failed(&error);
                return Recovered::Failed;
            }
        }
        at_once = if session.executor.recovers_singly() { 1 } else { MOST_AT_ONCE };
    }
}

/// A slot, and the right to run a suspect in it. Neither is held while the other is waited for: an isolated suspect
/// of another queue may run for hours.
async fn admitted_slot(session: &QueueSession) -> (Slot, Admission) {
    loop {
        let slot = session.served.slots.acquire().await;
        if let Some(entered) = session.executor.suspects.admit(false) {
            return (slot, entered);
        }
        drop(slot);
        session.executor.suspects.until_none_is_isolated().await;
    }
}
