//! Recovers what dead workers of a queue held, as slots are free.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::fetch::IDLE_WAIT;
use super::heartbeat::Status;
use super::queue_session::QueueSession;
use super::slots::Slot;
use super::suspects::Admission;
use crate::failpoint;

/// How often to look without a hint: the hint is an index, and an index may be lost. That is rare, and
/// a look is the dearest of what an idle worker asks for.
const LOOK: Duration = Duration::from_secs(30);

/// How soon after a death to look again. A worker that was cut off rather than killed leaves a waiting
/// claim behind, which may be in flight something until its time is up, after everything else was taken.
const LOOK_AGAIN: Duration = IDLE_WAIT.saturating_add(Duration::from_secs(1));

/// How soon to look again where the broker could not be asked, at least.
const AGAIN: Duration = Duration::from_secs(1);

/// How many messages are recovered in one step. A step costs an answer of the storage, which may have to
/// wait for its disk, and what a dead worker had fetched ahead may be a thousand.
const MOST_AT_ONCE: usize = 32;

/// Recovers until the post is halted.
pub(crate) async fn recover(session: Arc<QueueSession>, mut status: watch::Receiver<Status>, lease: Duration) {
    let mut look = Instant::now() + lease;
    let mut awaits_renewal = true;
    loop {
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = sleep_until(look), if !awaits_renewal => {}
            () = session.halt.cancelled() => return,
        }
        let (hinted, may_judge) = {
            let status = status.borrow_and_update();
            (matches!(*status, Status::Live { deaths: true, .. }), status.may_judge(lease).is_some())
        };
        awaits_renewal = !may_judge;
        if may_judge && (hinted || look <= Instant::now()) {
            match recover_all(&session, &status, lease).await {
                Took::All => {
                    let wait = if hinted { LOOK_AGAIN } else { LOOK };
                    // Workers that began together must not look together.
                    look = Instant::now() + wait.mul_f64(1.0 + fastrand::f64() / 4.0);
                }
                Took::MayNotJudge => awaits_renewal = true,
                Took::Failed => look = Instant::now() + AGAIN.mul_f64(1.0 + fastrand::f64()),
            }
        }
    }
}

/// How a recovering ended.
enum Took {
    /// None is left that can be taken for now.
    All,
    /// This worker may declare nobody dead until its next renewal.
    MayNotJudge,
    /// The broker could not do it now.
    Failed,
}

/// Runs what the dead held, as slots are free, until none is left.
async fn recover_all(session: &Arc<QueueSession>, status: &watch::Receiver<Status>, lease: Duration) -> Took {
    // Most looks find nothing, and must not keep slots meanwhile.
    let mut at_once = 1;
    loop {
        let Some((slot, entered)) = session.unless_halted(room(session)).await else { return Took::All };
        // A slot may be long in coming, and the broker have been away meanwhile.
        let Some(grace) = status.borrow().may_judge(lease) else { return Took::MayNotJudge };
        // What is recovered starts at once: a message that waits in the hands of a worker is blamed for
        // its death. So no more than there are slots.
        let more = iter::from_fn(|| session.served.slots.try_acquire());
        let slots: Vec<_> = iter::once(slot).chain(more).take(at_once).collect();
        match session.broker.recover(&session.consumer, slots.len(), grace).await {
            Ok(recovered) => {
                session.outage.ended();
                if recovered.is_empty() {
                    return Took::All;
                }
                failpoint::pass("worker.recovered");
                let admissions = session.executor.readmit(&recovered, entered);
                let mut slots = slots.into_iter();
                for (delivery, admission) in recovered.into_iter().zip(admissions) {
                    match slots.next() {
                        Some(slot) => session.start(delivery, slot, admission),
                        None => session.release(delivery),
                    }
                }
            }
            Err(error) => {
                session.outage.failed(&error);
                return Took::Failed;
            }
        }
        at_once = if session.executor.recovers_singly() { 1 } else { MOST_AT_ONCE };
    }
}

/// A slot, and the right to run a suspect in it. Neither is held while the other is waited for: a suspect of
/// another queue may run alone for hours.
async fn room(session: &QueueSession) -> (Slot, Admission) {
    loop {
        let slot = session.served.slots.acquire().await;
        if let Some(entered) = session.executor.suspects.admit(false) {
            return (slot, entered);
        }
        drop(slot);
        session.executor.suspects.until_none_is_alone().await;
    }
}
