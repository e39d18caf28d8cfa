//! After a promotion there is service soon, and what is reported of it is what happened.

use super::super::{SERVED, SPARED_QUEUES};
use super::*;
use crate::history::{self, How, What};
use crate::process::Extra;
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
    let [killed, redis, _] = &verdict.service[..] else { panic!("{:#?}", verdict.service) };
    assert_eq!((&*killed.fault, killed.count, killed.promotions, killed.decided.p50), ("kill_primary", 2, 2, 2.0));
    assert_eq!((&*redis.fault, redis.count, redis.promotions), ("kill_redis", 1, 0));
    // It counts from the loss of the primary, and where that is not recorded from the fault.
    assert_eq!((killed.decided.max, redis.decided.max), (2.0, 0.0));
    let work = &killed.queues["work"];
    let (sends_after, runs_after) = (work.sends_after.as_ref().unwrap(), work.runs_after.as_ref().unwrap());
    assert_eq!((work.sends.max, sends_after.p50, sends_after.max), (13.0, 3.0, 3.0));
    assert_eq!((work.runs.p50, work.runs.max, runs_after.max), (8.0, 8.0, 4.0));
}

#[test]
fn a_fault_of_one_primary_is_reported_for_its_queues_and_the_others_beside_them() {
    let mut case = promoted(s(203), s(204));
    case.scenario.extra = Extra::Spread;
    case.without(|what| matches!(what, What::Fault { name, .. } | What::Healed { name, .. } if name == "kill_primary"));
    let on = history::queues(&["work", "mail"]);
    for (name, from, until) in [("kill_primary", 200, 203), ("hide_primary", 210, 216)] {
        case.harness(s(from), What::Fault { name: name.to_owned(), on: on.clone() });
        case.harness(s(until), What::Healed { name: name.to_owned(), on: on.clone() });
    }
    let spared = ["billing", "stubborn"].map(|actor| (actor, [199, 201, 217]));
    for (actor, times) in ["mail", "gated"].map(|actor| (actor, [199, 206, 218])).into_iter().chain(spared) {
        for at in times {
            let id = case.sent(actor, s(at));
            case.runs(OTHER, id, (s(at), s(at) + MS), FIRST, How::Done);
        }
    }
    let verdict = case.judged();
    let [hidden, killed, ..] = &verdict.service[..] else { panic!("{:#?}", verdict.service) };
    let queues: Vec<_> = killed.queues.keys().copied().collect();
    assert_eq!((queues, killed.queues["mail"].count), (vec!["mail", "work"], 1));
    assert_eq!((killed.queues["mail"].sends.max, killed.queues["mail"].sends_after.as_ref().unwrap().max), (7.0, 5.0));
    // Of the five queues that it spared two are never used.
    assert_eq!(killed.spared.as_ref().map(|spared| (spared.sends.max, spared.runs.max)), Some((16.0, 16.0)));
    assert_eq!((hidden.promotions, hidden.lasted.max), (0, 6.0));
    assert_eq!((hidden.queues["mail"].sends.max, hidden.queues["mail"].sends_after.as_ref().unwrap().max), (12.0, 2.0));
    // Each queue by itself, and those that were spared too.
    let served = verdict.findings.iter().find(|finding| finding.rule == SERVED).unwrap();
    let is_of_used =
        |breach: &String| ["mail", "gated", "billing", "threads"].iter().any(|queue| breach.starts_with(queue));
    assert!(served.breaches.iter().all(is_of_used));
    assert!(served.breaches.iter().any(|breach| breach.starts_with("billing: the first run 16000 ms")), "{served:#?}");
}

/// A fault of the queue `work` at 200 s, and what two others meet meanwhile: `threads` is served at 200 s and at `next`.
fn spared(name: &str, stored: u64, run: u64) -> Case {
    let mut case = baseline();
    let on = history::queues(&["work"]);
    case.harness(s(200) + MS, What::Fault { name: name.to_owned(), on: on.clone() });
    case.harness(s(201) - MS, What::Healed { name: name.to_owned(), on });
    let id = case.sent("stubborn", s(200));
    case.runs(OTHER, id, (s(200), s(200) + MS), FIRST, How::Done);
    let id = case.invoked("stubborn", s(200), 0);
    case.harness(stored, What::Acknowledged { id });
    case.runs(OTHER, id, (run, run + MS), FIRST, How::Done);
    case
}

#[test]
fn what_a_fault_of_one_primary_spares_goes_on() {
    at_most(s(202), SPARED_QUEUES, |stored| spared("kill_primary", stored, s(201)));
    at_most(s(202), SPARED_QUEUES, |run| spared("kill_primary", s(201), run));
    breaks(spared("kill_primary", s(203), s(201)), SPARED_QUEUES, "threads: 3000 ms without a stored message");
    // Of the whole of Redis.
    let mut case = spared("kill_primary", s(203), s(203));
    for event in &mut case.played.history.events {
        if let What::Fault { on, .. } | What::Healed { on, .. } = &mut event.what {
            "redis".clone_into(on);
        }
    }
    holds(case);
}

#[test]
fn a_slot_that_moves_holds_up_its_runs_and_no_sends() {
    let case = |stored, run| {
        let mut case = spared("reshard", s(201), s(201));
        for (at, run) in [(s(200), s(200)), (stored, run)] {
            let id = case.sent("plain", at);
            case.runs(OTHER, id, (run, run + MS), FIRST, How::Done);
        }
        case
    };
    at_most(s(202), SPARED_QUEUES, |stored| case(stored, s(204)));
    breaks(case(s(203), s(204)), SPARED_QUEUES, "work: 3000 ms without a stored message during reshard");
}
