//! Rules about the whole run: something happened, the queues ran empty, and the auditor agrees.

use super::super::AUDIT;
use super::*;
use crate::fault::Fault;
use crate::history::What;

#[test]
fn a_scenario_in_which_nothing_happened_proves_nothing() {
    let mut case = baseline();
    case.without(|what| matches!(what, What::Fault { .. } | What::Unknown { .. }));
    breaks(case, HAPPENED, "no fault fitted in the time");
    // In a scenario without faults, nothing has to happen.
    let mut case = baseline();
    case.is_about(&[]);
    case.without(|what| matches!(what, What::Fault { .. } | What::Unknown { .. }));
    holds(case);
}

#[test]
fn at_the_end_nothing_is_left_but_dead_letters() {
    let mut case = baseline();
    case.played.drained = false;
    breaks(case, DRAINED, "0 messages left, 0 in flight, 0 unexpected things");

    let mut case = baseline();
    let id = case.does(OTHER, s(100));
    case.played.storage.left.push(id);
    breaks(case, DRAINED, &id);

    let mut case = baseline();
    case.played.storage.in_flight = 1;
    breaks(case, DRAINED, "0 messages left, 1 in flight, 0 unexpected things");

    let mut case = baseline();
    case.played.storage.unexpected.push("a key nobody knows".to_owned());
    breaks(case, DRAINED, "a key nobody knows");
}

#[test]
fn what_the_auditor_finds_after_the_drain_breaks_it() {
    let mut case = baseline();
    case.played.audit.push("something is wrong".to_owned());
    breaks(case, AUDIT, "something is wrong");
}

#[test]
fn the_auditor_must_report_no_false_alarm() {
    let mut case = baseline();
    case.played.live_audit = Some(vec!["a wolf".to_owned()]);
    breaks(case, FALSE_ALARM, "a wolf");
    // Not checked where something is wrong.
    let mut case = baseline();
    case.played.live_audit = None;
    assert!(holds(case).findings.iter().any(|finding| finding.rule == FALSE_ALARM && finding.asked == 0));
}

#[test]
fn many_breaches_are_counted_and_the_first_are_shown() {
    let mut case = baseline();
    case.is_about(&[Fault::KillRedis]);
    for _ in 0..30 {
        case.sent("plain", s(100));
    }
    let verdict = case.judged();
    let lost = verdict.findings.iter().find(|finding| !finding.holds).unwrap();
    assert_eq!((lost.broken, lost.breaches.len(), verdict.counts.lost), (30, 20, 30));
}
