//! Takes over what dead workers of a queue held, as many messages at a time as can start at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::fetch::IDLE_WAIT;
use super::heartbeat::Status;
use super::post::Post;
use super::suspects::Admission;
use crate::failpoint;

/// How often to look without a hint: the hint is an index, and an index may be lost. That is rare, and
/// a look is the dearest of what an idle worker asks for.
const LOOK: Duration = Duration::from_secs(30);

/// How soon after a death to look again. A worker that was cut off rather than killed leaves a waiting
/// claim behind, which may be lent something until its time is up, after everything else was taken.
const LOOK_AGAIN: Duration = IDLE_WAIT.saturating_add(Duration::from_secs(1));

/// How many messages are taken over in one step, at most. A storage that writes each step to a disk
/// before it answers does a few dozen a second.
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
    loop {
        let slot = Arc::clone(&post.lane.slots).acquire_owned();
        let Some(Ok(slot)) = unless_halted(post, slot).await else { return Took::All };
        let Some(Some(admission)) = unless_halted(post, post.executor.suspects.enter()).await else {
            return Took::All;
        };
        // A slot may be long in coming, and the broker have been away meanwhile.
        if !status.borrow().may_judge(lease) {
            return Took::MayNotJudge;
        }
        let mut places = places(post, (slot, admission));
        match post.broker.recover(&post.consumer, places.len()).await {
            Ok(recovered) if recovered.is_empty() => return Took::All,
            Ok(recovered) => {
                post.outage.ended();
                failpoint::pass("worker.took_over");
                // The places that stay empty must keep no last chance from running alone.
                places.truncate(recovered.len());
                for delivery in recovered {
                    let Some((slot, admission)) = places.pop() else {
                        post.give_back(delivery);
                        continue;
                    };
                    let admission = post.executor.readmit(&delivery, admission);
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

/// Where one taken over message can start at once.
type Place = (OwnedSemaphorePermit, Admission);

/// The first place, and those that are free beside it: what is taken over waits for nothing here, for
/// it would be blamed for this worker's death.
fn places(post: &Post, first: Place) -> Vec<Place> {
    let free = || {
        let slot = Arc::clone(&post.lane.slots).try_acquire_owned().ok()?;
        Some((slot, post.executor.suspects.admit(false)?))
    };
    std::iter::once(first).chain(std::iter::from_fn(free)).take(MOST_AT_ONCE).collect()
}

async fn unless_halted<T>(post: &Post, wait: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        waited = wait => Some(waited),
        () = post.halt.cancelled() => None,
    }
}
