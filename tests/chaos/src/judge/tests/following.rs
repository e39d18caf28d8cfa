//! What follows from a run exists if and only if the run counts.

use actor_core::MessageId;

use super::super::{FOLLOWED, IN_ORDER, SOON};
use super::*;
use crate::history::{How, What};
use crate::topology::{Access, Topology};

/// A message is run and done at 101 s, after which two messages follow.
fn done() -> (Case, MessageId, [MessageId; 2]) {
    done_by(OTHER, baseline())
}

/// The same on a worker that dies a second later.
fn left() -> (Case, MessageId, [MessageId; 2]) {
    let mut case = baseline();
    let process = case.worker("worker-9-0", (s(90), s(102)));
    case.dies(process, s(102));
    done_by(process, case)
}

fn done_by(process: usize, mut case: Case) -> (Case, MessageId, [MessageId; 2]) {
    let parent = case.sent("parent", s(100));
    let follow = [(); 2].map(|()| case.follows(process, (parent, 1), s(100), false));
    case.follows(process, (parent, 1), s(100), true);
    case.runs(process, parent, (s(100), s(101)), FIRST, How::Done);
    (case, parent, follow)
}

fn run_each(case: &mut Case, ids: &[MessageId], at: u64) {
    for (id, at) in ids.iter().zip((at..).step_by(2_000)) {
        case.runs(SPARED, *id, (at, at + MS), FIRST, How::Done);
    }
}

#[test]
fn what_follows_from_a_run_that_is_done_exists() {
    let (mut whole, _, follow) = done();
    run_each(&mut whole, &follow, s(101));
    holds(whole);
    let (case, parent, _) = done();
    breaks(case, FOLLOWED, &parent);
    let (mut case, parent, follow) = done();
    run_each(&mut case, &follow[..1], s(101));
    breaks(case, FOLLOWED, &parent);
}

#[test]
fn nothing_follows_before_the_end_of_its_run() {
    let (mut case, parent, follow) = done();
    run_each(&mut case, &follow, s(101) - 1);
    breaks(case, FOLLOWED, &parent);
}

/// A message is done by two workers, since one of them died.
fn twice() -> (Case, MessageId, [MessageId; 2]) {
    let (mut case, parent, [first, _]) = left();
    let again = case.follows(OTHER, (parent, 2), s(108), false);
    case.runs(OTHER, parent, (s(108), s(109)), AFTER_A_CRASH, How::DoneBefore);
    (case, parent, [first, again])
}

#[test]
fn of_two_runs_that_are_done_one_has_something_follow() {
    let (mut case, _, [_, again]) = twice();
    run_each(&mut case, &[again], s(109));
    holds(case);
    let (mut case, parent, [first, again]) = twice();
    run_each(&mut case, &[first, again], s(109));
    breaks(case, FOLLOWED, &parent);
}

/// A message fails, is tried again and becomes a dead letter.
fn dead() -> (Case, MessageId, [MessageId; 4]) {
    let mut case = baseline();
    let doomed = case.sent("doomed", s(100));
    let mut follow = Vec::new();
    for (token, at) in [(1, 100), (2, 101)] {
        let attempt = u32::try_from(token).unwrap();
        follow.extend([false, true].map(|failure| case.follows(OTHER, (doomed, token), s(at), failure)));
        case.runs(OTHER, doomed, (s(at), s(at) + MS), Try { attempt, crashes: 0, token }, How::Failed);
    }
    case.dead_lettered(doomed, 2, 0, "doomed");
    (case, doomed, follow.try_into().unwrap())
}

#[test]
fn what_follows_from_a_dead_letter_follows_from_its_last_failure() {
    let (mut case, _, [.., last]) = dead();
    run_each(&mut case, &[last], s(102));
    holds(case);
    let (case, doomed, _) = dead();
    breaks(case, FOLLOWED, &doomed);
    for other in 0..3 {
        let (mut case, doomed, follow) = dead();
        run_each(&mut case, &[follow[other], follow[3]], s(102));
        breaks(case, FOLLOWED, &doomed);
    }
}

#[test]
fn nothing_follows_from_a_run_that_was_cut_short() {
    let (mut case, parent, follow) = done();
    case.without(|what| matches!(what, What::End { id, .. } if *id == parent));
    case.without(|what| matches!(what, What::Committed { id, .. } if *id == parent));
    run_each(&mut case, &follow, s(101));
    assert!(broken(&case.judged()).iter().any(|finding| finding.rule == FOLLOWED));
}

#[test]
fn what_a_failover_may_have_lost_is_excused_and_counted() {
    let missing = |is_replicated: bool, waits: bool, lost: u64| {
        let (mut case, parent, _) = done();
        if is_replicated {
            case.scenario.topology = Topology::Sentinels { replicas: 1, access: Access::Direct };
        }
        case.scenario.waits = waits;
        case.harness(lost - 500 * MS, What::Parted);
        case.harness(lost, What::MasterLost);
        (case, parent)
    };
    let missed = |case: Case| broken(&case.judged()).iter().any(|finding| finding.rule == FOLLOWED);
    let verdict = missing(true, false, s(101)).0.judged();
    assert_eq!(verdict.counts.followed_excused, 1);
    assert!(!missed(missing(true, false, s(101)).0));
    assert!(missed(missing(false, false, s(101)).0), "no failover");
    assert!(missed(missing(true, false, s(106)).0), "long after it has arrived");
    assert!(missed(missing(true, false, s(99)).0), "before");
    assert!(!missed(missing(true, false, s(100)).0), "the message was lost while it ran");
}

#[test]
fn one_worker_receives_what_follows_in_its_order() {
    let (mut case, _, [first, second]) = done();
    case.runs(SPARED, first, (s(101) + 2 * MS, s(102)), FIRST, How::Done);
    case.runs(SPARED, second, (s(101) + MS, s(102)), FIRST, How::Done);
    breaks(case, IN_ORDER, &first);
    // Of two workers it is not known which one was answered first.
    let (mut case, _, [first, second]) = done();
    case.runs(SPARED, first, (s(101) + 2 * MS, s(102)), FIRST, How::Done);
    case.runs(OTHER, second, (s(101) + MS, s(102)), FIRST, How::Done);
    holds(case);
}

#[test]
fn what_follows_starts_within_ten_seconds_or_when_another_worker_has_looked() {
    let late = |(mut case, _, follow): (Case, MessageId, [MessageId; 2]), took: u64| {
        run_each(&mut case, &follow[..1], s(101));
        case.runs(SPARED, follow[1], (s(101) + took, s(101) + took + MS), FIRST, How::Done);
        case
    };
    at_most(s(10), SOON, |took| late(done(), took));
    at_most(s(40), SOON, |took| late(left(), took));
}
