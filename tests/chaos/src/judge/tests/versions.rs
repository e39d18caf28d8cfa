//! What older workers lack starts once a newer worker is live, and is not delivered again and again before.

use super::super::{FEW, KNOWN, LOST};
use super::*;
use crate::fault::Fault;
use crate::history::{How, What};

/// A history in which all workers are older, except those that a test adds.
fn old() -> Case {
    let mut case = baseline();
    for process in [SPARED, OTHER, VICTIM, RECOVERER, STOPPING] {
        case.is_older(process);
    }
    case
}

/// A message sent at 200 s that starts at `start`. A newer worker is live from 210 s until it is asked to stop.
fn newest(start: u64, asked: u64) -> Case {
    let mut case = old();
    let newer = case.worker("worker-6-0", (s(210), s(300)));
    case.asked(newer, asked);
    let id = case.sent("newest", s(200));
    case.runs(OTHER, id, (start, start + MS), FIRST, How::Done);
    case
}

#[test]
fn what_is_new_starts_within_five_seconds_of_a_newer_worker() {
    at_most(s(215), KNOWN, |start| newest(start, s(250)));
    breaks(newest(s(216), s(250)), KNOWN, "6000 ms after a newer worker was there");
}

#[test]
fn a_newer_worker_must_be_there_for_as_long() {
    holds(newest(s(290), s(215) - 1));
    breaks(newest(s(290), s(215)), KNOWN, "");
}

#[test]
fn newer_workers_that_follow_one_another_are_one_time() {
    let with = |from| {
        let mut case = newest(s(290), s(213));
        let next = case.worker("worker-7-0", (from, s(300)));
        case.asked(next, s(217));
        case
    };
    breaks(with(s(213)), KNOWN, "");
    holds(with(s(213) + 1));
}

#[test]
fn a_newer_worker_that_died_or_lost_its_lease_is_not_there() {
    for end in [Case::dies, Case::lost] {
        let with = |at| {
            let mut case = newest(s(290), s(300));
            case.is_about(&[Fault::RollBack]);
            let newer = case.played.history.processes.len() - 1;
            end(&mut case, newer, at);
            case
        };
        holds(with(s(215) - 1));
        breaks(with(s(215)), KNOWN, "");
    }
}

#[test]
fn what_is_sent_while_a_newer_worker_is_there_has_as_long() {
    let sent = |start| {
        let mut case = baseline();
        let id = case.sent("newest", s(200));
        case.runs(OTHER, id, (start, start + MS), FIRST, How::Done);
        case
    };
    at_most(s(205), KNOWN, sent);
}

#[test]
fn what_never_started_breaks_it_and_is_lost() {
    let mut case = baseline();
    let id = case.sent("newest", s(200));
    break_all(case, &[LOST, KNOWN], &id);
    // Without a newer worker it waits, and only the drain notices.
    let mut case = old();
    let id = case.sent("newest", s(200));
    breaks(case, LOST, &id);
}

#[test]
fn what_other_actors_wait_for_is_none_of_it() {
    let mut case = newest(s(211), s(250));
    let id = case.sent("plain", s(220));
    case.runs(OTHER, id, (s(229), s(230)), FIRST, How::Done);
    holds(case);
}

#[test]
fn the_time_of_disruption_is_taken_off() {
    at_most(s(215) + s(1) + s(2), KNOWN, |start| {
        let mut case = newest(start, s(250));
        case.fault("cut", (s(211), s(212)));
        case
    });
}

#[test]
fn twelve_deliveries_are_a_few() {
    let delivered = |token| {
        let mut case = baseline();
        let id = case.sent("newest", s(200));
        case.delivered(SPARED, id, s(201), Try { token, ..FIRST });
        case.runs(OTHER, id, (s(202), s(203)), Try { token: token - 1, ..FIRST }, How::Done);
        case
    };
    at_most(12, FEW, delivered);
    at_most(13, FEW, |token| {
        let mut case = delivered(token);
        case.without(|what| matches!(what, What::Delivered { token: it, .. } if *it == token));
        case
    });
}
