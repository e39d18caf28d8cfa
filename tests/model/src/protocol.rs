//! The protocol: what can happen, and what it does.

use std::collections::BTreeSet;

use crate::history::History;
use crate::rules::Broken;
use crate::storage::{Delivery, Id, Session, Storage};
use crate::unique::{OnConflict, Sent};
use crate::worker::{Phase, Read, Run, Standing, Worker};

/// What is explored: how much there is of everything, and which rule is broken.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// How many messages are sent.
    pub messages: u8,
    /// How many keys they have, each with a limit; 0 for a queue without limits.
    pub keys: u8,
    /// What becomes of a message while another one is there, where all have one unique key.
    pub unique: Option<OnConflict>,
    /// How many workers there are.
    pub workers: u8,
    /// How often a message may be tried again.
    pub max_retries: u8,
    /// How many workers may die with a message.
    pub max_crashes: u8,
    /// How much may go wrong.
    pub faults: Faults,
    /// The rule that is broken.
    pub broken: Option<Broken>,
}

/// How much may go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// How many processes die. Each starts again, as a new session.
    pub crashes: u8,
    /// How often a process is paused, or cut off, for as long as it takes.
    pub absences: u8,
    /// How many answers are lost.
    pub losses: u8,
    /// How many workers are asked to stop.
    pub stops: u8,
    /// How often the limit is changed.
    pub changes: u8,
    /// How many messages Redis loses.
    pub erasures: u8,
}

/// All there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Redis.
    pub storage: Storage,
    /// The processes.
    pub workers: Vec<Worker>,
    /// How many messages are still to be sent.
    pub unsent: u8,
    /// Sessions whose process died, and whose read still waits at the server.
    pub orphans: BTreeSet<Session>,
    /// What may still go wrong.
    pub faults: Faults,
    /// What has happened, which nobody in the protocol knows.
    pub history: History,
}

/// One step. A number names a worker, or a run in the hands of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The server answers a worker's waiting read.
    Deliver(u8, Id),
    /// The server answers the read of a process that is dead.
    DeliverToOrphan(Session, Id),
    /// The answer to a read arrives.
    Arrive(u8),
    /// The answer to a read is lost.
    LoseAnswer(u8),
    /// A read ends with nothing, so that what lost answers delivered can be looked for.
    EndRead(u8),
    /// The storage says what is delivered to this session.
    Check(u8),
    /// What of that never arrived is fetched.
    Fetch(u8),
    /// The actor returns.
    Succeed(u8, u8),
    /// The actor fails.
    Fail(u8, u8),
    /// A stopping worker interrupts a run.
    Interrupt(u8, u8),
    /// The first command of a success.
    SettleHalf(u8, u8),
    /// A settlement is through, and answered.
    Settle(u8, u8),
    /// A settlement is through, and its answer is lost: it will be tried again.
    SettleUnheard(u8, u8),
    /// A scheduled message's time comes.
    Promote(Id),
    /// A claim lets the first message of a lane go.
    Grant(u8),
    /// The limit of each key becomes this.
    Limit(u8),
    /// The next message of the unique key is sent.
    Send,
    /// Redis loses a message.
    Erase(u8),
    /// A repair frees the key of a message that is nowhere.
    Repair,
    /// A worker renews its lease.
    Renew(u8),
    /// A lease ends that nobody renews.
    Expire(Session),
    /// A worker declares the holder of an entry dead, and is delivered the entry.
    Recover(u8, Id),
    /// A recovery's answer arrives.
    ArriveRecovered(u8),
    /// A recovery's answer is lost.
    LoseRecovered(u8),
    /// A worker declares one dead that holds nothing.
    DeclareDead(u8, Session),
    /// A process is out of touch.
    Leave(u8),
    /// A process is back.
    Return(u8),
    /// A process dies, and another starts.
    Crash(u8),
    /// A worker is asked to stop.
    Stop(u8),
    /// A stopping worker says so with its lease.
    NoteStopping(u8),
    /// A stopping worker ends its lease.
    Deregister(u8),
}

impl Action {
    /// Whether it is something that goes wrong, and need not happen.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Self::LoseAnswer(_)
                | Self::LoseRecovered(_)
                | Self::SettleUnheard(..)
                | Self::Leave(_)
                | Self::Crash(_)
                | Self::Stop(_)
                | Self::Limit(_)
                | Self::Erase(_)
        )
    }
}

impl Protocol {
    pub(crate) fn is_broken(&self, rule: Broken) -> bool {
        self.broken == Some(rule)
    }

    /// How it begins: every message was accepted, and every worker has its lease.
    pub(crate) fn begin(&self) -> State {
        let mut storage = Storage::with(self.messages, self.keys, self.unique);
        let workers = (0..self.workers).map(|worker| Worker::new(worker, &mut storage)).collect();
        let history = History::new(self.messages, self.unique.is_none());
        let unsent = if self.unique.is_some() { self.messages } else { 0 };
        State { storage, workers, unsent, orphans: BTreeSet::new(), faults: self.faults, history }
    }

    /// A delivery comes into the hands of a worker, which starts it, or sees that it may not.
    pub(crate) fn start(&self, state: &mut State, worker: usize, delivery: Delivery) {
        let session = state.workers[worker].session;
        let phase = if delivery.crashes() >= self.max_crashes { Phase::Poisoned } else { Phase::Running };
        if phase == Phase::Running {
            state.history.started(self, delivery);
        }
        if self.is_broken(Broken::AcknowledgesFirst) {
            state.storage.acknowledge(delivery.id);
            state.storage.delete(delivery.id);
        }
        state.workers[worker].take(Run { session, delivery, phase });
    }

    /// The first message of a lane goes, where the script sees a slot.
    pub(crate) fn grant(state: &mut State, key: u8) {
        state.storage.grant(key);
        let limit = state.storage.gate.as_ref().map_or(0, |gate| gate.limit);
        let granted = state.storage.granted(usize::from(key));
        state.history.granted(granted, limit);
    }

    /// The next message is sent.
    pub(crate) fn send(&self, state: &mut State) {
        let message = self.messages - state.unsent;
        state.unsent -= 1;
        let sent = state.storage.send(message, !self.is_broken(Broken::KeyOutlivesMessage));
        let is_there = matches!(sent, Sent::StoodFor(other) if state.storage.places(other) > 0);
        state.history.sent(message, sent, is_there);
    }

    /// The answer to a read arrives: a worker that stops releases what has not started.
    pub(crate) fn arrive(&self, state: &mut State, at: usize, delivery: Delivery) {
        let worker = &mut state.workers[at];
        if worker.standing == Standing::Working {
            self.start(state, at, delivery);
        } else {
            worker.take(Run { session: worker.session, delivery, phase: Phase::HandedBack });
        }
    }

    /// The worker learns that it was declared dead: it drops what runs, releases what has not
    /// started, goes on with what is only to be settled, and lives again.
    pub(crate) fn lose_lease(state: &mut State, at: usize) {
        let worker = &mut state.workers[at];
        let session = worker.session;
        let mut left: Vec<Run> = worker.runs.drain(..).filter(|run| run.phase != Phase::Running).collect();
        if let Read::Answered(delivery) = worker.read {
            left.push(Run { session, delivery, phase: Phase::HandedBack });
        }
        worker.begin_again(&mut state.storage);
        for run in left {
            worker.take(run);
        }
    }

    /// The storage says what is delivered to this session; what it holds is taken out.
    pub(crate) fn check(&self, state: &mut State, at: usize) {
        let worker = &mut state.workers[at];
        let in_flight = state.storage.all_in_flight().filter(|(_, session)| *session == worker.session);
        let mut page: Vec<Delivery> = in_flight.filter_map(|(id, _)| state.storage.as_delivered(id)).collect();
        if !self.is_broken(Broken::ComparesTooLate) {
            page.retain(|delivery| !worker.holds(delivery.id));
        }
        worker.page = Some(page);
    }

    /// What never arrived is fetched; what has lost its body is let go.
    pub(crate) fn fetch(&self, state: &mut State, at: usize) {
        let worker = &mut state.workers[at];
        let mut page = worker.page.take().unwrap_or_default();
        if self.is_broken(Broken::ComparesTooLate) {
            page.retain(|delivery| !worker.holds(delivery.id));
        }
        worker.doubt = false;
        for delivery in page {
            match state.storage.entries.get(&delivery.id) {
                Some(entry) if entry.body => {
                    state.history.found(delivery.id);
                    self.start(state, at, delivery);
                }
                Some(_) => state.storage.acknowledge(delivery.id),
                None => {}
            }
        }
    }

    /// Whether a worker may take an entry from its holder.
    pub(crate) fn is_dead(&self, state: &State, holder: Session, judge: &Worker) -> bool {
        let counts = !self.is_broken(Broken::TrustsIndex) || state.storage.leases.contains_key(&holder);
        holder != judge.session && !state.storage.is_live(holder) && counts
    }

    /// Declares a session dead: its next renewal finds its lease lost.
    pub(crate) fn declare_dead(&self, state: &mut State, session: Session) {
        match self.broken {
            Some(Broken::DeclaresNobody) => {}
            Some(Broken::DeclaresUnmarked) => _ = state.storage.leases.remove(&session),
            _ => state.storage.declare_dead(session),
        }
    }

    /// Declares a holder dead and delivers one of its entries, in one step.
    pub(crate) fn recover(&self, state: &mut State, at: usize, id: Id) {
        let judge = state.workers[at].session;
        let Some(holder) = state.storage.in_flight(id) else { return };
        let was_stopping = state.storage.stopping.contains(&holder);
        self.declare_dead(state, holder);
        if self.is_broken(Broken::StoppingCrashes) {
            state.storage.stopping.remove(&holder);
        }
        if let Some(mut delivery) = state.storage.recover(id, judge) {
            if was_stopping && self.is_broken(Broken::InterruptionKeepsToken) {
                (delivery.delivered_before, delivery.interrupted) =
                    (delivery.delivered_before - 1, delivery.interrupted - 1);
            }
            if self.is_broken(Broken::CrashSpendsRetry) {
                delivery.counters.attempt += 1;
            }
            if self.is_broken(Broken::RecoveryFrees) {
                state.storage.free(id.message);
            }
            state.history.recovered(id.message, was_stopping);
            state.history.in_flight(delivery);
            state.workers[at].recovered = Some(delivery);
        }
    }
}
