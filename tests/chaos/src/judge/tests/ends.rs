//! What is asked of the whole: that something happened, that all is over at the end, and what the auditor says.

use super::super::AUDIT;
use super::*;
use crate::fault::Fault;
use crate::history::What;

#[test]
fn a_scenario_in_which_nothing_happened_proves_nothing() {
    let mut tale = baseline();
    tale.without(|what| matches!(what, What::Fault { .. } | What::Unknown { .. }));
    breaks(tale, STRUCK, "no fault fitted in the time");
    // Where nothing is to happen, nothing must.
    let mut tale = baseline();
    tale.is_about(&[]);
    tale.without(|what| matches!(what, What::Fault { .. } | What::Unknown { .. }));
    holds(tale);
}

#[test]
fn at_the_end_nothing_is_left_but_dead_letters() {
    let mut tale = baseline();
    tale.played.drained = false;
    breaks(tale, DRAINED, "0 messages left, 0 lent, 0 strange things");

    let mut tale = baseline();
    let id = tale.does(OTHER, s(100));
    tale.played.storage.left.push(id);
    breaks(tale, DRAINED, &id);

    let mut tale = baseline();
    tale.played.storage.lent = 1;
    breaks(tale, DRAINED, "0 messages left, 1 lent, 0 strange things");

    let mut tale = baseline();
    tale.played.storage.strange.push("a key nobody knows".to_owned());
    breaks(tale, DRAINED, "a key nobody knows");
}

#[test]
fn what_the_auditor_finds_after_the_drain_breaks_it() {
    let mut tale = baseline();
    tale.played.audit.push("something is wrong".to_owned());
    breaks(tale, AUDIT, "something is wrong");
}

#[test]
fn the_auditor_must_not_cry_wolf() {
    let mut tale = baseline();
    tale.played.live_audit = Some(vec!["a wolf".to_owned()]);
    breaks(tale, WOLF, "a wolf");
    // Not asked where something is wrong.
    let mut tale = baseline();
    tale.played.live_audit = None;
    assert!(holds(tale).findings.iter().any(|finding| finding.rule == WOLF && finding.asked == 0));
}

#[test]
fn many_breaches_are_counted_and_the_first_are_told() {
    let mut tale = baseline();
    tale.is_about(&[Fault::KillRedis]);
    for _ in 0..30 {
        tale.sent("plain", s(100));
    }
    let verdict = tale.judged();
    let lost = verdict.findings.iter().find(|finding| !finding.holds).unwrap();
    assert_eq!((lost.broken, lost.breaches.len(), verdict.counts.lost), (30, 20, 30));
}
