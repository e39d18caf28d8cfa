//! What follows from runs and belongs to another queue, as a machine of its own: settlements, the outbox,
//! relays, and the arrival.
//!
//! The delivery of the messages whose runs it is about is what [`Protocol`](crate::protocol::Protocol)
//! explores. Here a message is only in flight, with the token of who holds it, or settled.

mod machine;
mod outbox;
pub mod promises;
pub mod rules;
mod trace;

use std::collections::BTreeSet;

pub use outbox::{Entry, Outbox, Target};
use rules::Broken;

/// What is explored, and how much may go wrong.
#[derive(Clone, Copy, Debug)]
pub struct Following {
    /// How many messages are in flight at the beginning.
    pub messages: u8,
    /// How many messages follow from each.
    pub follow: u8,
    /// How many workers there are. Each settles its runs, and relays.
    pub workers: u8,
    /// How often a failure is tried again.
    pub max_retries: u8,
    /// How many entries a relay reads at once.
    pub at_once: usize,
    /// What goes wrong.
    pub faults: Faults,
    /// The rule that is broken.
    pub broken: Option<Broken>,
}

/// How often each thing may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A worker dies. It starts again, and has forgotten everything.
    pub crashes: u8,
    /// A worker is thought dead and lives: another gets its message.
    pub mistakes: u8,
    /// The answer to a request is lost, or the request comes late.
    pub losses: u8,
    /// The other queue refuses a message.
    pub refusals: u8,
}

/// A message that follows from a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Child {
    /// The message whose run it follows from.
    pub message: u8,
    /// The fencing token of that run.
    pub token: u8,
    /// How that run ended.
    pub outcome: Outcome,
    /// Its place among those that follow from the run.
    pub nth: u8,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed, and is tried again if a retry is left.
    Failed,
}

/// A run, or one that has ended and is not known to be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// Its message.
    pub message: u8,
    /// Its fencing token.
    pub token: u8,
    /// How often the message failed before.
    pub failures: u8,
    /// How it ended, where it is being settled and the answer was lost.
    pub settling: Option<Outcome>,
}

/// A message whose run something follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    /// The token of its last delivery.
    pub token: u8,
    /// How many failures counted.
    pub failures: u8,
    /// The run that settled it, by its token, and how.
    pub settled: Option<(u8, Outcome)>,
}

/// A request of a relay, on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Request {
    /// That the other queue stores these.
    Arrive(Vec<Entry>),
    /// That these, which arrived, are removed from the outbox; and whether another one was refused.
    Remove(Vec<Entry>, bool),
    /// That the other queue notes which was the last: a step of its own only where that rule is broken.
    Note(Vec<Entry>),
    /// That the outbox is no longer listed: a step of its own only where that rule is broken.
    Unlist,
}

/// A worker's relay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Relay {
    /// Whether its worker has told it of something to relay, or it has to try again.
    pub told: bool,
    /// What it asks for now.
    pub request: Option<Request>,
    /// Up to where it has read: used only where that rule is broken.
    pub read: u8,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is done and answered.
    Answered,
    /// It is done, and the answer is lost.
    Unanswered,
    /// Its connection is cut, and it is done later than all may think.
    Late,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A run ends, or is settled once more; whether the answer arrives.
    Settle(Run, Outcome, Fate),
    /// A message whose worker died is delivered to another.
    Recover(u8),
    /// A message whose worker lives is delivered to another.
    Mistake(u8),
    /// A worker dies; whether the request of its relay had been sent.
    Crash(u8, bool),
    /// A relay reads the outbox.
    Read(u8),
    /// What a relay asks for is done.
    Ask(u8, Fate),
    /// The other queue stores this many and refuses the next.
    Refuse(u8, usize),
    /// A request that was on its way when nobody waited for it any more is done.
    Late(Request),
}

/// Where everything stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The messages.
    pub messages: Vec<Message>,
    /// Their runs.
    pub runs: BTreeSet<Run>,
    /// The relays, one a worker.
    pub relays: Vec<Relay>,
    /// Requests that are under way, and whose answer nobody awaits.
    pub late: BTreeSet<Request>,
    /// The outbox of the messages' queue.
    pub outbox: Outbox,
    /// The queue that what follows belongs to.
    pub target: Target,
    /// Everything that was ever put into the outbox.
    pub noted: Vec<Child>,
    /// What may still go wrong.
    pub faults: Faults,
}

impl Following {
    /// How it begins: each message is in flight, and runs.
    pub fn begin(&self) -> State {
        let run = |message| Run { message, token: 1, failures: 0, settling: None };
        State {
            messages: (0..self.messages).map(|_| Message { token: 1, failures: 0, settled: None }).collect(),
            runs: (0..self.messages).map(run).collect(),
            relays: (0..self.workers).map(|_| Relay::default()).collect(),
            late: BTreeSet::new(),
            outbox: Outbox::default(),
            target: Target::default(),
            noted: Vec::new(),
            faults: self.faults,
        }
    }

    /// The worker that has a run.
    pub(crate) fn worker(&self, run: Run) -> u8 {
        (run.message + run.token - 1) % self.workers
    }

    fn breaks(&self, rule: Broken) -> bool {
        self.broken == Some(rule)
    }
}

impl State {
    /// Whether nobody runs a message that is in flight: who held it died.
    fn is_orphaned(&self, at: u8) -> bool {
        let message = self.messages[usize::from(at)];
        message.settled.is_none() && !self.runs.iter().any(|run| run.message == at && run.token == message.token)
    }

    /// Delivers a message, once more.
    fn deliver(&mut self, at: u8) {
        let message = &mut self.messages[usize::from(at)];
        message.token += 1;
        let (token, failures) = (message.token, message.failures);
        self.runs.insert(Run { message: at, token, failures, settling: None });
    }
}
