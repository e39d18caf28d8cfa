//! A history written by hand, and what Redis holds at its end.

use std::collections::HashMap;

use actor_core::MessageId;

use crate::clock::SECOND;
use crate::fault::Fault;
use crate::history::{Event, History, How, Lane, What};
use crate::judge::{Verdict, judge};
use crate::run::Played;
use crate::scenario::Scenario;
use crate::storage::{DeadLetter, Storage};
use crate::tuner::Tune;

/// A millisecond in us, the unit of all times.
pub(super) const MS: u64 = 1_000;

/// What a run knows of earlier deliveries.
#[derive(Clone, Copy)]
pub(super) struct Try {
    pub(super) attempt: u32,
    pub(super) crashes: u32,
    pub(super) token: u64,
}

/// A first delivery.
pub(super) const FIRST: Try = Try { attempt: 1, crashes: 0, token: 1 };
/// The delivery after a failure.
pub(super) const AGAIN: Try = Try { attempt: 2, crashes: 0, token: 2 };
/// The delivery after a death.
pub(super) const AFTER_A_CRASH: Try = Try { attempt: 1, crashes: 1, token: 2 };

/// A history written by hand, in any order.
pub(super) struct Case {
    pub(super) scenario: Scenario,
    pub(super) played: Played,
    actors: HashMap<MessageId, &'static str>,
}

impl Case {
    /// Nothing happened, and the audits found nothing wrong.
    pub(super) fn new() -> Self {
        let history = History { processes: vec!["harness".to_owned()], events: Vec::new() };
        let storage = Storage::default();
        let played = Played { history, storage, drained: true, audit: Vec::new(), live_audit: Some(Vec::new()) };
        Self { scenario: Scenario::of("case", "written by hand", &[]), played, actors: HashMap::new() }
    }

    /// Sets the scenario's faults.
    pub(super) fn is_about(&mut self, faults: &[Fault]) {
        self.scenario.faults = faults.iter().map(|fault| (*fault, 1)).collect();
    }

    /// Records an event of a process.
    pub(super) fn note(&mut self, process: usize, at: u64, what: What) {
        self.played.history.events.push(Event { at, process, what });
    }

    /// Records an event of the harness.
    pub(super) fn harness(&mut self, at: u64, what: What) {
        self.note(0, at, what);
    }

    /// A worker whose lease holds between two times. It renews each lease a third before its end.
    pub(super) fn worker(&mut self, name: &str, (from, until): (u64, u64)) -> usize {
        self.played.history.processes.push(name.to_owned());
        let process = self.played.history.processes.len() - 1;
        self.registered(process, from);
        let lease = self.scenario.lease_ms * MS;
        let mut at = from + lease * 2 / 3;
        while at + lease <= until {
            self.renewed(process, at);
            at += lease * 2 / 3;
        }
        self.renewed(process, until - lease);
        process
    }

    /// A session begins.
    pub(super) fn registered(&mut self, process: usize, at: u64) {
        self.note(process, at, What::Registered { worker: process.to_string(), asked: at });
    }

    pub(super) fn renewed(&mut self, process: usize, at: u64) {
        self.note(process, at, What::Renewed { worker: process.to_string(), asked: at });
    }

    /// Its lease had been lost with the index, and is made again.
    pub(super) fn forgotten(&mut self, process: usize, at: u64) {
        self.renewed(process, at);
        self.note(process, at, What::Forgotten { worker: process.to_string() });
    }

    /// The worker learns that it was declared dead.
    pub(super) fn lost(&mut self, process: usize, at: u64) {
        self.note(process, at, What::Lost { worker: process.to_string() });
    }

    /// The harness starts a process that it wants to work.
    pub(super) fn spawned(&mut self, process: usize, at: u64) {
        let process = self.played.history.processes[process].clone();
        self.harness(at, What::Spawned { process, pid: 1 });
    }

    /// It is asked to stop.
    pub(super) fn asked(&mut self, process: usize, at: u64) {
        let process = self.played.history.processes[process].clone();
        self.harness(at, What::Asked { process });
    }

    /// It lacks the newest actor.
    pub(super) fn is_older(&mut self, process: usize) {
        let process = self.played.history.processes[process].clone();
        self.harness(0, What::Older { process });
    }

    pub(super) fn dies(&mut self, process: usize, at: u64) {
        let process = self.played.history.processes[process].clone();
        self.harness(at, What::Died { process, how: "signal 9".to_owned(), ordered: false });
    }

    /// It ends as it was asked to.
    pub(super) fn stops(&mut self, process: usize, at: u64) {
        let process = self.played.history.processes[process].clone();
        self.harness(at, What::Died { process, how: "exit 0".to_owned(), ordered: true });
    }

    pub(super) fn fault(&mut self, name: &str, (from, until): (u64, u64)) {
        let (name, on) = (name.to_owned(), "redis".to_owned());
        self.harness(from, What::Fault { name: name.clone(), on: on.clone() });
        self.harness(until, What::Healed { name, on });
    }

    /// Redis is unavailable between two times.
    pub(super) fn away(&mut self, (from, until): (u64, u64)) {
        self.harness(from, What::Away);
        self.harness(until, What::Back);
    }

    /// The next message id.
    pub(super) fn id(&mut self, actor: &'static str) -> MessageId {
        let id = identity(self.actors.len() + 1);
        self.actors.insert(id, actor);
        id
    }

    /// The id of the last message.
    pub(super) fn last(&self) -> MessageId {
        identity(self.actors.len())
    }

    pub(super) fn invoked(&mut self, actor: &'static str, at: u64, delay: u64) -> MessageId {
        let id = self.id(actor);
        self.harness(
            at,
            What::Invoked { id, actor: format!("chaos::tasks::{actor}"), delay_ms: delay / MS, lane: None },
        );
        id
    }

    /// It is unique by a key, or has an idempotency key.
    pub(super) fn keyed(&mut self, id: MessageId, at: u64, key: &str, once: Option<&str>) {
        self.harness(at, What::Keyed { id, key: key.to_owned(), once: once.map(str::to_owned) });
    }

    /// A message that is stored at once.
    pub(super) fn sent(&mut self, actor: &'static str, at: u64) -> MessageId {
        let id = self.invoked(actor, at, 0);
        self.harness(at, What::Acknowledged { id });
        id
    }

    /// A message that waits for limits from a time on.
    pub(super) fn waits(&mut self, key: &str, cost: u32, at: u64) -> MessageId {
        let (id, lane) = (self.id("gated"), Some(Lane { key: key.to_owned(), cost }));
        self.harness(at, What::Invoked { id, actor: "chaos::tasks::gated::gated".to_owned(), delay_ms: 0, lane });
        self.harness(at, What::Acknowledged { id });
        id
    }

    /// A message that waits for limits, and is done from its sending on.
    pub(super) fn takes(&mut self, process: usize, key: &str, cost: u32, (from, until): (u64, u64)) -> MessageId {
        let id = self.waits(key, cost, from);
        self.runs(process, id, (from, until), FIRST, How::Done);
        id
    }

    /// A limit is changed, between the question and the answer.
    pub(super) fn tuned(&mut self, change: Tune, (asked, answered): (u64, u64)) {
        self.harness(asked, What::Tuning { change });
        self.harness(answered, What::Tuned);
    }

    /// What Redis does between two times is lost with its master.
    pub(super) fn master_lost(&mut self, (parted, lost): (u64, u64)) {
        self.harness(parted, What::Parted);
        self.harness(lost, What::MasterLost);
    }

    /// A message is delivered to a worker, which may never run it.
    pub(super) fn delivered(&mut self, process: usize, id: MessageId, at: u64, run: Try) {
        let Try { attempt, crashes, token } = run;
        self.note(process, at, What::Delivered { id, attempt, crashes, token });
    }

    pub(super) fn starts(&mut self, process: usize, id: MessageId, at: u64, run: Try) {
        self.delivered(process, id, at, run);
        let Try { attempt, crashes, token } = run;
        let actor = format!("chaos::tasks::{}", self.actors[&id]);
        self.note(process, at, What::Start { id, actor, attempt, crashes, token });
    }

    pub(super) fn ends(&mut self, process: usize, id: MessageId, at: u64, token: u64, how: How) {
        self.note(process, at, What::End { id, token, how });
    }

    /// A worker settles what it holds, but not as done, and counts `spent` attempts.
    pub(super) fn settled(&mut self, process: usize, id: MessageId, at: u64, token: u64, spent: u32) {
        let error = (spent > 0).then(|| "it failed".to_owned());
        self.note(process, at, What::Settled { id, token, spent, error });
    }

    /// The ledger grants the effect.
    pub(super) fn effect(&mut self, id: MessageId, at: u64, token: u64) {
        self.harness(at, What::Committed { id, token });
    }

    /// A run asks that a message of `queue` be sent after it.
    pub(super) fn follows(
        &mut self,
        process: usize,
        (of, token): (MessageId, u64),
        at: u64,
        failure: bool,
    ) -> MessageId {
        let (id, queue) = (self.id("child"), "threads".to_owned());
        self.note(process, at, What::Follows { id, of, token, queue, delay_ms: 0, failure });
        id
    }

    /// A whole run, with its effect if it does the work.
    pub(super) fn runs(&mut self, process: usize, id: MessageId, (from, until): (u64, u64), run: Try, how: How) {
        self.starts(process, id, from, run);
        if how == How::Done {
            self.effect(id, until, run.token);
        }
        self.ends(process, id, until, run.token, how);
    }

    /// A message that is sent and done at once.
    pub(super) fn does(&mut self, process: usize, at: u64) -> MessageId {
        let id = self.sent("plain", at);
        self.runs(process, id, (at, at + MS), FIRST, How::Done);
        id
    }

    /// A dead letter.
    pub(super) fn dead_lettered(&mut self, id: MessageId, attempt: u32, crashes: u32, reason: &str) {
        let actor = format!("chaos::tasks::{}", self.actors[&id]);
        self.played.storage.dead.insert(id, DeadLetter { actor, attempt, crashes, reason: reason.to_owned() });
    }

    /// Removes recorded events.
    pub(super) fn without(&mut self, is_it: impl Fn(&What) -> bool) {
        let before = self.played.history.events.len();
        self.played.history.events.retain(|event| !is_it(&event.what));
        assert_ne!(before, self.played.history.events.len(), "there is nothing to take back");
    }

    pub(super) fn judged(mut self) -> Verdict {
        // As `History::read` does.
        self.played.history.events.sort_by_key(|event| event.at);
        judge(&self.scenario, self.played)
    }
}

fn identity(number: usize) -> MessageId {
    format!("{number:032x}").parse().unwrap()
}

/// Seconds in us, the unit of all times.
pub(super) const fn s(seconds: u64) -> u64 {
    seconds * SECOND
}
