//! For how long a queue was without service, and how much of that the Sentinels took, or the cluster.

use std::collections::BTreeMap;

use serde::Serialize;

use super::disruption::UNNOTICED;
use super::message::Message;
use super::{Evidence, Finding, Sent};
use crate::clock::SECOND;
use crate::history;
use crate::process::QUEUES;
use crate::scenario::Scenario;
use crate::tasks::gated;

/// How long after a promotion was announced each queue may be without service: less than a request may take that nobody
/// answers.
const BACK: u64 = 4 * SECOND;

/// How much later than the harness sees it an announcement may be recorded.
const LATER: u64 = SECOND / 2;

/// A fault, from its beginning to its end.
#[derive(Clone, Debug)]
pub(super) struct Struck {
    pub(super) name: String,
    pub(super) on: String,
    pub(super) since: u64,
    pub(super) until: u64,
}

/// How long a queue may be without service that a fault spares, at some tens of messages a second.
const GAP: u64 = 2 * SECOND;
/// The fault that moves a slot, and the one by which answers are lost.
const RESHARD: &str = "reshard";
const SNAP: &str = "snap_primary";
/// Faults after whose end each queue should be served as after a promotion.
const ENDS: [&str; 1] = ["hide_primary"];

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
    /// From the loss of the primary to the first `+switch-master` of any Sentinel, or until the replica of a cluster says
    /// that it is a primary.
    pub(crate) decided: Times,
    /// From the beginning of the fault to its end.
    pub(crate) lasted: Times,
    /// By queue that it hit.
    pub(crate) queues: BTreeMap<&'static str, Interruption>,
    /// Queues that it spared, of all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spared: Option<Spared>,
}

/// How it interrupted queues that it did not hit.
#[derive(Debug, Serialize)]
pub(crate) struct Spared {
    /// The longest time between two acknowledged sends.
    pub(crate) sends: Times,
    /// The longest time between the starts of two runs.
    pub(crate) runs: Times,
}

/// How it interrupted one queue.
#[derive(Debug, Serialize)]
pub(crate) struct Interruption {
    /// How many of the faults hit it.
    pub(crate) count: usize,
    /// The longest time between two acknowledged sends.
    pub(crate) sends: Times,
    /// From the announcement of the promotion, or the end of a fault without one, to the first acknowledged send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sends_after: Option<Times>,
    /// The longest time between the starts of two runs.
    pub(crate) runs: Times,
    /// From there to the first start of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runs_after: Option<Times>,
}

impl Evidence {
    /// Whether a fault spares a queue, and so does each that was there at the time, or a moment before or after. One by which
    /// answers are lost interrupts nobody for long.
    fn spared(&self, queue: &str, by: &Struck) -> bool {
        let besides = |other: &&Struck| other.since <= by.until + GAP && other.until + GAP >= by.since;
        let mut others = self.struck.iter().filter(besides).filter(|other| other.name != SNAP);
        !by.hits(queue) && !others.any(|other| other.hits(queue))
    }
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

fn queue_of(message: &Message) -> &str {
    match message.actor.rsplit("::").next() {
        Some("stubborn" | "child") => QUEUES[1],
        Some("gated" | "gated_fails" | "before") => gated::QUEUE,
        Some(actor @ ("mail" | "billing" | "reports" | "search")) => actor,
        _ => QUEUES[0],
    }
}

impl Struck {
    fn hits(&self, queue: &str) -> bool {
        history::hits(&self.on, queue)
    }
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
pub(super) fn back_soon(evidence: &Evidence, scenario: &Scenario) -> Finding {
    let mut finding = Finding::new(super::SERVED);
    for queue in scenario.extra.queues() {
        let Served { sends, runs } = Served::of(evidence, queue);
        for (struck, decided) in decisions(evidence) {
            let time = struck.since.saturating_sub(BACK)..decided + BACK;
            if !evidence.messages.values().any(|sent| queue_of(sent) == *queue && time.contains(&sent.invoked)) {
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
            if !scenario.waits {
                ask(&sends, "the first stored message");
            }
        }
    }
    finding
}

/// A primary that is away, and a slot that moves, interrupt nothing else.
pub(super) fn spared_go_on(evidence: &Evidence, scenario: &Scenario) -> Finding {
    let mut finding = Finding::new(super::SPARED_QUEUES);
    let partial = || evidence.struck.iter().filter(|struck| history::is_of_queues(&struck.on));
    for queue in scenario.extra.queues().iter().filter(|_| partial().next().is_some()) {
        let Served { sends, runs } = Served::of(evidence, queue);
        for struck in partial() {
            let spared = evidence.spared(queue, struck);
            let mut ask = |times: &[u64], what: &str| {
                let gap = longest(times, struck, evidence.calm.1);
                let stalled = evidence.stalled_between(struck.since.saturating_sub(GAP), struck.until + GAP);
                finding.ask(gap.saturating_sub(stalled) <= GAP, || {
                    format!("{queue}: {} ms without {what} during {} of {}", gap / 1_000, struck.name, struck.on)
                });
            };
            if spared {
                ask(&runs, "a run");
            }
            // Commands of one key are asked for wherever that is by now.
            if spared || (struck.hits(queue) && struck.name == RESHARD) {
                ask(&sends, "a stored message");
            }
        }
    }
    finding
}

/// How each kind of fault interrupted each queue.
pub(super) fn interruptions(evidence: &Evidence, queues: &[&'static str]) -> Vec<Service> {
    let decisions = decisions(evidence);
    let served: Vec<_> = queues.iter().map(|queue| (*queue, Served::of(evidence, queue))).collect();
    let mut kinds = BTreeMap::<&str, Vec<&Struck>>::new();
    for struck in &evidence.struck {
        kinds.entry(&struck.name).or_default().push(struck);
    }
    let end = evidence.calm.1;
    let of = |(fault, struck): (&str, Vec<&Struck>)| {
        let led: Vec<_> = decisions.iter().filter(|(struck, _)| struck.name == fault).copied().collect();
        let ended = struck.iter().filter(|_| ENDS.contains(&fault)).map(|struck| (*struck, struck.until));
        let over: Vec<_> = led.iter().copied().chain(ended).collect();
        let gaps = |queue: &str, times: &[u64], hit: bool| {
            let counts = |struck: &&&Struck| if hit { struck.hits(queue) } else { evidence.spared(queue, struck) };
            let struck = struck.iter().filter(counts);
            struck.map(|struck| longest(times, struck, end)).collect::<Vec<_>>()
        };
        let afters = |queue: &str, times: &[u64]| {
            let over = over.iter().filter(|(struck, _)| struck.hits(queue));
            let afters: Vec<_> = over.map(|(_, at)| after(evidence, times, *at)).collect();
            (!afters.is_empty()).then(|| Times::of(afters))
        };
        let hit = |queue: &str| struck.iter().filter(|struck| struck.hits(queue)).count();
        let interrupted = served.iter().filter(|(queue, _)| hit(queue) > 0).map(|(queue, Served { sends, runs })| {
            let interruption = Interruption {
                count: hit(queue),
                sends: Times::of(gaps(queue, sends, true)),
                sends_after: afters(queue, sends),
                runs: Times::of(gaps(queue, runs, true)),
                runs_after: afters(queue, runs),
            };
            (*queue, interruption)
        });
        let spares = served.iter().any(|(queue, _)| hit(queue) < struck.len());
        let spared = |times: &dyn Fn(&Served) -> &[u64]| {
            Times::of(served.iter().flat_map(|(queue, served)| gaps(queue, times(served), false)).collect())
        };
        Service {
            fault: fault.to_owned(),
            count: struck.len(),
            promotions: led.len(),
            decided: Times::of(
                led.iter().map(|(struck, decided)| decided - lost(evidence, struck, *decided)).collect(),
            ),
            lasted: Times::of(struck.iter().map(|struck| struck.until - struck.since).collect()),
            queues: interrupted.collect(),
            spared: spares
                .then(|| Spared { sends: spared(&|served| &served.sends), runs: spared(&|served| &served.runs) }),
        }
    };
    kinds.into_iter().map(of).collect()
}
