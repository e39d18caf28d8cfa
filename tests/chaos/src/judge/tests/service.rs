//! After a promotion there is service soon, and what is reported of it is what happened.

use super::super::SERVED;
use super::*;
use crate::history::{How, What};
use crate::topology::{Access, Topology};

/// How soon a queue must be served.
const BACK: u64 = s(4);
/// When a Sentinel announces the promotion.
const DECIDED: u64 = s(201);

/// A fault begins at 198 s, the primary dies at 200 s, and another is promoted. A message that was sent before runs at `run`; another is stored
/// at `stored`, and runs a second later.
fn promoted(run: u64, stored: u64) -> Case {
    let mut case = baseline();
    case.scenario.topology = Topology::Sentinels { replicas: 2, access: Access::Direct };
    case.does(OTHER, s(197));
    case.does(OTHER, s(199));
    case.fault("kill_primary", (s(198), s(203)));
    case.harness(s(200), What::MasterLost);
    // The others hear of it later.
    for (sentinel, at) in [(1, DECIDED), (2, s(202)), (3, s(203))] {
        case.harness(at, What::Switched { sentinel, to: 7_002 });
    }
    let unknown = case.invoked("plain", s(199), 0);
    case.harness(s(200), What::Unknown { id: unknown, why: "the connection broke".to_owned() });
    case.runs(OTHER, unknown, (run, run + MS), FIRST, How::Done);
    let next = case.sent("plain", stored);
    case.runs(OTHER, next, (stored + s(1), stored + s(1) + MS), FIRST, How::Done);
    case
}

#[test]
fn each_queue_has_service_within_four_seconds_of_a_promotion() {
    at_most(DECIDED + BACK, SERVED, |run| promoted(run, s(204) + MS));
    at_most(DECIDED + BACK, SERVED, |stored| promoted(s(202), stored));
    breaks(promoted(s(202), s(206)), SERVED, "work: the first stored message 5000 ms after the promotion");
}

#[test]
fn each_queue_is_asked_by_itself() {
    let mut case = promoted(s(202), s(203));
    let id = case.sent("stubborn", s(198));
    case.runs(OTHER, id, (s(198), s(199)), FIRST, How::Done);
    // Nothing of that queue happens until the drain.
    breaks(case, SERVED, "threads: ");
}

#[test]
fn what_must_reach_a_replica_waits_for_one() {
    let mut case = promoted(s(202), s(220));
    case.scenario.waits = true;
    holds(case);
}

#[test]
fn the_time_in_which_the_machine_stood_still_does_not_count() {
    at_most(DECIDED + BACK + s(3), SERVED, |stored| {
        let mut case = promoted(s(202), stored);
        case.harness(s(205), What::Stalled { since: s(202) });
        case
    });
}

#[test]
fn the_time_in_which_the_primary_was_lost_again_does_not_count() {
    at_most(DECIDED + BACK + s(2), SERVED, |stored| {
        let mut case = promoted(s(202), stored);
        case.fault("kill_primary", (s(203), s(205)));
        case.away((s(203), s(205)));
        case.harness(s(203), What::MasterLost);
        case
    });
}

#[test]
fn the_time_until_all_sentinels_know_of_the_promotion_counts() {
    at_most(DECIDED + BACK, SERVED, |stored| {
        let mut case = promoted(s(202), stored);
        case.away((s(200), s(203)));
        case
    });
}

#[test]
fn a_promotion_that_no_fault_led_to_is_not_asked() {
    let mut case = baseline();
    case.fault("sentinels_lie", (s(200), s(210)));
    case.harness(s(201), What::Switched { sentinel: 1, to: 7_002 });
    holds(case);
}

#[test]
fn what_is_reported_is_the_longest_time_and_what_came_after_the_promotion() {
    let mut case = promoted(s(203), s(204));
    // Recorded after the death: it was on its way.
    case.sent("plain", s(200) + MS);
    let id = case.last();
    case.runs(OTHER, id, (s(204), s(205)), FIRST, How::Done);
    let verdict = holds(case);
    let [killed, redis] = &verdict.service[..] else { panic!("{:#?}", verdict.service) };
    assert_eq!((&*killed.fault, killed.count, killed.promotions, killed.decided.p50), ("kill_primary", 2, 2, 2.0));
    assert_eq!((&*redis.fault, redis.count, redis.promotions), ("kill_redis", 1, 0));
    // It counts from the loss of the primary, and where that is not recorded from the fault.
    assert_eq!((killed.decided.max, redis.decided.max), (2.0, 0.0));
    let work = &killed.queues["work"];
    assert_eq!((work.sends.max, work.sends_after.p50, work.sends_after.max), (13.0, 3.0, 3.0));
    assert_eq!((work.runs.p50, work.runs.max, work.runs_after.max), (8.0, 8.0, 4.0));
}
