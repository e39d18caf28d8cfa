//! The steps that lead to a broken promise, as lines for a reader.

use std::fmt;

use stateright::{Model, Path};

use crate::protocol::{Action, Protocol, State};
use crate::storage::{Delivery, Group, Reason, Session};
use crate::worker::{Phase, Read, Run};

/// The shortest way to a state that breaks a promise. Each line is a step, and where the messages are
/// after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    promise: &'static str,
    lines: Vec<(String, String)>,
}

impl Trace {
    pub(crate) fn new(protocol: &Protocol, promise: &'static str, path: Path<State, Action>) -> Self {
        let mut lines = Vec::new();
        for (before, action) in path.into_vec() {
            let Some(action) = action else { break };
            if let Some(after) = protocol.next_state(&before, action) {
                lines.push((step(&before, action), places(&after)));
            }
        }
        Self::of(promise, lines)
    }

    pub(crate) fn of(promise: &'static str, lines: Vec<(String, String)>) -> Self {
        Self { promise, lines }
    }

    /// How many steps it has.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the promise is broken from the beginning.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|(step, _)| step.len()).max().unwrap_or_default();
        for (number, (step, places)) in (1..).zip(&self.lines) {
            writeln!(f, "{number:>2}. {step:<width$}  | {places}")?;
        }
        write!(f, "broken: {}", self.promise)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = char::from(b'A' + self.worker);
        match self.number {
            1 => write!(f, "{name}"),
            number => write!(f, "{name}{number}"),
        }
    }
}

fn message(number: u8) -> String {
    format!("m{}", number + 1)
}

fn delivered(delivery: Delivery) -> String {
    format!("{} (token {})", message(delivery.id.message), delivery.token())
}

fn step(state: &State, action: Action) -> String {
    let session = |at: u8| state.workers[usize::from(at)].session;
    let is_one_step = state.storage.ends_in_one_step();
    let run = |at: u8, number: u8| state.workers[usize::from(at)].runs[usize::from(number)];
    match action {
        Action::Deliver(at, id) => format!("the server answers {}'s read with {}", session(at), message(id.message)),
        Action::DeliverToOrphan(dead, id) => {
            format!("the server answers the read that dead {dead} left with {}", message(id.message))
        }
        Action::Arrive(at) => match state.workers[usize::from(at)].read {
            Read::Answered(delivery) => format!("the answer reaches {}: {}", session(at), delivered(delivery)),
            Read::None | Read::Waiting => String::new(),
        },
        Action::LoseAnswer(at) | Action::LoseRecovered(at) => format!("the answer to {} is lost", session(at)),
        Action::EndRead(at) => format!("{}'s read ends with nothing", session(at)),
        Action::Check(at) => format!("{} asks what is delivered to it", session(at)),
        Action::Fetch(at) => format!("{} fetches what of that it does not hold", session(at)),
        Action::Succeed(at, number) => {
            format!("{} has done {}", run(at, number).session, delivered(run(at, number).delivery))
        }
        Action::Fail(at, number) => {
            format!("{} fails at {}", run(at, number).session, delivered(run(at, number).delivery))
        }
        Action::Interrupt(at, number) => {
            format!("{} interrupts {}", run(at, number).session, delivered(run(at, number).delivery))
        }
        Action::SettleHalf(at, number) | Action::Settle(at, number) => settlement(&run(at, number), is_one_step),
        Action::SettleUnheard(at, number) => {
            format!("{}, and hears no answer", settlement(&run(at, number), is_one_step))
        }
        Action::Promote(id) => format!("the time of {} has come", message(id.message)),
        Action::Grant(key) => {
            let lane = state.storage.gate.as_ref().and_then(|gate| gate.lanes[usize::from(key)].first());
            format!("{} may go", lane.map(|(first, _)| message(*first)).unwrap_or_default())
        }
        Action::Limit(limit) => format!("the limit becomes {limit}"),
        Action::Send => {
            let number = state.history.pasts.len() - usize::from(state.unsent);
            format!("m{} is sent", number + 1)
        }
        Action::Erase(number) => format!("Redis loses {}", message(number)),
        Action::Repair => "a repair frees the unique key".to_owned(),
        Action::Renew(at) => format!("{} renews its lease", session(at)),
        Action::Expire(of) => format!("{of}'s lease ends"),
        Action::Recover(at, id) => {
            let holder = state.storage.in_flight(id).map(|holder| holder.to_string()).unwrap_or_default();
            format!("{} declares {holder} dead and takes {}", session(at), message(id.message))
        }
        Action::ArriveRecovered(at) => match state.workers[usize::from(at)].recovered {
            Some(delivery) => format!("the answer reaches {}: {}", session(at), delivered(delivery)),
            None => String::new(),
        },
        Action::DeclareDead(at, dead) => format!("{} declares {dead} dead, which holds nothing", session(at)),
        Action::Leave(at) => format!("{} is paused", session(at)),
        Action::Return(at) => format!("{} goes on", session(at)),
        Action::Crash(at) => format!("{} is killed", session(at)),
        Action::Stop(at) => format!("{} is asked to stop", session(at)),
        Action::NoteStopping(at) => format!("{} says with its lease that it is stopping", session(at)),
        Action::Deregister(at) => format!("{} ends its lease", session(at)),
    }
}

/// Of a message that holds a slot, a success is settled in one step.
fn settlement(run: &Run, is_one_step: bool) -> String {
    let (session, delivered) = (run.session, delivered(run.delivery));
    match run.phase {
        Phase::Running => String::new(),
        Phase::Succeeded { half: false } if is_one_step => format!("{session} settles its success of {delivered}"),
        Phase::Succeeded { half: false } => format!("{session} settles its success of {delivered}, first command"),
        Phase::Succeeded { half: true } => format!("{session} settles its success of {delivered}, second command"),
        Phase::Failed => format!("{session} settles its failure at {delivered}"),
        Phase::Poisoned => format!("{session} dead-letters {delivered} as poison"),
        Phase::HandedBack => format!("{session} gives {delivered} back"),
    }
}

/// Where each message is.
fn places(state: &State) -> String {
    let messages = (0..).zip(&state.history.pasts).map(|(number, past)| {
        let of = |found: u8| found == number;
        let entries = state.storage.entries.iter().filter(|(id, _)| of(id.message));
        let mut places: Vec<String> = entries
            .map(|(_, entry)| match (entry.group, entry.body) {
                (Group::Unread, _) => "ready".to_owned(),
                (Group::InFlight { to, .. }, true) => format!("delivered to {to}"),
                (Group::InFlight { to, .. }, false) => format!("delivered to {to}, deleted"),
                (Group::Acknowledged, _) => "acknowledged, not deleted".to_owned(),
            })
            .collect();
        places.extend(state.storage.later.iter().filter(|(id, _)| of(id.message)).map(|_| "scheduled".to_owned()));
        places.extend(state.storage.dead.iter().filter(|(id, _)| of(id.message)).map(|(_, reason)| match reason {
            Reason::Failed => "dead: it failed".to_owned(),
            Reason::Poison => "dead: its workers died".to_owned(),
        }));
        let waiting = state.storage.gate.iter().flat_map(|gate| gate.lanes.iter().flatten());
        places.extend(waiting.filter(|(waiting, _)| of(*waiting)).map(|_| "waiting".to_owned()));
        let place = match places.as_slice() {
            [] if past.done => "ended, done".to_owned(),
            [] if past.lost => "lost".to_owned(),
            [] if !past.accepted => "not stored".to_owned(),
            [] => "nowhere, not done".to_owned(),
            places => places.join(" and "),
        };
        format!("{} {place}", message(number))
    });
    messages.collect::<Vec<_>>().join("; ")
}
