//! When all faults are over, every worker works.

use super::*;
use crate::fault::Fault;
use crate::history::{How, What};

use super::baseline::{CALM, DRAIN};

/// A further worker, started at `spawned`.
fn further(spawned: u64) -> (Case, usize) {
    let mut case = baseline();
    let worker = case.worker("worker-3-0", (s(100), DRAIN));
    case.spawned(worker, spawned);
    (case, worker)
}

#[test]
fn a_worker_that_lives_and_starts_nothing_after_all_faults_breaks_it() {
    let (mut case, worker) = further(s(100));
    case.does(worker, s(200));
    breaks(case, WORKING, "worker-3-0");
}

#[test]
fn what_counts_is_what_began_between_the_calm_and_the_drain() {
    at_least(CALM, WORKING, |start| {
        let (mut case, worker) = further(s(100));
        case.does(worker, start);
        case
    });
    at_most(DRAIN - 1, WORKING, |start| {
        let (mut case, worker) = further(s(100));
        case.does(worker, start);
        case
    });
}

#[test]
fn a_worker_that_began_in_the_second_before_the_calm_is_not_asked() {
    at_least(CALM - s(1), WORKING, |spawned| further(spawned).0);
}

#[test]
fn a_worker_that_ended_before_the_drain_is_not_asked() {
    at_most(DRAIN, WORKING, |died| {
        let (mut case, worker) = further(s(100));
        case.stops(worker, died);
        // A process that ends exactly at the drain has ended before it.
        case.without(|what| matches!(what, What::Draining));
        case.harness(DRAIN, What::Draining);
        case
    });
}

#[test]
fn a_process_that_sends_is_not_asked() {
    let mut case = baseline();
    case.played.history.processes.push("producer-0-0".to_owned());
    case.spawned(case.played.history.processes.len() - 1, s(100));
    holds(case);
}

#[test]
fn a_worker_that_is_blocked_until_the_drain_is_not_asked() {
    at_least(DRAIN - s(1), WORKING, |until| {
        let (mut case, worker) = further(s(100));
        case.is_about(&[Fault::Hog]);
        let hog = case.sent("hog", CALM - s(1));
        case.runs(worker, hog, (CALM - s(1), until), FIRST, How::Done);
        case
    });
    // A block that begins in the drain is no excuse.
    let (mut case, worker) = further(s(100));
    let hog = case.sent("hog", DRAIN);
    case.runs(worker, hog, (DRAIN, DRAIN + s(1)), FIRST, How::Done);
    breaks(case, WORKING, "worker-3-0");
    // Other runs do not block.
    let (mut case, worker) = further(s(100));
    let plain = case.sent("plain", CALM - s(1));
    case.runs(worker, plain, (CALM - s(1), DRAIN), FIRST, How::Done);
    breaks(case, WORKING, "worker-3-0");
}
