//! A worker that dies while it stops was not killed by its messages.

use super::super::{DEPLOYED, REASONS, STOPPED};
use super::*;
use crate::fault::Fault;
use crate::history::What;

/// A worker that is asked to stop at 200 s dies at `dies` with a message. Another starts it, as `run` says.
fn stopped(dies: u64, run: Try) -> Case {
    let mut case = baseline();
    let stopping = case.worker("worker-3-0", (s(100), s(206)));
    let id = case.sent("plain", s(199));
    case.starts(stopping, id, s(199), FIRST);
    case.asked(stopping, s(200));
    case.dies(stopping, dies);
    case.runs(OTHER, id, (dies + s(5), dies + s(6)), run, crate::history::How::Done);
    case
}

#[test]
fn a_crash_counted_for_a_worker_that_had_begun_to_stop_breaks_it() {
    breaks(stopped(s(203), AFTER_A_CRASH), STOPPED, "1 crashes after worker-3-0 was stopped");
    holds(stopped(s(203), Try { token: 2, ..FIRST }));
}

#[test]
fn what_it_had_fetched_and_not_begun_counts_none_either() {
    let mut case = stopped(s(203), AFTER_A_CRASH);
    let id = case.last();
    case.without(|what| matches!(what, What::Start { id: it, token: 1, .. } if *it == id));
    breaks(case, STOPPED, &id);
}

#[test]
fn a_worker_has_half_a_second_to_begin_to_stop() {
    let bound = s(200) + 500 * MS;
    holds(stopped(bound - 1, AFTER_A_CRASH));
    breaks(stopped(bound, AFTER_A_CRASH), STOPPED, "");
}

#[test]
fn the_time_in_which_it_was_hindered_is_taken_off() {
    let with = |fault: &str, dies| {
        let mut case = stopped(dies, AFTER_A_CRASH);
        case.fault(fault, (s(200), s(201)));
        case
    };
    // A fault and the two seconds after it.
    holds(with("cut", s(203) + 500 * MS - 1));
    breaks(with("cut", s(203) + 500 * MS), STOPPED, "");
    // The stop itself is no hindrance.
    breaks(with("hasty_deploy", s(201)), STOPPED, "");
}

#[test]
fn a_crash_is_counted_for_a_lease_that_was_lost() {
    let mut case = stopped(s(203), AFTER_A_CRASH);
    let stopping = case.played.history.processes.len() - 1;
    case.lost(stopping, s(202));
    case.is_about(&[Fault::HastyDeploy]);
    holds(case);
}

#[test]
fn a_crash_of_another_delivery_is_not_of_the_stop() {
    holds(stopped(s(203), Try { attempt: 1, crashes: 1, token: 3 }));
}

/// A dead letter of three deaths, so many of them of workers that had begun to stop.
fn dead_lettered(stopping: usize) -> Case {
    let mut case = baseline();
    let id = case.sent("plain", s(110));
    for death in 0..3 {
        let at = s(120 + 20 * death as u64);
        let process = case.worker(&format!("worker-{}-0", 4 + death), (s(100), at));
        if death < stopping {
            case.asked(process, at - s(2));
        }
        case.dies(process, at);
    }
    case.dead_lettered(id, 0, 3, "the worker died 3 times while it held this message");
    case
}

#[test]
fn a_dead_letter_of_a_worker_that_had_begun_to_stop_breaks_it() {
    holds(dead_lettered(0));
    for stopping in 1..=3 {
        breaks(dead_lettered(stopping), DEPLOYED, "the worker died 3 times");
    }
}

#[test]
fn a_dead_letter_of_deaths_that_nobody_died_is_none_of_a_stop() {
    let mut case = dead_lettered(0);
    case.without(|what| matches!(what, What::Died { process, .. } if process == "worker-4-0"));
    breaks(case, REASONS, "the worker died 3 times");
}
