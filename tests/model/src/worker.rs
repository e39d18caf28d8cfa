//! What a worker's process knows. All of it is lost when the process dies.

use crate::storage::{Delivery, Id, Session, Storage};

/// Whether a process takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It claims, runs and settles.
    Working,
    /// It was asked to stop: it claims no more.
    Stopping,
    /// It ended in good order.
    Off,
}

/// The waiting read of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Read {
    /// There is none.
    None,
    /// It waits at the server.
    Waiting,
    /// The server has delivered, and the answer is on its way.
    Answered(Delivery),
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The actor runs.
    Running,
    /// The work is done, and is to be settled by two commands.
    Succeeded {
        /// Whether the first of them is through.
        half: bool,
    },
    /// The actor failed: to be retried or dead-lettered.
    Failed,
    /// Its workers died too often: to be dead-lettered without a start.
    Poisoned,
    /// To be released.
    HandedBack,
}

/// A delivery in the hands of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The session that it was delivered to: it outlives the loss of its lease where it is only to be settled.
    pub session: Session,
    /// What was in flight.
    pub delivery: Delivery,
    /// How far it has come.
    pub phase: Phase,
}

/// A worker's process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// Its session.
    pub session: Session,
    /// Whether it takes part.
    pub standing: Standing,
    /// Whether it is paused, or cut off: it does nothing, and what it left at the server may go on.
    pub away: bool,
    /// Whether its last renewal is less than a lease ago by its own clock.
    pub sure: bool,
    /// Its waiting read.
    pub read: Read,
    /// What a recovery has delivered, on its way.
    pub recovered: Option<Delivery>,
    /// Whether an answer may have been lost.
    pub doubt: bool,
    /// What the storage said is delivered to this session, while what lost answers delivered is looked for.
    pub page: Option<Vec<Delivery>>,
    /// What it holds.
    pub runs: Vec<Run>,
}

impl Worker {
    /// The first session of a worker.
    pub fn new(worker: u8, storage: &mut Storage) -> Self {
        let session = Session { worker, number: 1 };
        storage.register(session);
        Self {
            session,
            standing: Standing::Working,
            away: false,
            sure: true,
            read: Read::Waiting,
            recovered: None,
            doubt: false,
            page: None,
            runs: Vec::new(),
        }
    }

    /// Begins the next session, with nothing in hand.
    pub fn begin_again(&mut self, storage: &mut Storage) {
        let next = Session { number: self.session.number + 1, ..self.session };
        *self = Self { session: next, ..Self::new(self.session.worker, &mut Storage::default()) };
        storage.register(next);
    }

    /// Whether the process is there and in touch.
    pub fn is_up(&self) -> bool {
        !self.away && self.standing != Standing::Off
    }

    /// Whether this session holds an entry: what it was given and has not settled.
    pub fn holds(&self, id: Id) -> bool {
        self.runs.iter().any(|run| run.session == self.session && run.delivery.id == id)
    }

    /// Takes a delivery into its hands.
    pub fn take(&mut self, run: Run) {
        self.runs.push(run);
        self.runs.sort_unstable_by_key(|run| (run.session, run.delivery.id));
    }

    /// A run in hand.
    ///
    /// # Panics
    ///
    /// There is none at `at`.
    pub fn run(&mut self, at: u8) -> &mut Run {
        &mut self.runs[usize::from(at)]
    }

    /// Ends a run.
    pub fn end(&mut self, at: u8) -> Run {
        self.runs.remove(usize::from(at))
    }

    /// Reads again where it should.
    pub fn go_on(&mut self) {
        let reads = self.is_up() && self.standing == Standing::Working && !self.doubt && self.page.is_none();
        if reads && self.read == Read::None {
            self.read = Read::Waiting;
        }
    }
}
