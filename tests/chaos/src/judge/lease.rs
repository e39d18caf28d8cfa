//! What a worker could know of its lease while it ran a message.

use super::Evidence;
use super::evidence::Session;
use super::message::Run;

impl Evidence {
    /// The session in which a run began.
    pub(crate) fn session(&self, run: &Run) -> Option<&Session> {
        self.sessions.get(&run.process)?.iter().rev().find(|session| session.since <= run.start)
    }

    /// Whether a run's worker could know at `at` that the run's lease held: it was granted one that had not ended, and
    /// had not learned that it was lost.
    pub(crate) fn lease_held(&self, run: &Run, at: u64) -> bool {
        let Some(session) = self.session(run) else { return false };
        let Some(granted) = session.granted.iter().rev().find(|granted| **granted <= at) else { return false };
        granted + self.lease_us > at && session.lost.is_none_or(|lost| lost > at)
    }

    /// When the last lease ended that the run's worker was granted in that session.
    pub(crate) fn lease_ended(&self, run: &Run) -> u64 {
        let last = self.session(run).and_then(|session| session.granted.last());
        last.map_or(run.start, |granted| granted + self.lease_us)
    }

    /// Until when a run's worker could know without a break that the run's lease held; the start of the run if it could not.
    pub(crate) fn lease_held_until(&self, run: &Run) -> u64 {
        if !self.lease_held(run, run.start) {
            return run.start;
        }
        let Some(session) = self.session(run) else { return run.start };
        let mut until = run.start;
        for granted in &session.granted {
            // The first one that holds at the start, and each that was asked for while the one before held.
            if *granted <= run.start || *granted <= until {
                until = until.max(granted + self.lease_us);
            }
        }
        session.lost.map_or(until, |lost| lost.min(until))
    }

    /// Whether two runs overlapped at a time at which both workers could know that their lease held.
    pub(crate) fn both_held(&self, earlier: &Run, later: &Run) -> bool {
        let until = self.over(earlier).min(self.over(later));
        let granted = |run| self.session(run).map_or(&[][..], |session| session.granted.as_slice());
        // A lease that does not hold can only start to hold when it is granted.
        let moments = granted(earlier).iter().chain(granted(later)).copied();
        moments
            .chain([later.start])
            .filter(|at| (later.start..until).contains(at))
            .any(|at| self.lease_held(earlier, at) && self.lease_held(later, at))
    }
}
