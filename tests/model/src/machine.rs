//! The protocol as the model checker sees it: which steps can be taken, and where they lead.

use stateright::{Model, Property};

use crate::promises;
use crate::protocol::{Action, Protocol, State};
use crate::rules::Broken;
use crate::storage::Session;
use crate::worker::{Phase, Read, Standing, Worker};

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.begin()]
    }

    // Of the shortest traces the checker shows the last: what goes wrong stands first, and A last.
    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(state.storage.awaiting_their_time().map(Action::Promote));
        self.of_unique_keys(state, actions);
        let claims = |worker: &Worker| worker.is_up() && worker.standing == Standing::Working;
        if let Some(gate) = &state.storage.gate {
            if state.faults.changes > 0 {
                actions.push(Action::Limit(3 - gate.limit));
            }
            if state.workers.iter().any(claims) {
                actions.extend(gate.open().map(Action::Grant));
            }
        }
        for session in &state.orphans {
            actions.extend(state.storage.unread().map(|id| Action::DeliverToOrphan(*session, id)));
        }
        for worker in state.workers.iter().rev() {
            self.actions_of(state, worker, actions);
        }
        let expires = |session: &Session| match state.workers.get(usize::from(session.worker)) {
            Some(worker) if worker.session == *session => worker.away,
            _ => true,
        };
        let leases = state.storage.leases.iter();
        actions.extend(
            leases.filter(|(session, runs)| **runs && expires(session)).map(|(session, _)| Action::Expire(*session)),
        );
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.take(&mut next, action);
        for worker in &mut next.workers {
            worker.go_on();
        }
        promises::note_ends(&mut next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl Protocol {
    /// Whether nothing can happen any more but that something goes wrong.
    pub fn is_at_rest(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        actions.into_iter().all(Action::is_fault)
    }

    fn actions_of(&self, state: &State, worker: &Worker, actions: &mut Vec<Action>) {
        let at = worker.session.worker;
        let faults = state.faults;
        if worker.standing == Standing::Off {
            return;
        }
        // The server goes on, also where the process does not.
        if worker.read == Read::Waiting {
            actions.extend(state.storage.unread().map(|id| Action::Deliver(at, id)));
        }
        if faults.crashes > 0 {
            actions.push(Action::Crash(at));
        }
        if worker.away {
            actions.push(Action::Return(at));
            return;
        }
        if faults.absences > 0 {
            actions.push(Action::Leave(at));
        }
        if faults.stops > 0 && worker.standing == Standing::Working {
            actions.push(Action::Stop(at));
        }
        if !worker.sure || !state.storage.is_live(worker.session) {
            actions.push(Action::Renew(at));
        }
        self.claiming(state, worker, actions);
        self.recovering(state, worker, actions);
        Self::running(state, worker, actions);
        let is_noted = state.storage.stopping.contains(&worker.session);
        if worker.standing == Standing::Stopping && !is_noted && state.storage.leases.contains_key(&worker.session) {
            actions.push(Action::NoteStopping(at));
        }
        let idle = worker.runs.is_empty() && worker.recovered.is_none() && worker.page.is_none();
        if worker.standing == Standing::Stopping && idle && worker.read == Read::None {
            actions.push(Action::Deregister(at));
        }
    }

    fn of_unique_keys(&self, state: &State, actions: &mut Vec<Action>) {
        if state.faults.erasures > 0 {
            let storage = &state.storage;
            let is_stored = |message: &u8| {
                storage.entries.keys().chain(storage.later.iter().map(|(id, _)| id)).any(|id| id.message == *message)
            };
            actions.extend((0..self.messages).filter(is_stored).map(Action::Erase));
        }
        if state.unsent > 0 {
            actions.push(Action::Send);
        }
        if state.storage.holder_is_astray() {
            actions.push(Action::Repair);
        }
    }

    fn claiming(&self, state: &State, worker: &Worker, actions: &mut Vec<Action>) {
        let at = worker.session.worker;
        match worker.read {
            Read::Answered(_) => {
                if state.faults.losses > 0 {
                    actions.push(Action::LoseAnswer(at));
                }
                actions.push(Action::Arrive(at));
            }
            Read::Waiting if worker.doubt => actions.push(Action::EndRead(at)),
            Read::None | Read::Waiting => {}
        }
        if worker.page.is_some() {
            actions.push(Action::Fetch(at));
        } else if worker.doubt
            && worker.standing == Standing::Working
            && worker.read == Read::None
            && worker.recovered.is_none()
            && !self.is_broken(Broken::ForgetsLostAnswers)
        {
            actions.push(Action::Check(at));
        }
    }

    fn recovering(&self, state: &State, worker: &Worker, actions: &mut Vec<Action>) {
        let at = worker.session.worker;
        if worker.recovered.is_some() {
            if state.faults.losses > 0 {
                actions.push(Action::LoseRecovered(at));
            }
            actions.push(Action::ArriveRecovered(at));
            return;
        }
        let may_judge = state.storage.is_live(worker.session) || self.is_broken(Broken::DeadTakeOver);
        if may_judge && worker.standing == Standing::Working && worker.page.is_none() {
            let dead = state.storage.all_in_flight().filter(|(_, holder)| self.is_dead(state, *holder, worker));
            actions.extend(dead.map(|(id, _)| Action::Recover(at, id)));
            let holders = state.storage.holders();
            let ended = state.storage.leases.iter().filter(|(session, runs)| !**runs && **session != worker.session);
            let idle = ended.filter(|(session, _)| !holders.contains(session));
            actions.extend(idle.map(|(session, _)| Action::DeclareDead(at, *session)));
        }
    }

    fn running(state: &State, worker: &Worker, actions: &mut Vec<Action>) {
        let at = worker.session.worker;
        for (number, run) in (0..).zip(&worker.runs) {
            match run.phase {
                Phase::Running => {
                    actions.push(Action::Succeed(at, number));
                    actions.push(Action::Fail(at, number));
                    if worker.standing == Standing::Stopping {
                        actions.push(Action::Interrupt(at, number));
                    }
                }
                Phase::Succeeded { half: false } if !state.storage.ends_in_one_step() => {
                    actions.push(Action::SettleHalf(at, number));
                }
                Phase::Succeeded { .. } | Phase::Failed | Phase::Poisoned | Phase::HandedBack => {
                    if state.faults.losses > 0 {
                        actions.push(Action::SettleUnheard(at, number));
                    }
                    actions.push(Action::Settle(at, number));
                }
            }
        }
    }

    fn take(&self, state: &mut State, action: Action) {
        match action {
            Action::Promote(id) => state.storage.promote(id),
            Action::Grant(key) => Self::grant(state, key),
            Action::Limit(limit) => {
                if let Some(gate) = &mut state.storage.gate {
                    gate.limit = limit;
                }
                state.faults.changes -= 1;
            }
            Action::Send => self.send(state),
            Action::Erase(message) => {
                state.storage.lose(message);
                state.history.lost(message);
                state.faults.erasures -= 1;
            }
            Action::Repair => state.storage.repair_unique(),
            Action::Expire(session) => Self::expire(state, session),
            Action::DeliverToOrphan(session, id) => {
                state.orphans.remove(&session);
                if let Some(delivery) = state.storage.deliver(id, session) {
                    state.history.in_flight(delivery);
                }
            }
            Action::Deliver(at, _)
            | Action::Arrive(at)
            | Action::LoseAnswer(at)
            | Action::EndRead(at)
            | Action::Check(at)
            | Action::Fetch(at)
            | Action::Recover(at, _)
            | Action::ArriveRecovered(at)
            | Action::LoseRecovered(at) => self.take_up(state, usize::from(at), action),
            Action::Succeed(at, run)
            | Action::Fail(at, run)
            | Action::Interrupt(at, run)
            | Action::SettleHalf(at, run)
            | Action::Settle(at, run)
            | Action::SettleUnheard(at, run) => self.take_on(state, usize::from(at), run, action),
            Action::Renew(at)
            | Action::DeclareDead(at, _)
            | Action::Leave(at)
            | Action::Return(at)
            | Action::Crash(at)
            | Action::Stop(at)
            | Action::NoteStopping(at)
            | Action::Deregister(at) => self.live(state, usize::from(at), action),
        }
    }

    /// Steps by which a message comes to a worker.
    fn take_up(&self, state: &mut State, at: usize, action: Action) {
        let worker = &mut state.workers[at];
        match action {
            Action::Deliver(_, id) => {
                if let Some(delivery) = state.storage.deliver(id, worker.session) {
                    worker.read = Read::Answered(delivery);
                    state.history.in_flight(delivery);
                }
            }
            Action::Arrive(_) => {
                if let Read::Answered(delivery) = std::mem::replace(&mut worker.read, Read::None) {
                    self.arrive(state, at, delivery);
                }
            }
            Action::LoseAnswer(_) => {
                (worker.read, worker.doubt) = (Read::None, true);
                state.faults.losses -= 1;
            }
            Action::EndRead(_) => worker.read = Read::None,
            Action::Check(_) => self.check(state, at),
            Action::Fetch(_) => self.fetch(state, at),
            Action::Recover(_, id) => self.recover(state, at, id),
            Action::ArriveRecovered(_) => {
                if let Some(delivery) = worker.recovered.take() {
                    self.start(state, at, delivery);
                }
            }
            Action::LoseRecovered(_) => {
                (worker.recovered, worker.doubt) = (None, true);
                state.faults.losses -= 1;
            }
            _ => {}
        }
    }

    /// Steps of one run.
    fn take_on(&self, state: &mut State, at: usize, number: u8, action: Action) {
        let run = state.workers[at].run(number);
        match action {
            Action::Succeed(..) => {
                run.phase = Phase::Succeeded { half: false };
                let message = run.delivery.id.message;
                state.history.done(message);
            }
            Action::Fail(..) => run.phase = Phase::Failed,
            Action::Interrupt(..) => run.phase = Phase::HandedBack,
            Action::SettleHalf(..) => {
                run.phase = Phase::Succeeded { half: true };
                let run = *run;
                self.settle_half(state, &run);
            }
            Action::Settle(..) => {
                let run = state.workers[at].end(number);
                self.settle(state, &run);
            }
            Action::SettleUnheard(..) => {
                let before = *run;
                if run.phase == (Phase::Succeeded { half: true }) {
                    run.phase = Phase::Succeeded { half: false };
                }
                self.settle(state, &before);
                state.faults.losses -= 1;
            }
            _ => {}
        }
    }

    /// Steps of a worker's session.
    fn live(&self, state: &mut State, at: usize, action: Action) {
        let worker = &mut state.workers[at];
        match action {
            Action::Renew(_) => {
                if state.storage.renew(worker.session) {
                    worker.sure = true;
                } else {
                    Self::lose_lease(state, at);
                }
            }
            Action::DeclareDead(_, session) => self.declare_dead(state, session),
            Action::NoteStopping(_) => state.storage.note_stopping(worker.session),
            Action::Leave(_) => {
                worker.away = true;
                state.faults.absences -= 1;
            }
            Action::Return(_) => worker.away = false,
            Action::Crash(_) => {
                if worker.read == Read::Waiting {
                    state.orphans.insert(worker.session);
                }
                worker.begin_again(&mut state.storage);
                state.faults.crashes -= 1;
            }
            Action::Stop(_) => {
                worker.standing = Standing::Stopping;
                if worker.read == Read::Waiting {
                    worker.read = Read::None;
                }
                state.faults.stops -= 1;
            }
            Action::Deregister(_) => {
                worker.standing = Standing::Off;
                worker.doubt = false;
                state.storage.deregister(worker.session);
            }
            _ => {}
        }
    }

    /// A lease that was not renewed has ended, at the storage and by the clock of its worker.
    fn expire(state: &mut State, session: Session) {
        if let Some(runs) = state.storage.leases.get_mut(&session) {
            *runs = false;
        }
        if let Some(worker) = state.workers.iter_mut().find(|worker| worker.session == session) {
            worker.sure = false;
        }
    }
}
