//! No message runs on two workers whose leases both hold, and its tokens grow.

use actor_core::MessageId;

use super::super::{EXCLUSION, LEASES_KEPT, TOKENS};
use super::*;
use crate::fault::Fault;
use crate::history::How;
use crate::topology::{Promoter, Topology};

/// A further worker, whose last lease ends at `ends`, runs a message from 110 s to `until` and drops it. Another
/// completes it from 130 s to 131 s.
fn overlap(ends: u64, until: u64) -> (Case, usize, MessageId) {
    let mut case = baseline();
    case.is_about(&[Fault::FreezeWorker]);
    let frozen = case.worker("worker-3-0", (s(100), ends));
    let id = case.sent("plain", s(110));
    case.runs(frozen, id, (s(110), until), FIRST, How::Dropped);
    case.runs(OTHER, id, (s(130), s(131)), AFTER_A_CRASH, How::Done);
    (case, frozen, id)
}

#[test]
fn two_runs_that_overlap_break_it_while_both_leases_hold() {
    let (case, _, id) = overlap(s(300), s(140));
    breaks(case, EXCLUSION, &id);
}

#[test]
fn a_run_may_begin_when_the_other_ends() {
    at_most(s(130), EXCLUSION, |until| overlap(s(300), until).0);
}

#[test]
fn a_run_may_begin_when_the_others_lease_ends() {
    at_most(s(130), EXCLUSION, |ends| overlap(ends, s(140)).0);
}

#[test]
fn a_run_may_begin_when_the_other_learned_that_its_lease_is_lost() {
    at_most(s(130), EXCLUSION, |learned| {
        let (mut case, frozen, _) = overlap(s(300), s(140));
        case.lost(frozen, learned);
        case
    });
}

#[test]
fn a_lease_that_is_granted_again_while_both_run_breaks_it() {
    at_least(s(131), EXCLUSION, |asked| {
        let (mut case, frozen, _) = overlap(s(120), s(140));
        case.renewed(frozen, asked);
        case
    });
}

#[test]
fn a_zombie_may_begin_what_another_runs_as_long_as_it_has_no_lease() {
    let zombie = |asked: Option<u64>| {
        let mut case = baseline();
        case.is_about(&[Fault::FreezeWorker]);
        let zombie = case.worker("worker-3-0", (s(100), s(120)));
        let id = case.sent("plain", s(110));
        case.runs(OTHER, id, (s(125), s(140)), AFTER_A_CRASH, How::Done);
        case.runs(zombie, id, (s(130), s(135)), FIRST, How::Dropped);
        if let Some(asked) = asked {
            case.renewed(zombie, asked);
        }
        case
    };
    holds(zombie(None));
    at_least(s(135), EXCLUSION, |asked| zombie(Some(asked)));
}

#[test]
fn a_lease_of_a_later_session_is_none_of_the_run() {
    let (mut case, frozen, _) = overlap(s(120), s(140));
    case.lost(frozen, s(125));
    case.registered(frozen, s(126));
    holds(case);
}

#[test]
fn a_run_that_was_cut_short_went_on_until_its_worker_died() {
    at_most(s(130), EXCLUSION, |died| {
        let mut case = baseline();
        case.is_about(&[Fault::KillWorker]);
        let killed = case.worker("worker-3-0", (s(100), s(300)));
        let id = case.sent("plain", s(110));
        case.starts(killed, id, s(110), FIRST);
        case.dies(killed, died);
        case.runs(OTHER, id, (s(130), s(131)), AFTER_A_CRASH, How::Done);
        case
    });
}

#[test]
fn a_run_is_compared_with_each_before_it() {
    let mut case = baseline();
    case.is_about(&[Fault::FreezeWorker]);
    let frozen = case.worker("worker-3-0", (s(100), s(300)));
    let id = case.sent("plain", s(110));
    case.runs(frozen, id, (s(110), s(140)), FIRST, How::Dropped);
    let quick = case.worker("worker-4-0", (s(100), s(120)));
    case.runs(quick, id, (s(125), s(126)), AFTER_A_CRASH, How::Dropped);
    case.runs(OTHER, id, (s(130), s(131)), Try { token: 3, ..AFTER_A_CRASH }, How::Done);
    breaks(case, EXCLUSION, &id);
}

/// A message whose runs have these tokens, in order. The worker of the second has its last lease until `ends`.
fn tokens(first: u64, second: u64, ends: u64) -> (Case, usize, MessageId) {
    let mut case = baseline();
    case.is_about(&[Fault::FreezeWorker]);
    let zombie = case.worker("worker-3-0", (s(100), ends));
    let id = case.sent("plain", s(110));
    case.runs(OTHER, id, (s(120), s(121)), Try { token: first, ..FIRST }, How::Dropped);
    case.runs(zombie, id, (s(130), s(131)), Try { token: second, ..FIRST }, How::Dropped);
    case.runs(SPARED, id, (s(140), s(141)), Try { token: 9, ..FIRST }, How::Done);
    (case, zombie, id)
}

#[test]
fn a_token_is_never_seen_twice() {
    holds(tokens(1, 2, s(300)).0);
    for ends in [s(120), s(300)] {
        let (case, _, id) = tokens(2, 2, ends);
        breaks(case, TOKENS, &id);
    }
}

#[test]
fn only_a_zombie_starts_with_a_smaller_token() {
    let (case, _, id) = tokens(2, 1, s(300));
    breaks(case, TOKENS, &id);
    at_most(s(130), TOKENS, |ends| tokens(2, 1, ends).0);
    at_most(s(130), TOKENS, |learned| {
        let (mut case, zombie, _) = tokens(2, 1, s(300));
        case.lost(zombie, learned);
        case
    });
}

#[test]
fn a_smaller_token_of_a_zombie_makes_no_other_small() {
    let mut case = baseline();
    case.is_about(&[Fault::FreezeWorker]);
    let zombie = case.worker("worker-3-0", (s(100), s(120)));
    let id = case.sent("plain", s(110));
    for (worker, at, token) in [(OTHER, 120, 5), (zombie, 130, 3), (SPARED, 140, 4)] {
        case.runs(worker, id, (s(at), s(at) + MS), Try { token, ..FIRST }, How::Dropped);
    }
    case.runs(OTHER, id, (s(150), s(151)), Try { token: 6, ..FIRST }, How::Done);
    breaks(case, TOKENS, &id);
}

#[test]
fn a_worker_without_a_session_holds_nothing() {
    let mut case = baseline();
    case.played.history.processes.push("worker-3-0".to_owned());
    let lifeless = case.played.history.processes.len() - 1;
    let id = case.sent("plain", s(110));
    case.runs(lifeless, id, (s(110), s(140)), FIRST, How::Dropped);
    case.runs(OTHER, id, (s(130), s(131)), AFTER_A_CRASH, How::Done);
    holds(case);
}

#[test]
fn the_lease_of_the_scenario_is_the_one_that_counts() {
    at_most(s(130), EXCLUSION, |ends| {
        let mut case = Case::new();
        case.scenario = case.scenario.dense();
        let (first, second) = (case.worker("worker-1-0", (s(100), ends)), case.worker("worker-2-0", (s(100), s(300))));
        let id = case.sent("plain", s(110));
        case.runs(first, id, (s(110), s(140)), FIRST, How::Dropped);
        case.runs(second, id, (s(130), s(131)), AFTER_A_CRASH, How::Done);
        case
    });
}

#[test]
fn where_only_redis_is_disrupted_no_lease_may_be_lost() {
    let lost = |faults: &[Fault]| {
        let mut case = baseline();
        case.is_about(faults);
        case.lost(OTHER, s(200));
        case.registered(OTHER, s(201));
        case
    };
    breaks(lost(&[Fault::KillRedis]), LEASES_KEPT, "1 leases were lost");
    breaks(lost(&[Fault::LongOutage, Fault::FreezeRedis]), LEASES_KEPT, "1 leases were lost");
    // Not checked where workers, their network or the index of leases are disrupted, or a replica is promoted.
    let not_asked = |case| holds(case).findings.iter().any(|finding| finding.rule == LEASES_KEPT && finding.asked == 0);
    for fault in [Fault::KillWorker, Fault::Cut, Fault::LoseWorkers, Fault::HandOver, Fault::FailOver] {
        assert!(not_asked(lost(&[Fault::KillRedis, fault])), "{fault:?}");
    }
    let mut promoted = lost(&[Fault::KillRedis]);
    promoted.scenario.topology = Topology::Standby(Promoter::Sentinel);
    assert!(not_asked(promoted));
    // Nor without faults, as where processes die at failpoints.
    assert!(not_asked(lost(&[])));
}
