//! Nothing is lost, refused messages never run, tomorrow's are left alone, and each effect happens once.

use super::super::LOST;
use super::*;
use crate::fault::Fault;
use crate::history::{How, What};
use crate::standby::Promoter;

#[test]
fn an_acknowledged_message_must_come_to_an_end() {
    let mut tale = baseline();
    let never_ran = tale.sent("plain", s(100));
    breaks(tale, LOST, &never_ran);
}

#[test]
fn only_work_that_was_done_is_an_end() {
    for how in [How::Failed, How::Stale, How::Dropped] {
        let mut tale = baseline();
        let id = tale.sent("plain", s(100));
        tale.runs(OTHER, id, (s(100), s(101)), FIRST, how);
        breaks(tale, LOST, &id);
    }
    let mut tale = baseline();
    let cut_short = tale.sent("plain", s(29));
    tale.starts(VICTIM, cut_short, s(29), FIRST);
    breaks(tale, LOST, &cut_short);
}

#[test]
fn work_that_an_earlier_run_had_done_is_an_end() {
    let mut tale = baseline();
    let id = tale.sent("plain", s(29));
    tale.starts(VICTIM, id, s(29), FIRST);
    tale.effect(id, s(30) - MS, 1);
    tale.runs(SPARED, id, (s(36), s(37)), TAKEN_OVER, How::DoneBefore);
    holds(tale);
}

#[test]
fn a_message_that_was_not_acknowledged_need_not_come_to_an_end() {
    let mut tale = baseline();
    let refused = tale.invoked("plain", s(100), 0);
    tale.harness(s(100), What::Refused { id: refused, why: String::new() });
    let unknown = tale.invoked("plain", s(100), 0);
    tale.harness(s(100), What::Unknown { id: unknown, why: String::new() });
    // Its producer died before it knew.
    tale.invoked("plain", s(100), 0);
    tale.fault("cut", (s(100), s(101)));
    assert_eq!(holds(tale).counts.unknown, 3);
}

#[test]
fn an_unknown_message_may_run_and_is_held_to_the_other_rules() {
    let unknown = |commits: bool| {
        let mut tale = baseline();
        let id = tale.invoked("plain", s(100), 0);
        tale.harness(s(110), What::Unknown { id, why: String::new() });
        tale.fault("cut", (s(109), s(110)));
        tale.starts(OTHER, id, s(101), FIRST);
        if commits {
            tale.effect(id, s(102), 1);
        }
        tale.ends(OTHER, id, s(102), 1, How::Done);
        (tale, id)
    };
    let (tale, _) = unknown(true);
    assert_eq!(holds(tale).counts.unknown_that_ran, 1);
    let (tale, id) = unknown(false);
    breaks(tale, EFFECTS, &id);
}

/// A message that a master acknowledged at `answered`, and that is gone. The master was parted from its
/// replica from 200 s to 201 s, and died.
fn gone(answered: u64, promoter: Option<Promoter>, waits: bool) -> Tale {
    let mut tale = baseline();
    (tale.scenario.promoter, tale.scenario.waits) = (promoter, waits);
    tale.is_about(&[Fault::FailOver]);
    tale.fault("fail_over", (s(190), s(301)));
    tale.harness(s(200), What::Parted);
    tale.harness(s(201), What::MasterLost);
    let id = tale.invoked("plain", s(190), 0);
    tale.harness(answered, What::Acknowledged { id });
    tale
}

#[test]
fn what_a_parted_master_acknowledged_is_counted_apart() {
    // A fifth of a second is on its way, on either side.
    at_least(s(200) - 200 * MS, LOST, |answered| gone(answered, Some(Promoter::Sentinel), false));
    at_most(s(201) + 200 * MS, LOST, |answered| gone(answered, Some(Promoter::Sentinel), false));
    let counts = holds(gone(s(200), Some(Promoter::Sentinel), false)).counts;
    assert_eq!((counts.lost, counts.lost_with_master), (0, 1));
    // What it passed on in time is not gone.
    let mut tale = gone(s(200), Some(Promoter::Sentinel), false);
    tale.does(OTHER, s(200));
    assert_eq!(holds(tale).counts.lost_with_master, 1);
}

#[test]
fn nothing_may_go_with_its_master_where_producers_wait_for_the_replica() {
    breaks(gone(s(200), Some(Promoter::Sentinel), true), LOST, "Acknowledged");
    breaks(gone(s(200), None, false), LOST, "Acknowledged");
    let counts = gone(s(200), Some(Promoter::Sentinel), true).judged().counts;
    assert_eq!((counts.lost, counts.lost_with_master), (1, 0));
}

#[test]
fn nothing_goes_with_a_master_that_did_not_die() {
    let mut tale = gone(s(200), Some(Promoter::Sentinel), false);
    tale.without(|what| matches!(what, What::MasterLost));
    breaks(tale, LOST, "Acknowledged");
    let mut tale = gone(s(250), Some(Promoter::Sentinel), false);
    tale.harness(s(300), What::MasterLost);
    breaks(tale, LOST, "Acknowledged");
    let mut tale = gone(s(200), Some(Promoter::Master), false);
    tale.without(|what| matches!(what, What::Parted | What::MasterLost));
    breaks(tale, LOST, "Acknowledged");
}

#[test]
fn each_parting_has_a_time_of_its_own() {
    let two = |answered| {
        let mut tale = gone(answered, Some(Promoter::Sentinel), false);
        tale.harness(s(300), What::Parted);
        tale.harness(s(301), What::MasterLost);
        tale
    };
    holds(two(s(200)));
    holds(two(s(300)));
    breaks(two(s(250)), LOST, "Acknowledged");
}

#[test]
fn a_refused_message_must_not_run() {
    let mut tale = baseline();
    let id = tale.invoked("plain", s(100), 0);
    tale.harness(s(100), What::Refused { id, why: String::new() });
    tale.runs(OTHER, id, (s(101), s(102)), FIRST, How::Done);
    breaks(tale, REFUSED, &id);
}

#[test]
fn a_message_of_a_newer_format_waits_as_it_was_sent() {
    let sent = |found: Option<&str>| {
        let mut tale = baseline();
        let id = tale.id("plain");
        tale.harness(s(100), What::Tomorrow { id, body: r#"{"v":2,"lane":[1,2]}"#.to_owned() });
        if let Some(found) = found {
            tale.played.storage.tomorrow.insert(id, found.to_owned());
        }
        (tale, id)
    };
    holds(sent(Some(r#"{"v":2,"lane":[1,2]}"#)).0);
    for found in [None, Some(r#"{"v":2}"#), Some(r#"{"v":2, "lane":[1,2]}"#)] {
        let (tale, id) = sent(found);
        breaks(tale, TOMORROW, &id);
    }
    let (mut tale, id) = sent(Some(r#"{"v":2,"lane":[1,2]}"#));
    tale.runs(OTHER, id, (s(101), s(102)), FIRST, How::Done);
    breaks(tale, TOMORROW, &id);
}

#[test]
fn a_message_that_is_done_has_one_effect() {
    let with = |effects: u64| {
        let mut tale = baseline();
        let id = tale.sent("plain", s(100));
        tale.starts(OTHER, id, s(101), FIRST);
        (0..effects).for_each(|_| tale.effect(id, s(102), 1));
        tale.ends(OTHER, id, s(103), 1, How::Done);
        (tale, id)
    };
    holds(with(1).0);
    for effects in [0, 2] {
        let (tale, id) = with(effects);
        breaks(tale, EFFECTS, &id);
    }
}

/// A message that one worker held when it died, and that is a dead letter without having been done.
fn buried_with(effects: &[u64]) -> (Tale, actor_core::MessageId) {
    let mut tale = baseline();
    let id = tale.sent("doomed", s(28));
    tale.starts(VICTIM, id, s(29), FIRST);
    let attempts = [(2, 36), (3, 37), (4, 38)];
    for (attempt, (token, at)) in (1..).zip(attempts) {
        tale.runs(SPARED, id, (s(at), s(at) + MS), Try { attempt, crashes: 1, token }, How::Failed);
    }
    effects.iter().for_each(|token| tale.effect(id, s(29) + MS, *token));
    tale.buried(id, 3, 1, "doomed");
    (tale, id)
}

#[test]
fn a_worker_may_die_between_an_effect_and_the_line_that_tells_of_it() {
    holds(buried_with(&[]).0);
    holds(buried_with(&[1]).0);
    let (tale, id) = buried_with(&[1, 1]);
    breaks(tale, EFFECTS, &id);
}

#[test]
fn an_effect_of_a_run_that_told_of_its_end_is_told_of_too() {
    let (tale, id) = buried_with(&[2]);
    breaks(tale, EFFECTS, &id);
}
