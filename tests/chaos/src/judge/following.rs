//! What follows from a run exists if and only if the run counts.

use std::collections::BTreeMap;

use actor_core::MessageId;

use super::message::Run;
use super::{Evidence, Finding, Message, Sent, describe, retries};
use crate::clock::SECOND;
use crate::history::How;
use crate::scenario::Scenario;
use crate::storage::Storage;

/// How long after the end of a run, without faults, what follows from it may start.
const STARTS: u64 = 10 * SECOND;
/// How much longer where the worker that settled the run may have ended: others look this often for what it left.
const LOOKS: u64 = 30 * SECOND;
/// How long after the end of a run its settlement, or the arrival of what follows, may happen, if nothing is away.
const HAPPENS: u64 = 3 * SECOND;

/// A message that a run asked to be sent after it.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub(super) id: MessageId,
    /// The message that ran, and the token and the worker of that run.
    pub(super) of: MessageId,
    pub(super) token: u64,
    pub(super) process: usize,
    /// When it asked.
    pub(super) at: u64,
    pub(super) queue: String,
    pub(super) is_delayed: bool,
    /// Whether it follows from a dead letter.
    pub(super) failure: bool,
}

/// What follows from one run in one of the two cases.
type Group<'a> = Vec<&'a Followed>;

/// What may follow from each message, by the start of the run.
fn groups(evidence: &Evidence) -> BTreeMap<MessageId, BTreeMap<(u64, bool), Group<'_>>> {
    let mut groups: BTreeMap<_, BTreeMap<_, Group<'_>>> = BTreeMap::new();
    for followed in &evidence.followed {
        let run = evidence.messages.get(&followed.of).and_then(|message| run(message, followed));
        let key = (run.map_or(0, |run| run.start), followed.failure);
        groups.entry(followed.of).or_default().entry(key).or_default().push(followed);
    }
    groups
}

fn run<'a>(message: &'a Message, followed: &Followed) -> Option<&'a Run> {
    // Where a failover lost the delivery, a second one may have the same token.
    let is_it = |run: &&Run| (run.process, run.token) == (followed.process, followed.token) && run.start <= followed.at;
    message.runs.iter().rfind(is_it)
}

fn ended(run: &Run, failure: bool) -> Option<u64> {
    run.end.filter(|(_, how)| fits(*how, failure)).map(|(at, _)| at)
}

fn fits(how: How, failure: bool) -> bool {
    if failure { how == How::Failed } else { matches!(how, How::Done | How::DoneBefore) }
}

struct Judge<'a> {
    evidence: &'a Evidence,
    storage: &'a Storage,
    /// Whether a failover may lose what was stored, and what was settled.
    loses: (bool, bool),
    excused: u64,
}

impl Judge<'_> {
    fn exists(&self, followed: &Followed) -> bool {
        let ran = self.evidence.messages.get(&followed.id).is_some_and(|message| !message.runs.is_empty());
        ran || self.storage.dead.contains_key(&followed.id) || self.storage.left.contains(&followed.id)
    }

    /// Why what follows from a run must not be there, or not so. `follows_again`: all that follows from another run is.
    fn wrong_in(&mut self, message: &Message, group: &[&Followed], follows_again: bool) -> Option<&'static str> {
        let failure = group[0].failure;
        let there: Vec<_> = group.iter().filter(|followed| self.exists(followed)).collect();
        if there.is_empty() {
            return None;
        }
        let Some(end) = run(message, group[0]).and_then(|run| ended(run, failure)) else {
            return Some("something follows from a run that did not end so");
        };
        let starts = there.iter().filter_map(|followed| self.evidence.messages[&followed.id].runs.first());
        if starts.map(|run| run.start).min().is_some_and(|start| start < end) {
            return Some("something that follows from a run began before its end");
        }
        // Where a settlement was lost, a part may have run by then. Then the message runs again, unless nobody was told that
        // it was stored.
        let may_lose = self.loses.0 || (self.loses.1 && (follows_again || message.sent == Sent::Unknown));
        if there.len() < group.len() && !self.is_lost(end, may_lose) {
            return Some("a part of what follows from a run is missing");
        }
        None
    }

    /// Whether it may have been lost with a primary, which is counted.
    fn is_lost(&mut self, end: u64, possible: bool) -> bool {
        let lost = possible && self.evidence.may_be_lost(end, end + HAPPENS);
        self.excused += u64::from(lost);
        lost
    }

    fn wrong(
        &mut self,
        id: MessageId,
        message: &Message,
        runs: &BTreeMap<(u64, bool), Group<'_>>,
    ) -> Option<&'static str> {
        for group in runs.values() {
            let is_whole = |other: &Group<'_>| other.iter().all(|followed| self.exists(followed));
            let follows_again = runs.values().any(is_whole);
            if let Some(wrong) = self.wrong_in(message, group, follows_again) {
                return Some(wrong);
            }
        }
        let dead = self.storage.dead.get(&id);
        let there: Vec<_> = runs
            .iter()
            .filter(|(_, group)| group.iter().any(|followed| self.exists(followed)))
            .map(|((_, failure), group)| (*failure, run(message, group[0]).map_or(0, |run| self.evidence.over(run))))
            .collect();
        let ends: Vec<u64> =
            runs.iter().filter_map(|((_, failure), group)| ended(run(message, group[0])?, *failure)).collect();
        if there.len() > 1 {
            // The settlement of the first was lost, and what followed from it was not.
            let is_lost = there.iter().any(|(_, end)| self.is_lost(*end, self.loses.1));
            return (!is_lost).then_some("something follows from two runs");
        }
        let follows = match (dead, there.first()) {
            (None, Some((failure, _))) => !failure,
            // Nothing follows from a run that killed its worker.
            (Some(dead), there) if retries::died_of_crashes(dead) => there.is_none(),
            (Some(_), Some((failure, _))) => *failure,
            (Some(_), None) => false,
            // A message of which no run was done came to no end, or was lost, which other rules know.
            (None, None) => !message.runs.iter().any(|run| ended(run, false).is_some()),
        };
        // Of a message that was lost while it ran no settlement counts.
        if !follows && self.loses.0 && self.evidence.went_with_its_master(message) {
            self.excused += 1;
            return None;
        }
        let is_lost = !follows && ends.iter().any(|end| self.is_lost(*end, self.loses.0 || self.loses.1));
        (!follows && !is_lost).then_some("what follows from the message is missing, or follows from another end")
    }
}

/// Also returns how many messages followed, and how often a failover is why something is missing or there twice.
pub(super) fn if_and_only_if(evidence: &Evidence, storage: &Storage, scenario: &Scenario) -> (Finding, u64, u64) {
    let mut finding = Finding::new(super::FOLLOWED);
    let is_replicated = scenario.topology.is_replicated();
    // An arrival waits for a replica where producers do. A settlement never does.
    let loses = (is_replicated && !scenario.waits, is_replicated);
    let mut judge = Judge { evidence, storage, loses, excused: 0 };
    for (id, runs) in groups(evidence) {
        let Some(message) = evidence.messages.get(&id) else { continue };
        let wrong = judge.wrong(id, message, &runs);
        finding.ask(wrong.is_none(), || {
            let followed = runs.values().flatten().map(|followed| {
                let of = if followed.failure { "its failure" } else { "it" };
                format!("after {of} (token {}) {}", followed.token, describe(evidence, followed.id))
            });
            let followed: Vec<_> = followed.collect();
            format!("{}: {}; {followed:#?}", wrong.unwrap_or_default(), describe(evidence, id))
        });
    }
    let followed = evidence.followed.iter().filter(|followed| judge.exists(followed)).count() as u64;
    (finding, followed, judge.excused)
}

/// Seen where one worker gets two of them, without faults: it reads a queue in the queue's order.
pub(super) fn in_order(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::IN_ORDER);
    for runs in groups(evidence).values() {
        for group in runs.values() {
            let in_time = group.iter().filter(|followed| !followed.is_delayed);
            let first = in_time.filter_map(|followed| {
                let first = evidence.delivered.get(&followed.id)?.first().filter(|first| first.token == 1)?;
                Some((*followed, first))
            });
            let first: Vec<_> = first.collect();
            for (index, (later, after)) in first.iter().enumerate() {
                for (earlier, before) in &first[..index] {
                    let from = before.at.min(after.at);
                    let same = (before.process, &earlier.queue) == (after.process, &later.queue);
                    if same
                        && evidence.disrupted_between(from.saturating_sub(HAPPENS), before.at.max(after.at) + 1) == 0
                    {
                        finding.ask(before.at <= after.at, || {
                            let (earlier, later) = (describe(evidence, earlier.id), describe(evidence, later.id));
                            format!("{later} before {earlier}")
                        });
                    }
                }
            }
        }
    }
    finding
}

pub(super) fn soon(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::SOON);
    for followed in &evidence.followed {
        let (Some(of), Some(message)) = (evidence.messages.get(&followed.of), evidence.messages.get(&followed.id))
        else {
            continue;
        };
        let end = run(of, followed).and_then(|run| Some((run, ended(run, followed.failure)?)));
        let (Some((run, end)), Some(first)) = (end, message.runs.first().filter(|first| first.crashes == 0)) else {
            continue;
        };
        // Another worker may have held it first, and died.
        let recovered =
            evidence.delivered.get(&followed.id).is_some_and(|all| all.iter().any(|one| one.token < first.token));
        if recovered {
            continue;
        }
        let due = end.max(message.invoked + message.delay_ms * 1_000);
        let took = first.start.saturating_sub(due).saturating_sub(evidence.disrupted_between(due, first.start));
        let most = if evidence.ended_badly(run) { STARTS + LOOKS } else { STARTS };
        finding.ask(took <= most, || format!("{} ms: {}", took / 1_000, describe(evidence, followed.id)));
    }
    finding
}
