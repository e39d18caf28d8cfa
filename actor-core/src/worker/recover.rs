//! Takes over what dead workers of a queue held, as slots are free.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::fetch::IDLE_WAIT;
use super::heartbeat::Status;
use super::outage::Outage;
use super::post::Post;
use super::suspects::Admission;
use crate::failpoint;

/// How often to look without a hint: the hint is an index, and an index may be lost. That is rare, and
/// a look is the dearest of what an idle worker asks for.
const LOOK: Duration = Duration::from_secs(30);

/// How soon after a death to look again. A worker that was cut off rather than killed leaves a waiting
/// claim behind, which may be lent something until its time is up, after everything else was taken.
const LOOK_AGAIN: Duration = IDLE_WAIT.saturating_add(Duration::from_secs(1));

/// How many messages are taken over in one step. A step costs an answer of the storage, which may have to
/// wait for its disk, and what a dead worker had fetched ahead may be a thousand.
const MOST_AT_ONCE: usize = 32;

/// Recovers until the post is halted.
pub(crate) async fn recover(post: Arc<Post>, mut status: watch::Receiver<Status>, lease: Duration) {
    let mut look = Instant::now() + lease;
    let mut awaits_renewal = true;
    let outage = post.outage.part(Some(&post.consumer.queue));
    loop {
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = sleep_until(look), if !awaits_renewal => {}
            () = post.halt.cancelled() => return,
        }
        let (hinted, may_judge) = {
            let status = status.borrow_and_update();
            (matches!(*status, Status::Live { deaths: true, .. }), status.may_judge(lease).is_some())
        };
        awaits_renewal = !may_judge;
        if may_judge && (hinted || look <= Instant::now()) {
            match take_over(&post, &status, lease, &outage).await {
                Took::All => {
                    let wait = if hinted { LOOK_AGAIN } else { LOOK };
                    // Workers that began together shall not look together.
                    look = Instant::now() + wait.mul_f64(1.0 + fastrand::f64() / 4.0);
                }
                Took::MayNotJudge => awaits_renewal = true,
            }
        }
    }
}

/// How a taking over ended.
enum Took {
    /// None is left that can be taken for now.
    All,
    /// This worker may declare nobody dead until its next renewal.
    MayNotJudge,
}

/// Runs what the dead held, as slots are free, until none is left.
async fn take_over(post: &Arc<Post>, status: &watch::Receiver<Status>, lease: Duration, outage: &Outage) -> Took {
    // Most looks find nothing, and shall not keep slots meanwhile.
    let mut at_once = 1;
    loop {
        let Some((slot, entered)) = unless_halted(post, room(post)).await else { return Took::All };
        // A slot may be long in coming, and the broker have been away meanwhile.
        let Some(grace) = status.borrow().may_judge(lease) else { return Took::MayNotJudge };
        // What is taken over starts at once: a message that waits in the hands of a worker is blamed for
        // its death. So no more than there are slots.
        let more = iter::from_fn(|| Arc::clone(&post.lane.slots).try_acquire_owned().ok());
        let slots: Vec<_> = iter::once(slot).chain(more).take(at_once).collect();
        match post.broker.recover(&post.consumer, slots.len(), grace).await {
            Ok(recovered) => {
                outage.ended();
                if recovered.is_empty() {
                    return Took::All;
                }
                failpoint::pass("worker.took_over");
                let admissions = post.executor.readmit(&recovered, entered);
                let mut slots = slots.into_iter();
                for (delivery, admission) in recovered.into_iter().zip(admissions) {
                    match slots.next() {
                        Some(slot) => post.start(delivery, slot, admission),
                        None => post.give_back(delivery),
                    }
                }
            }
            Err(error) => {
                // That the broker is away is left to those who ask again at once, and soon know its end.
                if !error.is_unavailable() {
                    outage.failed(&error);
                }
                return Took::All;
            }
        }
        at_once = if post.executor.recovers_singly() { 1 } else { MOST_AT_ONCE };
    }
}

/// A slot, and the right to run a suspect in it. Neither is held while the other is waited for: a suspect of
/// another queue may run alone for hours.
async fn room(post: &Post) -> (OwnedSemaphorePermit, Admission) {
    loop {
        if let Ok(slot) = Arc::clone(&post.lane.slots).acquire_owned().await
            && let Some(entered) = post.executor.suspects.admit(false)
        {
            return (slot, entered);
        }
        post.executor.suspects.until_none_is_alone().await;
    }
}

async fn unless_halted<T>(post: &Post, wait: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        waited = wait => Some(waited),
        () = post.halt.cancelled() => None,
    }
}
