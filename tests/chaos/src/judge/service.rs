//! For how long a queue was without service, and how much of that the Sentinels took.

use std::collections::BTreeMap;

use serde::Serialize;

use super::disruption::UNNOTICED;
use super::evidence::Message;
use super::{Evidence, Finding, Sent};
use crate::clock::SECOND;
use crate::process::QUEUES;

/// How long after a promotion was announced each queue may be without service: less than a request may take that nobody
/// answers.
const BACK: u64 = 4 * SECOND;

/// How much later than the harness sees it an announcement may be recorded.
const LATER: u64 = SECOND / 2;

/// A fault, from its beginning to its end.
#[derive(Clone, Debug)]
pub(super) struct Struck {
    pub(super) name: String,
    pub(super) since: u64,
    pub(super) until: u64,
}

/// Times without service, in seconds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Times {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Times {
    fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        let at = |part: usize| times.get((times.len() * part / 100).min(last)).copied().unwrap_or_default();
        let seconds = |part| at(part) as f64 / SECOND as f64;
        Self { p50: seconds(50), p99: seconds(99), max: seconds(100) }
    }
}

/// How one kind of fault interrupted the service.
#[derive(Debug, Serialize)]
pub(crate) struct Service {
    pub(crate) fault: String,
    pub(crate) count: usize,
    /// How many times another server was promoted.
    pub(crate) promotions: usize,
    /// From the loss of the primary to the first `+switch-master` of any Sentinel.
    pub(crate) decided: Times,
    /// By queue.
    pub(crate) queues: BTreeMap<&'static str, Interruption>,
}

/// How it interrupted one queue.
#[derive(Debug, Serialize)]
pub(crate) struct Interruption {
    /// The longest time between two acknowledged sends.
    pub(crate) sends: Times,
    /// From the announcement of the promotion to the first acknowledged send.
    pub(crate) sends_after: Times,
    /// The longest time between the starts of two runs.
    pub(crate) runs: Times,
    /// From the announcement of the promotion to the first start of a run.
    pub(crate) runs_after: Times,
}

/// When a queue served somebody, in order.
struct Served {
    sends: Vec<u64>,
    runs: Vec<u64>,
}

impl Served {
    fn of(evidence: &Evidence, queue: &str) -> Self {
        let messages = || evidence.messages.values().filter(|message| queue_of(message) == queue);
        let acknowledged = messages().filter(|message| message.sent == Sent::Acknowledged);
        let mut sends: Vec<_> = acknowledged.map(|message| message.answered).collect();
        let mut runs: Vec<_> = messages().flat_map(|message| &message.runs).map(|run| run.start).collect();
        sends.sort_unstable();
        runs.sort_unstable();
        Self { sends, runs }
    }
}

fn queue_of(message: &Message) -> &'static str {
    QUEUES[usize::from(message.actor.ends_with("stubborn"))]
}

/// The longest time between two of `times`, of those that a fault touched. Without a second one it lasts to `end`.
fn longest(times: &[u64], struck: &Struck, end: u64) -> u64 {
    let first = times.partition_point(|at| *at <= struck.since).saturating_sub(1);
    let last = times.partition_point(|at| *at <= struck.until);
    let next = times.get(last).copied().unwrap_or(end);
    let touched = times.get(first..last).unwrap_or_default();
    touched.iter().zip(touched.iter().skip(1).chain([&next])).map(|(one, other)| other - one).max().unwrap_or_default()
}

/// How long after `decided` the first of `times` is, without the time in which the primary was lost again.
fn after(evidence: &Evidence, times: &[u64], decided: u64) -> u64 {
    let next = times.get(times.partition_point(|at| *at <= decided)).copied().unwrap_or(evidence.calm.1);
    let again = evidence.masters_lost.iter().copied().find(|at| *at > decided).unwrap_or(next).min(next);
    let excused = evidence.stalled_between(decided, again) + evidence.away_between(again, next);
    next.saturating_sub(decided) - excused
}

/// The promotions: the fault that led to each, and when the first Sentinel announced it.
fn decisions(evidence: &Evidence) -> Vec<(&Struck, u64)> {
    let announced = |struck: &Struck| {
        evidence.switched.iter().map(|(at, _)| *at).find(|at| (struck.since..=struck.until + LATER).contains(at))
    };
    let noticed = evidence.struck.iter().filter(|struck| !UNNOTICED.contains(&struck.name.as_str()));
    noticed.filter_map(|struck| announced(struck).map(|at| (struck, at))).collect()
}

/// When the primary was lost in whose place another was promoted.
fn lost(evidence: &Evidence, struck: &Struck, decided: u64) -> u64 {
    let lost = evidence.masters_lost.iter().copied().filter(|at| (struck.since..=decided).contains(at)).max();
    lost.unwrap_or(struck.since)
}

/// After each promotion there is service soon, in each queue.
pub(super) fn back_soon(evidence: &Evidence, waits: bool) -> Finding {
    let mut finding = Finding::new(super::SERVED);
    for queue in QUEUES {
        let Served { sends, runs } = Served::of(evidence, queue);
        for (struck, decided) in decisions(evidence) {
            let time = struck.since.saturating_sub(BACK)..decided + BACK;
            if !evidence.messages.values().any(|sent| queue_of(sent) == queue && time.contains(&sent.invoked)) {
                continue;
            }
            let mut ask = |times: &[u64], what: &str| {
                let late = after(evidence, times, decided);
                finding.ask(late <= BACK, || {
                    format!("{queue}: {what} {} ms after the promotion that {} led to", late / 1_000, struck.name)
                });
            };
            ask(&runs, "the first run");
            // What must have reached a replica waits for one that follows the new primary.
            if !waits {
                ask(&sends, "the first stored message");
            }
        }
    }
    finding
}

/// How each kind of fault interrupted each queue.
pub(super) fn interruptions(evidence: &Evidence) -> Vec<Service> {
    let decisions = decisions(evidence);
    let served: Vec<_> = QUEUES.iter().map(|queue| (*queue, Served::of(evidence, queue))).collect();
    let mut kinds = BTreeMap::<&str, Vec<&Struck>>::new();
    for struck in &evidence.struck {
        kinds.entry(&struck.name).or_default().push(struck);
    }
    let end = evidence.calm.1;
    let of = |(fault, struck): (&str, Vec<&Struck>)| {
        let led: Vec<_> = decisions.iter().filter(|(struck, _)| struck.name == fault).collect();
        let gaps = |times: &[u64]| Times::of(struck.iter().map(|struck| longest(times, struck, end)).collect());
        let afters =
            |times: &[u64]| Times::of(led.iter().map(|(_, decided)| after(evidence, times, *decided)).collect());
        let queues = served.iter().map(|(queue, Served { sends, runs })| {
            let interruption = Interruption {
                sends: gaps(sends),
                sends_after: afters(sends),
                runs: gaps(runs),
                runs_after: afters(runs),
            };
            (*queue, interruption)
        });
        Service {
            fault: fault.to_owned(),
            count: struck.len(),
            promotions: led.len(),
            decided: Times::of(
                led.iter().map(|(struck, decided)| decided - lost(evidence, struck, *decided)).collect(),
            ),
            queues: queues.collect(),
        }
    };
    kinds.into_iter().map(of).collect()
}
