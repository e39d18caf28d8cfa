//! Takes over what dead workers of a queue held, as slots are free.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::fetch::IDLE_WAIT;
use super::heartbeat::Status;
use super::post::Post;
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
    loop {
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = sleep_until(look), if !awaits_renewal => {}
            () = post.halt.cancelled() => return,
        }
        let (hinted, may_judge) = {
            let status = status.borrow_and_update();
            (matches!(*status, Status::Live { deaths: true, .. }), status.may_judge(lease))
        };
        awaits_renewal = !may_judge;
        if may_judge && (hinted || look <= Instant::now()) {
            match take_over(&post, &status, lease).await {
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
async fn take_over(post: &Arc<Post>, status: &watch::Receiver<Status>, lease: Duration) -> Took {
    let at_once = if post.executor.recovers_singly() { 1 } else { MOST_AT_ONCE };
    loop {
        let slot = Arc::clone(&post.lane.slots).acquire_owned();
        let Some(Ok(slot)) = unless_halted(post, slot).await else { return Took::All };
        let Some(Some(entered)) = unless_halted(post, post.executor.suspects.enter()).await else {
            return Took::All;
        };
        // A slot may be long in coming, and the broker have been away meanwhile.
        if !status.borrow().may_judge(lease) {
            return Took::MayNotJudge;
        }
        // What is taken over starts at once: a message that waits in the hands of a worker is blamed for
        // its death. So no more than there are slots.
        let more = iter::from_fn(|| Arc::clone(&post.lane.slots).try_acquire_owned().ok());
        let slots: Vec<_> = iter::once(slot).chain(more).take(at_once).collect();
        match post.broker.recover(&post.consumer, slots.len()).await {
            Ok(recovered) => {
                post.outage.ended();
                if recovered.is_empty() {
                    return Took::All;
                }
                failpoint::pass("worker.took_over");
                let admissions = post.executor.readmit(&recovered, entered);
                for ((delivery, slot), admission) in recovered.into_iter().zip(slots).zip(admissions) {
                    post.start(delivery, slot, admission);
                }
            }
            Err(error) => {
                post.outage.failed(&error);
                return Took::All;
            }
        }
    }
}

async fn unless_halted<T>(post: &Post, wait: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        waited = wait => Some(waited),
        () = post.halt.cancelled() => None,
    }
}
