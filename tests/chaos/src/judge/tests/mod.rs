//! Each rule breaks where it must, and each tolerance is exactly as wide as `docs/chaos.md` says.

mod answers;
mod baseline;
mod begins;
mod cancels;
mod case;
mod credentials;
mod delivery;
mod disruption;
mod ends;
mod exclusion;
mod excuses;
mod following;
mod last_delivery;
mod limits;
mod liveness;
mod recovery;
mod retries;
mod service;
mod stops;
mod ticks;
mod tuned;
mod unique;
mod versions;

use super::{Finding, Verdict};
use baseline::{OTHER, RECOVERER, SPARED, STOPPING, VICTIM, baseline};
use case::{AFTER_A_CRASH, AGAIN, Case, FIRST, MS, Try, s};

const REFUSED: &str = "no refused message ran";
const NEWER_FORMAT: &str = "messages of a newer format wait unharmed";
const EFFECTS: &str = "with the token as its guard, each effect happened once";
const WORKING: &str = "when all faults are over, every worker works";
const HAPPENED: &str = "what the scenario is about has happened";
const DRAINED: &str = "after the drain nothing is left but dead letters";
const FALSE_ALARM: &str = "the auditor finds nothing wrong where nothing is";

fn broken(verdict: &Verdict) -> Vec<&Finding> {
    verdict.findings.iter().filter(|finding| !finding.holds).collect()
}

/// Every rule holds.
#[track_caller]
fn holds(case: Case) -> Verdict {
    let verdict = case.judged();
    assert!(verdict.holds && broken(&verdict).is_empty(), "{:#?}", broken(&verdict));
    verdict
}

/// Exactly these rules break, and each breach contains `what`.
#[track_caller]
fn break_all(case: Case, rules: &[&str], what: &(impl ToString + ?Sized)) {
    let (verdict, what) = (case.judged(), what.to_string());
    let broken = broken(&verdict);
    assert!(broken.iter().map(|finding| finding.rule).eq(rules.iter().copied()), "{broken:#?}");
    assert!(!verdict.holds, "the verdict must not hold where {rules:?} do not");
    for finding in broken {
        let breaches = &finding.breaches;
        assert_eq!(finding.broken, breaches.len() as u64, "few are all shown");
        assert!(breaches.iter().all(|breach| breach.contains(&what)), "{what} is not in {breaches:#?}");
    }
}

/// Exactly this rule breaks, and the breach contains `what`.
#[track_caller]
fn breaks(case: Case, rule: &str, what: &(impl ToString + ?Sized)) {
    break_all(case, &[rule], what);
}

/// All rules hold up to the bound; beyond it this rule breaks.
#[track_caller]
fn at_most(bound: u64, rule: &str, case: impl Fn(u64) -> Case) {
    holds(case(bound));
    breaks(case(bound + 1), rule, "");
}

/// The same for a lower bound.
#[track_caller]
fn at_least(bound: u64, rule: &str, case: impl Fn(u64) -> Case) {
    holds(case(bound));
    breaks(case(bound - 1), rule, "");
}
