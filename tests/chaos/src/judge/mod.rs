//! The judge checks each rule against the history.

mod answers;
mod begins;
mod cancels;
mod credentials;
mod delivery;
mod disruption;
mod evidence;
mod following;
mod lease;
mod limits;
mod liveness;
mod message;
mod recovery;
mod retries;
mod service;
mod stops;
#[cfg(test)]
mod tests;
mod ticks;
mod unique;
mod versions;
mod windows;

use actor_core::MessageId;
use serde::Serialize;

use crate::history::How;
use crate::process::Extra;
use crate::run::Played;
use crate::scenario::Scenario;
pub(crate) use evidence::Evidence;
pub(crate) use message::{Message, Sent};
pub(crate) use recovery::Recovery;
pub(crate) use service::{Interruption, Service, Spared, Times};

pub(crate) const EXCLUSION: &str = "no message ran on two workers whose leases both held";
pub(crate) const TOKENS: &str = "the tokens of a message grow";
pub(crate) const BOUNDED: &str = "no message ran more often than its retries and recoveries allow";
pub(crate) const ATTEMPTS: &str = "failures are counted as attempts, crashes never";
pub(crate) const WAITS: &str = "nothing started before its time";
pub(crate) const LATE: &str = "a failed attempt is tried again soon after its backoff";
const RECOVERED: &str = "what a dead worker held started again in time";
const LEASES_KEPT: &str = "an outage of Redis costs no worker its lease";
pub(crate) const STOPPED: &str = "no crash is counted for a worker that died while it stopped";
pub(crate) const DEPLOYED: &str = "no dead letter is of workers that died while they stopped";
pub(crate) const BLAMED: &str = "no failure is counted of a run that did not begin";
pub(crate) const AFTER: &str = "no run begins after its worker settled the message";
pub(crate) const STOOD: &str = "what was sent starts soon";
pub(crate) const ANSWERED: &str = "where nothing is wrong, no send is unknown";
pub(crate) const PROMPT: &str = "where nothing is wrong, each send is answered soon";
pub(crate) const KNOWN: &str = "what only newer workers know starts soon once there is one";
pub(crate) const FEW: &str = "what only newer workers know is delivered a few times";
pub(crate) const SERVED: &str = "soon after another server was promoted there is service";
pub(crate) const SPARED_QUEUES: &str = "what a fault of one primary or slot spares goes on";
pub(crate) const REPLACED: &str = "when a replaced user's time is over, no connection has it";
pub(crate) const REMOVED: &str = "what was removed by a cancellation never runs";
pub(crate) const ENDED: &str = "what was told to end ends, and is not run again";
pub(crate) const TOLD: &str = "a run hears of its cancellation within two seconds";
pub(crate) const TICKS: &str = "each tick of a schedule has one message, and none is missing";
pub(crate) const LIMITED: &str = "no more of a queue or a key are in flight than its limit";
pub(crate) const RATED: &str = "no more of a queue start in a time than its rate allows";
pub(crate) const IDLE: &str = "no slot of a limit is free while messages wait for it";
pub(crate) const FOLLOWED: &str = "what a run sends after itself exists if and only if the run counts";
pub(crate) const IN_ORDER: &str = "what follows from a run is delivered in its order";
pub(crate) const SOON: &str = "what follows from a run starts soon";
const FREED: &str = "after the drain no slot is taken, and nothing waits in a lane";
/// The rules that limit time.
pub(crate) const TIMES: [&str; 13] =
    [RECOVERED, LEASES_KEPT, LATE, STOOD, ANSWERED, PROMPT, KNOWN, SERVED, SPARED_QUEUES, REPLACED, TOLD, IDLE, SOON];
pub(crate) const SOLE: &str = "no two messages of a unique key are there at once";
pub(crate) const DISPLACED: &str = "nothing starts whose place another message took";
pub(crate) const ONCE: &str = "of the messages of an idempotency key, one is stored";
pub(crate) const REASONS: &str = "every dead letter has a true reason";
pub(crate) const LOST: &str = "every acknowledged message came to an end";
const AUDIT: &str = "after the drain the auditor finds nothing wrong";

/// How many breaches of a rule are shown.
const SHOWN: usize = 20;

/// The result of one rule.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) rule: &'static str,
    pub(crate) holds: bool,
    /// Why it need not hold in this scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) excused: Option<&'static str>,
    /// How many cases were checked.
    pub(crate) asked: u64,
    pub(crate) broken: u64,
    /// The first breaches.
    pub(crate) breaches: Vec<String>,
}

impl Finding {
    fn new(rule: &'static str) -> Self {
        Self { rule, holds: true, excused: None, asked: 0, broken: 0, breaches: Vec::new() }
    }

    /// Records one case.
    fn ask(&mut self, holds: bool, breach: impl FnOnce() -> String) {
        self.asked += 1;
        if !holds {
            self.breach(breach());
        }
    }

    fn breach(&mut self, breach: String) {
        self.holds = false;
        self.broken += 1;
        if self.breaches.len() < SHOWN {
            self.breaches.push(breach);
        }
    }
}

/// How much happened.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) unknown: u64,
    pub(crate) unknown_that_ran: u64,
    pub(crate) runs: u64,
    pub(crate) runs_done: u64,
    pub(crate) runs_failed: u64,
    /// By a limit elsewhere.
    pub(crate) runs_refused: u64,
    pub(crate) runs_dropped: u64,
    pub(crate) runs_cut_short: u64,
    pub(crate) dead_letters: u64,
    pub(crate) dead_of_crashes: u64,
    pub(crate) effects: u64,
    pub(crate) effects_fenced: u64,
    pub(crate) processes_killed: u64,
    pub(crate) leases_lost: u64,
    pub(crate) lost: u64,
    /// Acknowledged by a master that died before its replica had them. Redis lost them.
    pub(crate) lost_with_master: u64,
    /// What followed from runs.
    pub(crate) followed: u64,
    /// What should have, or did beside others, where a failover may have lost it or the settlement.
    pub(crate) followed_excused: u64,
}

/// The judge's verdict.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) holds: bool,
    pub(crate) counts: Counts,
    pub(crate) faults: std::collections::BTreeMap<String, u64>,
    pub(crate) recovery: Recovery,
    /// By kind of fault, in scenarios that measure it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) service: Vec<Service>,
    pub(crate) findings: Vec<Finding>,
}

/// Judges a run.
pub(crate) fn judge(scenario: &Scenario, played: Played) -> Verdict {
    let Played { history, storage, drained, audit, live_audit } = played;
    let evidence = Evidence::of(history, scenario.lease_ms * 1_000);
    let (within_bound, recovery) = recovery::within_bound(&evidence, scenario.lease());
    let mut drain = Finding::new("after the drain nothing is left but dead letters");
    drain.ask(drained && storage.left.is_empty() && storage.in_flight == 0 && storage.unexpected.is_empty(), || {
        let unexpected = storage.unexpected.iter().take(5);
        let left = storage.left.iter().take(5).map(|id| describe(&evidence, *id));
        let some: Vec<_> = left.chain(unexpected.cloned()).collect();
        let (left, in_flight, unexpected) = (storage.left.len(), storage.in_flight, storage.unexpected.len());
        format!("{left} messages left, {in_flight} in flight, {unexpected} unexpected things: {some:?}")
    });
    let mut freed = Finding::new(FREED);
    freed.ask(storage.taken.is_empty(), || storage.taken.join("; "));
    let mut struck = Finding::new("what the scenario is about has happened");
    struck.ask(scenario.is_calm() || !evidence.faults.is_empty(), || "no fault fitted in the time".to_owned());
    let mut audited = Finding::new(AUDIT);
    for violation in &audit {
        audited.ask(false, || violation.clone());
    }
    audited.asked += 1;
    let mut wolf = Finding::new("the auditor finds nothing wrong where nothing is");
    if let Some(live) = &live_audit {
        wolf.ask(live.is_empty(), || live.join("; "));
    }
    // Where producers wait for the replica, nothing may be lost with the master.
    let lost_with_master = scenario.topology.is_replicated() && !scenario.waits;
    let (lost, gone) = delivery::nothing_lost(&evidence, &storage, lost_with_master);
    let mut counts = count(&evidence, &storage, lost.broken);
    counts.lost_with_master = gone;
    let (follows, followed, excused) = following::if_and_only_if(&evidence, &storage, scenario);
    (counts.followed, counts.followed_excused) = (followed, excused);
    let mut findings = vec![
        struck,
        lost,
        delivery::refused_never_ran(&evidence),
        delivery::left_for_newer(&evidence, &storage),
        delivery::one_at_a_time(&evidence),
        delivery::tokens_grow(&evidence),
        delivery::effects_once(&evidence),
        retries::attempts_counted(&evidence),
        begins::failures_began(&evidence),
        begins::none_begins_settled(&evidence),
        stops::stops_count_nothing(&evidence),
        stops::stops_dead_letter_nothing(&evidence, &storage),
        unique::one_of_a_key(&evidence),
        unique::displaced_never_start(&evidence),
        unique::stored_once(&evidence),
        retries::runs_bounded(&evidence),
        retries::waits_kept(&evidence),
        retries::retried_in_time(&evidence),
        retries::dead_lettered_for_a_reason(&evidence, &storage),
        within_bound,
        begins::none_stands(&evidence),
        answers::none_is_unknown(&evidence, scenario.waits),
        answers::none_is_late(&evidence, scenario.waits),
        versions::known_soon(&evidence),
        versions::known_without_spinning(&evidence),
        follows,
        following::in_order(&evidence),
        following::soon(&evidence),
        limits::never_exceeded(&evidence),
        limits::never_too_fast(&evidence),
        limits::never_idle(&evidence),
        service::back_soon(&evidence, scenario),
        service::spared_go_on(&evidence, scenario),
        credentials::none_kept(&evidence),
        cancels::removed_never_runs(&evidence),
        cancels::told_ends(&evidence, &storage),
        cancels::told_soon(&evidence),
        ticks::each_once(&evidence, scenario.extra.has(Extra::Ticks)),
        liveness::all_work_again(&evidence),
        liveness::leases_outlive_outages(&evidence, scenario.disrupts_only_redis()),
        drain,
        freed,
        audited,
        wolf,
    ];
    for finding in &mut findings {
        finding.excused = scenario.excuse(finding.rule);
    }
    let service = match scenario.measures_service() {
        true => service::interruptions(&evidence, scenario.extra.queues()),
        false => Vec::new(),
    };
    let faults = evidence.faults.iter().map(|(name, count)| (name.clone(), *count)).collect();
    Verdict {
        holds: findings.iter().all(|finding| finding.holds || finding.excused.is_some()),
        counts,
        faults,
        recovery,
        service,
        findings,
    }
}

fn count(evidence: &Evidence, storage: &crate::storage::Storage, lost: u64) -> Counts {
    let mut counts = Counts { effects_fenced: evidence.fenced, lost, ..Counts::default() };
    counts.dead_letters = storage.dead.len() as u64;
    counts.dead_of_crashes =
        storage.dead.values().filter(|dead_letter| retries::died_of_crashes(dead_letter)).count() as u64;
    counts.processes_killed = evidence.deaths.len() as u64;
    counts.leases_lost = evidence.leases_lost() as u64;
    for message in evidence.messages.values() {
        match message.sent {
            Sent::Acknowledged => counts.acknowledged += 1,
            Sent::Refused => counts.refused += 1,
            Sent::Follows => {}
            Sent::Unknown => {
                counts.unknown += 1;
                counts.unknown_that_ran += u64::from(!message.runs.is_empty());
            }
        }
        counts.effects += message.commits.len() as u64;
        counts.runs += message.runs.len() as u64;
        for run in &message.runs {
            match run.end {
                Some((_, How::Done | How::DoneBefore)) => counts.runs_done += 1,
                Some((_, How::Failed | How::Stale | How::Cancelled)) => counts.runs_failed += 1,
                Some((_, How::Refused)) => counts.runs_refused += 1,
                Some((_, How::Dropped)) => counts.runs_dropped += 1,
                None => counts.runs_cut_short += 1,
            }
        }
    }
    counts
}

/// Everything known of a message, as text.
pub(crate) fn describe(evidence: &Evidence, id: MessageId) -> String {
    let Some(message) = evidence.messages.get(&id) else { return format!("{id}: in no history") };
    let runs: Vec<_> = message
        .runs
        .iter()
        .map(|run| {
            let end = match run.end {
                Some((at, how)) => format!("{how:?} at {at}"),
                None => evidence.died(run.process).map_or_else(|| "no end".to_owned(), |at| format!("killed at {at}")),
            };
            format!(
                "{} attempt {} crashes {} token {} start {} {end}",
                evidence.processes[run.process], run.attempt, run.crashes, run.token, run.start
            )
        })
        .collect();
    format!("{id} {} {:?} invoked {} runs {runs:?}", message.actor, message.sent, message.invoked)
}
