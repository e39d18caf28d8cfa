//! The steps that lead to a broken promise, as lines for a reader.

use stateright::Model;

use super::outbox::Entry;
use super::{Action, Child, Fate, Following, Outcome, Request, Run, State};
use crate::check::Machine;
use crate::trace::Trace;

impl Following {
    /// The shortest way to a state that breaks a promise, of at most `longest` steps.
    pub fn shortest(&self, promise: &'static str, longest: usize) -> Option<Trace> {
        let path = self.shortest_path(promise, longest)?;
        let mut lines = Vec::new();
        for (before, action) in path.into_vec() {
            let Some(action) = action else { break };
            let step = self.step(&before, &action);
            if let Some(after) = self.next_state(&before, action) {
                lines.push((step, places(&after)));
            }
        }
        Some(Trace::of(promise, lines))
    }

    fn step(&self, state: &State, action: &Action) -> String {
        match action {
            Action::Settle(run, outcome, fate) => {
                let again = if run.settling.is_some() { " again" } else { "" };
                let of = match outcome {
                    Outcome::Done => "success",
                    Outcome::Failed => "failure",
                };
                let lost = if *fate == Fate::Answered { "" } else { "; the answer is lost" };
                format!("{} settles the {of} of {}{again}{lost}", self.name(*run), held(*run))
            }
            Action::Recover(at) => format!("m{} is recovered from its dead worker", at + 1),
            Action::Mistake(at) => format!("m{} is recovered from a worker that lives", at + 1),
            Action::Crash(at, was_sent) => {
                let worker = worker(*at);
                match (was_sent, &state.relays[usize::from(*at)].request) {
                    (true, Some(request)) => format!("{worker} is killed, and asks {}", asked(request)),
                    (false, Some(request)) => format!("{worker} is killed before it asks {}", asked(request)),
                    _ => format!("{worker} is killed"),
                }
            }
            Action::Read(at) => format!("{} reads the outbox", worker(*at)),
            Action::Ask(at, fate) => {
                let request = state.relays[usize::from(*at)].request.as_ref().map(asked).unwrap_or_default();
                let worker = worker(*at);
                match fate {
                    Fate::Answered => format!("{worker} asks {request}"),
                    Fate::Unanswered => format!("{worker} asks {request}; the answer is lost"),
                    Fate::Late => format!("{worker} asks {request}, and its connection is cut"),
                }
            }
            Action::Refuse(at, 0) => format!("{}: the other queue refuses", worker(*at)),
            Action::Refuse(at, stored) => format!("{}: the other queue stores {stored} and refuses", worker(*at)),
            Action::Late(request) => format!("a late request: {}", asked(request)),
        }
    }

    fn name(&self, run: Run) -> char {
        worker(self.worker(run))
    }
}

fn worker(at: u8) -> char {
    char::from(b'A' + at)
}

fn held(run: Run) -> String {
    format!("m{} (token {})", run.message + 1, run.token)
}

fn asked(request: &Request) -> String {
    let list = |entries: &[Entry]| entries.iter().map(|(number, _)| number.to_string()).collect::<Vec<_>>().join(", ");
    match request {
        Request::Arrive(entries) => format!("that {} arrive", list(entries)),
        Request::Note(entries) => format!("that {} be noted", list(entries)),
        Request::Remove(entries, _) if entries.is_empty() => "whether more is left".to_owned(),
        Request::Remove(entries, _) => format!("that {} be removed", list(entries)),
        Request::Unlist => "that the outbox be forgotten".to_owned(),
    }
}

/// As `m1's first`, and the token of the run.
fn named(child: Child) -> String {
    let nth = ["first", "second", "third"].get(usize::from(child.nth)).copied().unwrap_or("next");
    format!("m{}'s {nth} (token {})", child.message + 1, child.token)
}

fn places(state: &State) -> String {
    let outbox: Vec<_> =
        state.outbox.entries.iter().map(|(number, child)| format!("{number}: {}", named(*child))).collect();
    let stored: Vec<_> = state.target.stored.iter().copied().map(named).collect();
    let or_nothing = |all: Vec<String>| if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
    format!("outbox: {}; arrived: {}", or_nothing(outbox), or_nothing(stored))
}
