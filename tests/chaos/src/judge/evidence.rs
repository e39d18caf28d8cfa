//! The history, by message and by session. The rules are checked against it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use actor_core::MessageId;

use super::cancels::Cancel;
use super::following::Followed;
use super::message::{Delivered, Message, Run, Sent, Settled};
use super::service::Struck;
use super::windows::Windows;
use crate::clock::SECOND;
use crate::history::{Event, History, What};
use crate::tuner::Tune;

/// How long after its end a run may be unsettled, while its worker retries.
const UNSETTLED: u64 = 30 * SECOND;
/// How long after a stop signal the lease may take to say so.
const BEGUN: u64 = SECOND / 2;
/// How long a master's answer may be under way, to its replica and to the recording process.
const IN_FLIGHT: u64 = SECOND / 5;

/// Faults in which what a primary does may be lost, though messages that are sent then are not.
const LOSE: [&str; 2] = ["isolate_primary", "lose_lagging"];

/// A change of a limit: it holds from some time between the question and the answer on.
#[derive(Clone, Debug)]
pub(super) struct Tuned {
    pub(super) change: Tune,
    pub(super) asked: u64,
    pub(super) answered: u64,
}

/// A worker's session, and what it knew of its lease.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) since: u64,
    /// When each granted lease was asked for. It holds for one lease from then on.
    pub(super) granted: Vec<u64>,
    /// When the worker learned that the lease was lost.
    pub(crate) lost: Option<u64>,
}

/// The history, by message and by session.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) processes: Vec<String>,
    pub(crate) messages: HashMap<MessageId, Message>,
    /// The deliveries, by message.
    pub(crate) delivered: HashMap<MessageId, Vec<Delivered>>,
    /// The settlements other than as done, by message.
    pub(crate) settled: HashMap<MessageId, Vec<Settled>>,
    /// What was cancelled, by message.
    pub(crate) cancels: HashMap<MessageId, Cancel>,
    /// What runs asked to be sent after them, in that order.
    pub(super) followed: Vec<Followed>,
    /// By process, in order.
    pub(crate) sessions: HashMap<usize, Vec<Session>>,
    /// When each process ended unasked.
    pub(crate) deaths: HashMap<usize, u64>,
    /// When each process ended as asked, during disruption.
    stopped: HashMap<usize, u64>,
    /// When each process was first asked to stop.
    pub(crate) asked: HashMap<String, u64>,
    /// Processes of an older version, which lacks the newest actor.
    pub(crate) older: HashSet<String>,
    /// The running processes by name, and since when.
    spawned: HashMap<String, u64>,
    /// The processes that ran when the drain began.
    pub(crate) alive: HashMap<String, u64>,
    /// The time between the last fault and the drain.
    pub(crate) calm: (u64, u64),
    /// The periods in which a replica was disconnected from a master that then died.
    parted: Vec<(u64, u64)>,
    /// When each master was lost.
    pub(super) masters_lost: Vec<u64>,
    /// Since when a replica is disconnected from its live master.
    parting: Option<u64>,
    /// Messages of a newer format, as they were added.
    pub(crate) newer_format: HashMap<MessageId, String>,
    /// Periods in which Redis was unavailable, or the machine stalled.
    pub(super) away: Windows,
    /// Periods in which the spared worker, which otherwise recovers, had no session.
    pub(super) vacant: Vec<(u64, u64)>,
    /// Periods of faults and of the recovery from them.
    pub(super) disrupted: Windows,
    /// The same, as far as a live process notices.
    pub(super) hindered: Windows,
    pub(crate) faults: HashMap<String, u64>,
    /// The faults that have ended.
    pub(super) struck: Vec<Struck>,
    /// When the first Sentinel, or the promoted member of a cluster, announced each promotion, and of which server.
    pub(super) switched: Vec<(u64, u16)>,
    /// The messages of each tick of a schedule.
    pub(super) ticks: BTreeMap<u64, BTreeSet<MessageId>>,
    /// The changes of limits, in order.
    pub(super) tuned: Vec<Tuned>,
    /// Users whose time was over, and how many connections still had each.
    pub(super) replaced: Vec<(String, u64)>,
    pub(crate) fenced: u64,
    /// How long the machine stalled in total, in us.
    pub(crate) stalled: u64,
    /// When it did.
    pub(super) stalls: Windows,
    pub(super) lease_us: u64,
}

impl Evidence {
    pub(crate) fn of(history: History, lease_us: u64) -> Self {
        let mut evidence = Self { processes: history.processes, lease_us, ..Self::default() };
        let mut open = HashMap::new();
        let mut redis_away = None;
        let mut spared_away = None;
        let (mut faults, mut begun) = (HashMap::new(), HashMap::new());
        for event in history.events {
            evidence.away_of(&event, &mut redis_away, &mut spared_away);
            evidence.disruption_of(&event, &mut faults);
            evidence.struck_by(&event, &mut begun);
            evidence.take(event, &mut open);
        }
        for (since, _) in faults.into_values() {
            evidence.disrupted.add(since, u64::MAX);
            evidence.hindered.add(since, u64::MAX);
        }
        evidence.hogged();
        evidence
    }

    fn take(&mut self, Event { at, process, what }: Event, open: &mut HashMap<(usize, MessageId, u64), Vec<usize>>) {
        match what {
            What::Invoked { id, actor, delay_ms, lane } => {
                let message = self.message(id, &actor, at);
                // A worker may start a message before its producer has recorded the answer, but not before it invoked
                // the send.
                // Several workers may try to fire one tick, and what is repeated was asked for before.
                (message.invoked, message.delay_ms, message.lane) = (message.invoked.min(at), delay_ms, lane);
            }
            What::Keyed { id, key, once } => {
                let message = self.message(id, "", u64::MAX);
                (message.key, message.once) = (key, once);
            }
            What::Stands { id, .. } => self.sent(id, Sent::Refused, at),
            What::Displaced { id } => {
                if let Some(message) = self.messages.get_mut(&id) {
                    message.displaced.get_or_insert(at);
                }
            }
            What::Acknowledged { id } => self.sent(id, Sent::Acknowledged, at),
            // Of what is repeated, an earlier request may have stored it.
            What::Refused { id, .. } if self.messages.get(&id).is_some_and(|message| message.answered > 0) => {}
            What::Refused { id, .. } => self.sent(id, Sent::Refused, at),
            What::Unknown { id, .. } => self.sent(id, Sent::Unknown, at),
            What::NewerFormat { id, body } => {
                self.newer_format.insert(id, body);
            }
            What::Delivered { id, attempt, crashes, token } => {
                self.delivered.entry(id).or_default().push(Delivered { process, at, attempt, crashes, token });
            }
            What::Start { id, actor, attempt, crashes, token } => {
                let message = self.message(id, &actor, u64::MAX);
                // If the group was deleted, a worker may get twice, under one token, what it runs.
                open.entry((process, id, token)).or_default().push(message.runs.len());
                message.runs.push(Run { process, start: at, end: None, attempt, crashes, token });
            }
            What::Ticked { at, id } => drop(self.ticks.entry(at).or_default().insert(id)),
            What::Follows { id, of, token, queue, delay_ms, failure } => {
                let message = self.message(id, "", at);
                (message.sent, message.delay_ms) = (Sent::Follows, delay_ms);
                let is_delayed = delay_ms > 0;
                self.followed.push(Followed { id, of, token, process, at, queue, is_delayed, failure });
            }
            What::End { id, token, how } => {
                let run = open.get_mut(&(process, id, token)).and_then(Vec::pop);
                if let (Some(run), Some(message)) = (run, self.messages.get_mut(&id)) {
                    message.runs[run].end = Some((at, how));
                }
            }
            What::Cancelling { id } => _ = self.cancels.entry(id).or_default(),
            What::Cancelled { id, answer } => self.cancels.entry(id).or_default().answered = Some((at, answer)),
            What::Settled { id, token, spent, error } => {
                self.settled.entry(id).or_default().push(Settled { process, at, token, spent, error });
            }
            What::Committed { id, token } => {
                if let Some(message) = self.messages.get_mut(&id) {
                    message.commits.push(token);
                }
            }
            What::Fenced { .. } => self.fenced += 1,
            What::Registered { asked, .. } => {
                let session = Session { since: at, granted: vec![asked], lost: None };
                self.sessions.entry(process).or_default().push(session);
            }
            What::Renewed { asked, .. } => {
                if let Some(session) = self.sessions.get_mut(&process).and_then(|sessions| sessions.last_mut()) {
                    session.granted.push(asked);
                }
            }
            What::Lost { .. } => {
                if let Some(session) = self.sessions.get_mut(&process).and_then(|sessions| sessions.last_mut()) {
                    session.lost = Some(at);
                }
            }
            What::Spawned { process, .. } => {
                self.spawned.insert(process, at);
            }
            What::Asked { process } => {
                self.asked.entry(process).or_insert(at);
            }
            What::Older { process } => {
                self.older.insert(process);
            }
            What::Died { process, ordered, .. } => {
                if let Some(process) = self.processes.iter().position(|name| *name == process) {
                    if !ordered {
                        self.deaths.insert(process, at);
                    } else if self.calm.1 == 0 {
                        self.stopped.insert(process, at);
                    }
                }
                self.spawned.remove(&process);
            }
            What::Fault { name, .. } => *self.faults.entry(name).or_default() += 1,
            What::Forgot { .. } => *self.faults.entry("forget".to_owned()).or_default() += 1,
            What::Switched { to, .. } if self.switched.last().is_none_or(|(_, last)| *last != to) => {
                self.switched.push((at, to));
            }
            What::Replaced { user, connections } => self.replaced.push((user, connections)),
            What::Tuning { change } => self.tuned.push(Tuned { change, asked: at, answered: u64::MAX }),
            What::Tuned => {
                if let Some(tuned) = self.tuned.last_mut() {
                    tuned.answered = at;
                }
            }
            What::Parted => self.parting = Some(at),
            What::MasterLost => {
                self.parted.extend(self.parting.take().map(|since| (since, at)));
                self.masters_lost.push(at);
            }
            What::Calm => self.calm.0 = at,
            What::Draining => {
                self.calm.1 = at;
                self.alive = self.spawned.clone();
            }
            _ => {}
        }
    }

    fn message(&mut self, id: MessageId, actor: &str, invoked: u64) -> &mut Message {
        let message = self.messages.entry(id).or_insert_with(|| Message {
            actor: actor.to_owned(),
            invoked,
            delay_ms: 0,
            lane: None,
            sent: Sent::Unknown,
            answered: 0,
            key: String::new(),
            once: None,
            displaced: None,
            runs: Vec::new(),
            commits: Vec::new(),
        });
        if message.actor.is_empty() {
            actor.clone_into(&mut message.actor);
        }
        message
    }

    fn sent(&mut self, id: MessageId, sent: Sent, at: u64) {
        if let Some(message) = self.messages.get_mut(&id) {
            (message.sent, message.answered) = (sent, at);
        }
    }

    pub(crate) fn leases_lost(&self) -> usize {
        self.sessions.values().flatten().filter(|session| session.lost.is_some()).count()
    }

    pub(crate) fn died(&self, process: usize) -> Option<u64> {
        self.deaths.get(&process).copied()
    }

    /// The latest end of a run.
    pub(crate) fn over(&self, run: &Run) -> u64 {
        run.end.map(|(at, _)| at).or_else(|| self.died(run.process)).unwrap_or(u64::MAX)
    }

    /// Whether a run's end may be unsettled: its worker was declared dead, or ended, before it must have settled.
    pub(crate) fn ended_badly(&self, run: &Run) -> bool {
        let lost = self.session(run).and_then(|session| session.lost);
        let ends = [self.died(run.process), lost, self.stopped.get(&run.process).copied()];
        ends.into_iter().flatten().any(|at| self.over(run).saturating_add(UNSETTLED) > at)
    }

    /// Whether a process died after it had begun to stop, a moment before at least, unhindered.
    pub(crate) fn died_stopping(&self, process: usize) -> bool {
        let (Some(died), Some(asked)) = (self.died(process), self.asked.get(&self.processes[process])) else {
            return false;
        };
        died.saturating_sub(*asked) >= BEGUN + self.hindered.between(*asked, died)
    }

    /// How many sessions ended badly since a time, of workers that had not begun to stop.
    pub(crate) fn sudden_ends_since(&self, since: u64) -> usize {
        let stopping = self.deaths.iter().filter(|(process, at)| **at >= since && self.died_stopping(**process));
        self.bad_ends_since(since) - stopping.count()
    }

    /// How many sessions ended badly since a time. Each can have been the death of one delivery of a message.
    pub(crate) fn bad_ends_since(&self, since: u64) -> usize {
        let lost = self.sessions.values().flatten().filter_map(|session| session.lost);
        self.deaths.values().copied().chain(lost).filter(|at| *at >= since).count()
    }

    /// Whether a message was acknowledged by a master that died before it could replicate it.
    pub(crate) fn went_with_its_master(&self, message: &Message) -> bool {
        self.parted.iter().any(|(since, until)| {
            since.saturating_sub(IN_FLIGHT) <= message.answered && message.answered <= *until + IN_FLIGHT
        })
    }

    /// Whether what Redis did between two times, other than to store a message, may have been lost with a master.
    pub(super) fn may_be_lost(&self, from: u64, to: u64) -> bool {
        let struck = self.struck.iter().filter(|struck| LOSE.contains(&struck.name.as_str()));
        let mut windows = self.parted.iter().copied().chain(struck.map(|struck| (struck.since, struck.until)));
        windows.any(|(since, until)| since <= to.saturating_add(IN_FLIGHT) && from <= until + IN_FLIGHT)
    }

    /// The time that is so much before another, without the time of faults.
    pub(super) fn before(&self, at: u64, span: u64) -> u64 {
        let mut from = at.saturating_sub(span);
        loop {
            let earlier = at.saturating_sub(span + self.disrupted_between(from, at));
            if earlier == from {
                return from;
            }
            from = earlier;
        }
    }

    /// How long Redis was unavailable, or the machine stalled, between two times.
    pub(crate) fn away_between(&self, from: u64, to: u64) -> u64 {
        self.away.between(from, to)
    }

    /// The same, plus some other periods.
    pub(super) fn away_or(&self, other: Windows, from: u64, to: u64) -> u64 {
        other.and(&self.away).between(from, to)
    }

    /// From when on another worker could recover what a dead worker held. This is its death, or the start of the next
    /// session of the recovering worker, if that died or lost its lease within `bound` before it recovered. A worker
    /// must hold a lease for its whole duration before it may declare anybody dead.
    pub(crate) fn recoverable_since(&self, died: u64, next: u64, bound: u64) -> u64 {
        let mut from = died;
        for (since, until) in self.vacant.iter().filter(|(since, until)| *until > died && *since < next) {
            let spent = since.saturating_sub(from) - self.away_between(from, *since);
            if spent > bound {
                break;
            }
            from = (*until).min(next);
        }
        from
    }

    /// How long the machine stalled between two times.
    pub(super) fn stalled_between(&self, from: u64, to: u64) -> u64 {
        self.stalls.between(from, to)
    }

    /// How long anything was wrong between two times.
    pub(crate) fn disrupted_between(&self, from: u64, to: u64) -> u64 {
        self.disrupted.between(from, to)
    }
}
