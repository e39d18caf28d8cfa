//! An excuse applies to one rule in one scenario. What was acknowledged is never excused.

use super::super::{
    ANSWERED, ATTEMPTS, BOUNDED, EXCLUSION, IDLE, KNOWN, LATE, LEASES_KEPT, LOST, PROMPT, REASONS, RECOVERED, REPLACED,
    SERVED, SOON, SPARED_QUEUES, STOOD, TOKENS, TOLD, WAITS,
};
use super::*;
use crate::history::How;
use crate::scenario::Scenario;
use crate::scenarios;

/// What each scenario excuses, as documented: data deleted by hand, and data lost with a master.
fn excused(scenario: &str) -> &'static [&'static str] {
    match scenario {
        "lose-consumers"
        | "lose-groups"
        | "failover"
        | "failover-wait"
        | "sentinel-failover"
        | "sentinel-failover-wait"
        | "sentinel-lies"
        | "replica-lag"
        | "cluster-failover"
        | "cluster-failover-wait"
        | "mixed-cluster"
        | "cluster-partition" => &[EXCLUSION, TOKENS, ATTEMPTS, BOUNDED, REASONS],
        "lose-scheduled" => &[WAITS],
        _ => &[],
    }
}

fn rules() -> Vec<&'static str> {
    baseline().judged().findings.iter().map(|finding| finding.rule).collect()
}

#[test]
fn each_scenario_excuses_what_the_documentation_says_and_nothing_else() {
    let rules = rules();
    for scenario in scenarios::all() {
        let found: Vec<_> = rules.iter().copied().filter(|rule| scenario.excuse(rule).is_some()).collect();
        assert_eq!(found, excused(scenario.name), "{}", scenario.name);
        // An excuse for an unknown rule excuses nothing.
        assert_eq!(scenario.excused.len(), found.len(), "{}", scenario.name);
    }
}

#[test]
fn without_time_the_rules_of_time_are_excused_too() {
    for scenario in scenarios::all() {
        let untimed = Scenario { timed: false, ..scenario };
        for rule in rules() {
            let is_of_time = [
                LATE,
                RECOVERED,
                LEASES_KEPT,
                STOOD,
                ANSWERED,
                PROMPT,
                KNOWN,
                SERVED,
                SPARED_QUEUES,
                REPLACED,
                TOLD,
                IDLE,
                SOON,
            ]
            .contains(&rule);
            let is_excused = is_of_time || excused(untimed.name).contains(&rule);
            assert_eq!(untimed.excuse(rule).is_some(), is_excused, "{}: {rule}", untimed.name);
        }
    }
}

#[test]
fn that_an_acknowledged_message_comes_to_its_end_is_never_excused() {
    for scenario in scenarios::all() {
        for timed in [true, false] {
            let mut case = baseline();
            let id = case.sent("plain", s(100));
            case.scenario = Scenario { timed, ..scenario.clone() };
            let verdict = case.judged();
            let lost = verdict.findings.iter().find(|finding| finding.rule == LOST).unwrap();
            assert!(!verdict.holds && !lost.holds && lost.excused.is_none(), "{}: {id}", scenario.name);
        }
    }
}

#[test]
fn an_excused_breach_is_reported_and_leaves_the_verdict_true() {
    let case = |is_lost: bool| {
        let mut case = baseline();
        case.scenario.excused = &[(TOKENS, "how often it was in flight was deleted")];
        let id = case.sent("plain", s(100));
        case.runs(OTHER, id, (s(100), s(101)), FIRST, How::Dropped);
        case.runs(OTHER, id, (s(102), s(103)), FIRST, How::Done);
        if is_lost {
            case.sent("plain", s(100));
        }
        case.judged()
    };
    let verdict = case(false);
    let [finding] = broken(&verdict)[..] else { panic!("{:#?}", broken(&verdict)) };
    assert_eq!((finding.rule, finding.excused), (TOKENS, Some("how often it was in flight was deleted")));
    assert!(verdict.holds);
    // It excuses no other rule.
    assert!(!case(true).holds);
}
