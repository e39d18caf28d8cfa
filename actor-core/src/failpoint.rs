//! Points between two steps of the protocol, at which a process can be made to die by name: for the
//! project's own proof that nothing is lost wherever a worker or a producer ends.
//!
//! Without the feature `failpoints` a point is nothing at all. A broker passes points of its own by
//! the same [`pass`].

/// The worker's points, in the order of a worker's life. `tests/tidy.rs` holds each against the place
/// where it is passed.
#[cfg(feature = "failpoints")]
pub const POINTS: &[&str] = &[
    // The lease is live, and nothing was claimed under it.
    "worker.live",
    // The worker has learned of messages that were cancelled.
    "worker.told",
    // What a claim was in flight waits for its slots.
    "worker.claimed",
    // A delivery has its slot, and its run has not begun.
    "worker.starting",
    // A message has given up its unique key, and its run has not begun.
    "worker.begun",
    // A run is over, and its settlement is not sent.
    "worker.run_ended",
    // A batch has its slot, and its run has not begun.
    "worker.batch_starting",
    // The run of a batch is over, and none of its settlements is sent.
    "worker.batch_ended",
    // One batch is settled, and the next waits.
    "worker.settled",
    // What follows from a run is about to be brought to another queue.
    "worker.relaying",
    // A dead worker's message was recovered, and has not started.
    "worker.recovered",
    // What was parked is delivered, and has not started.
    "worker.unparked",
    // Schedules are due, and not fired. And they are fired.
    "worker.tick_due",
    "worker.tick_fired",
    // The worker stops, and has not released what has not started.
    "worker.releasing",
    // The worker stops, its runs are over, and their last settlements are under way.
    "worker.runs_over",
    // The worker stops, everything is settled, and the lease still stands.
    "worker.all_settled",
    // The lease has ended in good order.
    "worker.deregistered",
    // The worker has learned that it was declared dead, and still runs what it held.
    "worker.lease_lost",
    // What it held under the lost lease is left, and the next session has not begun.
    "worker.abandoned",
];

/// Passes a point, at which the process may be set to die.
#[inline]
pub fn pass(point: &str) {
    #[cfg(feature = "failpoints")]
    if is_due(point) {
        fire();
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = point;
}

#[cfg(feature = "failpoints")]
pub use armed::{arm, fire, is_due};

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Armed> = OnceLock::new();

    struct Armed {
        point: String,
        passes: u64,
        passed: AtomicU64,
        end: Box<dyn Fn(&str) + Send + Sync>,
    }

    /// Has the pass of this number through a point call `end`, which should not return. A process is
    /// armed once; whether this was the once.
    pub fn arm(point: &str, passes: u64, end: impl Fn(&str) + Send + Sync + 'static) -> bool {
        let (point, passed) = (point.to_owned(), AtomicU64::new(0));
        ARMED.set(Armed { point, passes, passed, end: Box::new(end) }).is_ok()
    }

    /// Counts a pass. Whether it is the one to die at.
    pub fn is_due(point: &str) -> bool {
        let Some(armed) = ARMED.get().filter(|armed| armed.point == point) else { return false };
        armed.passed.fetch_add(1, Ordering::Relaxed) + 1 == armed.passes
    }

    /// Ends the process as it was armed to.
    pub fn fire() {
        if let Some(armed) = ARMED.get() {
            (armed.end)(&armed.point);
        }
    }
}

#[cfg(all(test, feature = "failpoints"))]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_pass_that_was_chosen_ends_the_process_and_no_other() {
        let (ends, ended) = channel();
        assert!(arm("here", 2, move |point| ends.send(point.to_owned()).unwrap()));
        assert!(!arm("there", 1, |_| {}), "a process is armed once");
        pass("here");
        pass("there");
        assert!(ended.try_recv().is_err(), "too soon");
        pass("here");
        assert_eq!(ended.try_recv().as_deref(), Ok("here"));
        pass("here");
        assert!(ended.try_recv().is_err(), "once");
    }
}
