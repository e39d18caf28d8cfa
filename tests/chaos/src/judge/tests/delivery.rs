//! Nothing is lost, refused messages never run, messages of a newer format stay untouched, and each effect happens
//! once.

use super::super::LOST;
use super::*;
use crate::fault::Fault;
use crate::history::{How, What};
use crate::topology::{Promoter, Topology};

#[test]
fn an_acknowledged_message_must_come_to_an_end() {
    let mut case = baseline();
    let never_ran = case.sent("plain", s(100));
    breaks(case, LOST, &never_ran);
}

#[test]
fn only_work_that_was_done_is_an_end() {
    for how in [How::Failed, How::Stale, How::Dropped] {
        let mut case = baseline();
        let id = case.sent("plain", s(100));
        case.runs(OTHER, id, (s(100), s(101)), FIRST, how);
        breaks(case, LOST, &id);
    }
    let mut case = baseline();
    let cut_short = case.sent("plain", s(29));
    case.starts(VICTIM, cut_short, s(29), FIRST);
    breaks(case, LOST, &cut_short);
}

#[test]
fn work_that_an_earlier_run_had_done_is_an_end() {
    let mut case = baseline();
    let id = case.sent("plain", s(29));
    case.starts(VICTIM, id, s(29), FIRST);
    case.effect(id, s(30) - MS, 1);
    case.runs(SPARED, id, (s(36), s(37)), AFTER_A_CRASH, How::DoneBefore);
    holds(case);
}

#[test]
fn a_message_that_was_not_acknowledged_need_not_come_to_an_end() {
    let mut case = baseline();
    let refused = case.invoked("plain", s(100), 0);
    case.harness(s(100), What::Refused { id: refused, why: String::new() });
    let unknown = case.invoked("plain", s(100), 0);
    case.harness(s(100), What::Unknown { id: unknown, why: String::new() });
    // Its producer died before it learned the outcome.
    case.invoked("plain", s(100), 0);
    case.fault("cut", (s(100), s(101)));
    assert_eq!(holds(case).counts.unknown, 3);
}

#[test]
fn an_unknown_message_may_run_and_is_held_to_the_other_rules() {
    let unknown = |commits: bool| {
        let mut case = baseline();
        let id = case.invoked("plain", s(100), 0);
        case.harness(s(110), What::Unknown { id, why: String::new() });
        case.fault("cut", (s(109), s(110)));
        case.starts(OTHER, id, s(101), FIRST);
        if commits {
            case.effect(id, s(102), 1);
        }
        case.ends(OTHER, id, s(102), 1, How::Done);
        (case, id)
    };
    let (case, _) = unknown(true);
    assert_eq!(holds(case).counts.unknown_that_ran, 1);
    let (case, id) = unknown(false);
    breaks(case, EFFECTS, &id);
}

const SENTINEL: Topology = Topology::Standby(Promoter::Sentinel);

/// A lost message that a master acknowledged at `answered`. The master was disconnected from its replica from 200 s to
/// 201 s, and died.
fn gone(answered: u64, topology: Topology, waits: bool) -> Case {
    let mut case = baseline();
    (case.scenario.topology, case.scenario.waits) = (topology, waits);
    case.is_about(&[Fault::FailOver]);
    case.fault("fail_over", (s(190), s(301)));
    case.harness(s(200), What::Parted);
    case.harness(s(201), What::MasterLost);
    let id = case.invoked("plain", s(190), 0);
    case.harness(answered, What::Acknowledged { id });
    case
}

#[test]
fn what_a_parted_master_acknowledged_is_counted_apart() {
    // An answer may be under way for a fifth of a second, on either side.
    at_least(s(200) - 200 * MS, LOST, |answered| gone(answered, SENTINEL, false));
    at_most(s(201) + 200 * MS, LOST, |answered| gone(answered, SENTINEL, false));
    let counts = holds(gone(s(200), SENTINEL, false)).counts;
    assert_eq!((counts.lost, counts.lost_with_master), (0, 1));
    // What it replicated in time is not lost.
    let mut case = gone(s(200), SENTINEL, false);
    case.does(OTHER, s(200));
    assert_eq!(holds(case).counts.lost_with_master, 1);
}

#[test]
fn nothing_may_go_with_its_master_where_producers_wait_for_the_replica() {
    breaks(gone(s(200), SENTINEL, true), LOST, "Acknowledged");
    breaks(gone(s(200), Topology::One, false), LOST, "Acknowledged");
    let counts = gone(s(200), SENTINEL, true).judged().counts;
    assert_eq!((counts.lost, counts.lost_with_master), (1, 0));
}

#[test]
fn nothing_goes_with_a_master_that_did_not_die() {
    let mut case = gone(s(200), SENTINEL, false);
    case.without(|what| matches!(what, What::MasterLost));
    breaks(case, LOST, "Acknowledged");
    let mut case = gone(s(250), SENTINEL, false);
    case.harness(s(300), What::MasterLost);
    breaks(case, LOST, "Acknowledged");
    let mut case = gone(s(200), Topology::Standby(Promoter::Master), false);
    case.without(|what| matches!(what, What::Parted | What::MasterLost));
    breaks(case, LOST, "Acknowledged");
}

#[test]
fn each_parting_has_a_time_of_its_own() {
    let two = |answered| {
        let mut case = gone(answered, SENTINEL, false);
        case.harness(s(300), What::Parted);
        case.harness(s(301), What::MasterLost);
        case
    };
    holds(two(s(200)));
    holds(two(s(300)));
    breaks(two(s(250)), LOST, "Acknowledged");
}

#[test]
fn a_refused_message_must_not_run() {
    let mut case = baseline();
    let id = case.invoked("plain", s(100), 0);
    case.harness(s(100), What::Refused { id, why: String::new() });
    case.runs(OTHER, id, (s(101), s(102)), FIRST, How::Done);
    breaks(case, REFUSED, &id);
}

#[test]
fn a_message_of_a_newer_format_waits_as_it_was_sent() {
    let sent = |found: Option<&str>| {
        let mut case = baseline();
        let id = case.id("plain");
        case.harness(s(100), What::NewerFormat { id, body: r#"{"v":3,"lane":[1,2]}"#.to_owned() });
        if let Some(found) = found {
            case.played.storage.newer_format.insert(id, found.to_owned());
        }
        (case, id)
    };
    holds(sent(Some(r#"{"v":3,"lane":[1,2]}"#)).0);
    for found in [None, Some(r#"{"v":3}"#), Some(r#"{"v":3, "lane":[1,2]}"#)] {
        let (case, id) = sent(found);
        breaks(case, NEWER_FORMAT, &id);
    }
    let (mut case, id) = sent(Some(r#"{"v":3,"lane":[1,2]}"#));
    case.runs(OTHER, id, (s(101), s(102)), FIRST, How::Done);
    breaks(case, NEWER_FORMAT, &id);
}

#[test]
fn a_message_that_is_done_has_one_effect() {
    let with = |effects: u64| {
        let mut case = baseline();
        let id = case.sent("plain", s(100));
        case.starts(OTHER, id, s(101), FIRST);
        (0..effects).for_each(|_| case.effect(id, s(102), 1));
        case.ends(OTHER, id, s(103), 1, How::Done);
        (case, id)
    };
    holds(with(1).0);
    for effects in [0, 2] {
        let (case, id) = with(effects);
        breaks(case, EFFECTS, &id);
    }
}

/// A dead letter that was never done, of a message that one worker held when it died.
fn dead_lettered_with(effects: &[u64]) -> (Case, actor_core::MessageId) {
    let mut case = baseline();
    let id = case.sent("always_fails", s(28));
    case.starts(VICTIM, id, s(29), FIRST);
    let attempts = [(2, 36), (3, 37), (4, 38)];
    for (attempt, (token, at)) in (1..).zip(attempts) {
        case.runs(SPARED, id, (s(at), s(at) + MS), Try { attempt, crashes: 1, token }, How::Failed);
    }
    effects.iter().for_each(|token| case.effect(id, s(29) + MS, *token));
    case.dead_lettered(id, 3, 1, "always_fails");
    (case, id)
}

#[test]
fn a_worker_may_die_between_an_effect_and_its_record() {
    holds(dead_lettered_with(&[]).0);
    holds(dead_lettered_with(&[1]).0);
    let (case, id) = dead_lettered_with(&[1, 1]);
    breaks(case, EFFECTS, &id);
}

#[test]
fn the_effect_of_a_run_that_recorded_its_end_is_recorded_too() {
    let (case, id) = dead_lettered_with(&[2]);
    breaks(case, EFFECTS, &id);
}
