//! Which steps can be taken, and where they lead.

use stateright::{Model, Property};

use super::outbox::Entry;
use super::promises;
use super::rules::Broken;
use super::{Action, Child, Fate, Following, Outcome, Request, Run, State};

impl Model for Following {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.begin()]
    }

    // Of the shortest traces the checker shows the last: what goes wrong stands first.
    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for at in 0..self.workers {
            self.crashes(state, at, actions);
        }
        actions.extend(state.late.iter().cloned().map(Action::Late));
        for at in 0..self.messages {
            if state.is_orphaned(at) {
                actions.push(Action::Recover(at));
            } else if state.messages[usize::from(at)].settled.is_none() && state.faults.mistakes > 0 {
                actions.push(Action::Mistake(at));
            }
        }
        for at in (0..self.workers).rev() {
            self.relaying(state, at, actions);
        }
        for run in &state.runs {
            let outcomes = run.settling.map_or_else(|| vec![Outcome::Failed, Outcome::Done], |outcome| vec![outcome]);
            for outcome in outcomes {
                if state.faults.losses > 0 {
                    actions.push(Action::Settle(*run, outcome, Fate::Unanswered));
                }
                actions.push(Action::Settle(*run, outcome, Fate::Answered));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.take(&mut next, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl Following {
    /// Whether nothing can happen any more but that something goes wrong.
    pub fn is_at_rest(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        actions.iter().all(Action::is_fault)
    }

    fn crashes(&self, state: &State, at: u8, actions: &mut Vec<Action>) {
        let relay = &state.relays[usize::from(at)];
        let has_something = relay.told || state.runs.iter().any(|run| self.worker(*run) == at);
        if state.faults.crashes == 0 {
            return;
        }
        if relay.request.is_some() {
            actions.push(Action::Crash(at, true));
        }
        if relay.request.is_some() || has_something {
            actions.push(Action::Crash(at, false));
        }
    }

    fn relaying(&self, state: &State, at: u8, actions: &mut Vec<Action>) {
        let relay = &state.relays[usize::from(at)];
        let Some(request) = &relay.request else {
            if relay.told || (state.outbox.listed && !self.breaks(Broken::NobodyLooks)) {
                actions.push(Action::Read(at));
            }
            return;
        };
        if let Request::Arrive(entries) = request
            && state.faults.refusals > 0
        {
            let new = entries.len() - state.target.known(entries);
            actions.extend((0..new).map(|stored| Action::Refuse(at, stored)));
        }
        if state.faults.losses > 0 {
            actions.push(Action::Ask(at, Fate::Late));
            actions.push(Action::Ask(at, Fate::Unanswered));
        }
        actions.push(Action::Ask(at, Fate::Answered));
    }

    fn take(&self, state: &mut State, action: Action) {
        match action {
            Action::Settle(run, outcome, fate) => self.settle(state, run, outcome, fate),
            Action::Recover(at) => state.deliver(at),
            Action::Mistake(at) => {
                state.faults.mistakes -= 1;
                state.deliver(at);
            }
            Action::Crash(at, was_sent) => {
                state.faults.crashes -= 1;
                state.runs.retain(|run| self.worker(*run) != at);
                let relay = std::mem::take(&mut state.relays[usize::from(at)]);
                state.late.extend(relay.request.filter(|_| was_sent));
            }
            Action::Read(at) => self.read(state, at),
            Action::Ask(at, fate) => {
                let Some(request) = state.relays[usize::from(at)].request.take() else { return };
                state.faults.losses -= u8::from(fate != Fate::Answered);
                let next = match fate {
                    Fate::Late => {
                        state.late.insert(request);
                        None
                    }
                    Fate::Answered | Fate::Unanswered => self.answer(state, request, None),
                };
                let relay = &mut state.relays[usize::from(at)];
                if fate == Fate::Answered {
                    (relay.told, relay.request) = next.unwrap_or((false, None));
                } else {
                    relay.told = true;
                }
            }
            Action::Refuse(at, stored) => {
                state.faults.refusals -= 1;
                let Some(request) = state.relays[usize::from(at)].request.take() else { return };
                let next = self.answer(state, request, Some(stored));
                let relay = &mut state.relays[usize::from(at)];
                (relay.told, relay.request) = next.unwrap_or((false, None));
            }
            Action::Late(request) => {
                state.late.remove(&request);
                self.answer(state, request, None);
            }
        }
    }

    /// Settles a run, with what follows from it: one script.
    fn settle(&self, state: &mut State, run: Run, outcome: Outcome, fate: Fate) {
        state.runs.remove(&run);
        if fate == Fate::Answered {
            // It looks for what is to be relayed whatever the answer is: the first try may have counted.
            state.relays[usize::from(self.worker(run))].told = true;
        } else {
            state.faults.losses -= 1;
            state.runs.insert(Run { settling: Some(outcome), ..run });
        }
        let message = &mut state.messages[usize::from(run.message)];
        let counts = message.settled.is_none() && (outcome == Outcome::Done || message.token == run.token);
        let is_last = outcome == Outcome::Done || run.failures == self.max_retries;
        if counts && !is_last {
            message.failures += 1;
            state.deliver(run.message);
            return;
        }
        if counts {
            message.settled = Some((run.token, outcome));
        }
        if is_last && (counts || self.breaks(Broken::FollowsUnasked)) {
            for nth in 0..self.follow {
                let child = Child { message: run.message, token: run.token, outcome, nth };
                state.outbox.put(child);
                state.noted.push(child);
            }
        }
    }

    fn read(&self, state: &mut State, at: u8) {
        let relay = &mut state.relays[usize::from(at)];
        let after = if self.breaks(Broken::ReadsOn) { relay.read } else { 0 };
        let left = state.outbox.entries.iter().filter(|(number, _)| *number > after);
        let entries: Vec<Entry> = left.take(self.at_once).copied().collect();
        relay.told = false;
        if self.breaks(Broken::ReadsOn) {
            // Where nothing is left it begins anew.
            relay.read = entries.last().map_or(0, |(number, _)| *number);
        }
        if !entries.is_empty() {
            relay.request = Some(match self.breaks(Broken::RemovesFirst) {
                true => Request::Remove(entries, false),
                false => Request::Arrive(entries),
            });
        }
    }

    /// Does what is asked for, of what is stored only so many where the next is refused. What the relay that hears the
    /// answer does next: whether it goes on, and by which request.
    fn answer(&self, state: &mut State, request: Request, refused: Option<usize>) -> Option<(bool, Option<Request>)> {
        match request {
            Request::Arrive(entries) => {
                let has_memory = !self.breaks(Broken::ArrivesWithoutMemory);
                let known = if has_memory { state.target.known(&entries) } else { 0 };
                let arrived = known + refused.unwrap_or(entries.len() - known).min(entries.len() - known);
                state.target.store(&entries[known..arrived]);
                let goes_on = refused.is_some() && self.breaks(Broken::PassesOver);
                if goes_on {
                    state.target.store(&entries[arrived + 1..]);
                }
                let arrived = if goes_on { &entries[..] } else { &entries[..arrived] };
                if self.breaks(Broken::NotesApart) {
                    return Some((false, Some(Request::Note(arrived.to_vec()))));
                }
                state.target.note(arrived);
                if self.breaks(Broken::RemovesFirst) {
                    return Some((true, None));
                }
                Some((false, Some(Request::Remove(arrived.to_vec(), refused.is_some()))))
            }
            Request::Note(entries) => {
                state.target.note(&entries);
                Some((false, Some(Request::Remove(entries, false))))
            }
            Request::Remove(entries, was_refused) => {
                let outbox = &mut state.outbox;
                outbox.remove(&entries);
                if self.breaks(Broken::RemovesFirst) {
                    outbox.listed = !outbox.entries.is_empty();
                    return Some((false, Some(Request::Arrive(entries))));
                }
                if !outbox.entries.is_empty() {
                    return Some((true, None));
                }
                if self.breaks(Broken::ForgetsNumber) {
                    outbox.last = 0;
                }
                if self.breaks(Broken::UnlistsApart) {
                    return Some((false, Some(Request::Unlist)));
                }
                outbox.listed = false;
                Some((was_refused, None))
            }
            Request::Unlist => {
                state.outbox.listed = false;
                None
            }
        }
    }
}

impl Action {
    /// Whether it is something that goes wrong.
    fn is_fault(&self) -> bool {
        match self {
            Self::Mistake(_) | Self::Crash(..) | Self::Refuse(..) => true,
            Self::Settle(_, _, fate) | Self::Ask(_, fate) => *fate != Fate::Answered,
            Self::Recover(_) | Self::Read(_) | Self::Late(_) => false,
        }
    }
}
