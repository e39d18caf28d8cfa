//! Settling: what becomes of a run that has ended.

use crate::protocol::{Protocol, State};
use crate::rules::Broken;
use crate::storage::{Counters, Reason};
use crate::unique::Place;
use crate::worker::{Phase, Run};

impl Protocol {
    /// The first of the two commands of a success.
    pub(crate) fn settle_half(&self, state: &mut State, run: &Run) {
        if self.is_broken(Broken::DeletesLast) {
            state.storage.acknowledge(run.delivery.id);
        } else {
            state.storage.delete(run.delivery.id);
        }
    }

    /// The last step of a settlement: the second command of a success, or a script.
    pub(crate) fn settle(&self, state: &mut State, run: &Run) {
        let (id, message) = (run.delivery.id, run.delivery.id.message);
        if let Phase::Succeeded { .. } = run.phase {
            let holder = state.storage.in_flight(id);
            if state.storage.ends_in_one_step() {
                let is_settled = state.storage.end(id);
                if is_settled || self.is_broken(Broken::FreesStale) {
                    state.storage.free(message);
                }
                self.give_up(state, run, is_settled);
            } else if self.is_broken(Broken::DeletesLast) {
                state.storage.delete(id);
            } else {
                state.storage.acknowledge(id);
            }
            if holder.is_some_and(|holder| holder != run.session) {
                state.history.late_success(message);
            }
            return;
        }
        let holder = state.storage.in_flight(id);
        let is_holder = holder == Some(run.session);
        if run.phase == Phase::Failed && holder.is_some_and(|holder| holder != run.session) {
            state.history.refused(message);
        }
        if is_holder || self.is_broken(Broken::SettlesWithoutOwner) {
            let before = state.storage.unique.clone();
            self.follow(state, run);
            if self.is_broken(Broken::ForgetsWhereHolderIs) {
                state.storage.unique = before;
            }
            self.free(state, run);
            let is_over = run.phase == Phase::Poisoned || (run.phase == Phase::Failed && self.is_last(run));
            if is_over {
                self.give_up(state, run, true);
            }
            state.history.settled(self, run, is_holder);
        } else {
            if self.is_broken(Broken::FreesStale) {
                state.storage.free(message);
            }
            self.give_up(state, run, false);
        }
    }

    /// What is over gives up its unique key, where the key names it; and a settlement that changes nothing gives up none.
    fn give_up(&self, state: &mut State, run: &Run, is_settled: bool) {
        let Some(unique) = &mut state.storage.unique else { return };
        if is_settled {
            unique.give_up(Place::Entry(run.delivery.id));
        } else if self.is_broken(Broken::ReleasesAnothersKey) {
            unique.let_go();
        }
    }

    /// What held its slot, and is not released with it, holds it no more.
    fn free(&self, state: &mut State, run: &Run) {
        let is_dead = run.phase == Phase::Poisoned || (run.phase == Phase::Failed && self.is_last(run));
        let keeps = run.phase == Phase::HandedBack || (is_dead && self.is_broken(Broken::DeadLetterKeepsSlot));
        if !keeps {
            state.storage.free(run.delivery.id.message);
        }
    }

    /// What follows from a settlement that counts.
    fn follow(&self, state: &mut State, run: &Run) {
        let id = run.delivery.id;
        let mut counters = Counters {
            attempt: run.delivery.counters.attempt,
            crashes: run.delivery.crashes(),
            deliveries: run.delivery.token(),
        };
        if self.is_broken(Broken::TokensBeginAnew) {
            counters.deliveries = 0;
        }
        if self.is_broken(Broken::ForgetsCrashes) {
            counters.crashes = 0;
        }
        match run.phase {
            Phase::Failed if self.is_last(run) => state.storage.dead_letter(id, Reason::Failed),
            Phase::Failed => {
                counters.attempt += 1;
                state.storage.retry(id, counters);
            }
            Phase::Poisoned => state.storage.dead_letter(id, Reason::Poison),
            Phase::HandedBack => state.storage.release(id, counters),
            Phase::Running | Phase::Succeeded { .. } => {}
        }
    }

    /// Whether no retry is left.
    pub(crate) fn is_last(&self, run: &Run) -> bool {
        run.delivery.counters.attempt >= self.max_retries
    }
}
