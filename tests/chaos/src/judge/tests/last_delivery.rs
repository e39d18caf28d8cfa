//! A message on its last allowed delivery waits until it is isolated, and keeps its worker from recovering others.

use actor_core::MessageId;

use super::super::RECOVERED;
use super::*;
use crate::fault::Fault;
use crate::history::How;

const BOUND: u64 = s(10);
/// Its next crash would dead-letter it.
const LAST: Try = Try { attempt: 1, crashes: 2, token: 3 };
/// How long a message that could not be isolated waits until it is tried again.
const TRIED_AGAIN: u64 = s(6);

/// A message whose worker dies at 200 s, the first or second time. Another starts it at `start`.
fn recovered(start: u64, crashes_before: u32) -> (Case, MessageId) {
    let mut case = baseline();
    case.is_about(&[Fault::KillWorker]);
    let killed = case.worker("worker-3-0", (s(100), s(202)));
    let id = case.sent("plain", s(199));
    case.starts(killed, id, s(199), Try { crashes: crashes_before, ..AFTER_A_CRASH });
    case.dies(killed, s(200));
    case.runs(OTHER, id, (start, start + MS), Try { crashes: crashes_before + 1, ..LAST }, How::Done);
    (case, id)
}

/// A worker runs a message whose workers died this often.
fn suspect(case: &mut Case, crashes: u32, worker: usize, window: (u64, u64)) {
    let id = case.sent("plain", s(198));
    case.runs(worker, id, window, Try { crashes, ..LAST }, How::Done);
}

#[test]
fn on_its_last_delivery_the_time_of_other_suspects_and_six_seconds_after_each_are_taken_off() {
    at_most(s(200) + BOUND, RECOVERED, |start| recovered(start, 1).0);
    for (crashes, worker) in [(1, OTHER), (2, OTHER), (1, RECOVERER), (2, RECOVERER)] {
        at_most(s(200) + BOUND + s(3) + TRIED_AGAIN, RECOVERED, |start| {
            let (mut case, _) = recovered(start, 1);
            suspect(&mut case, crashes, worker, (s(201), s(204)));
            case
        });
    }
    let (mut case, _) = recovered(s(215), 1);
    suspect(&mut case, 1, RECOVERER, (s(201), s(204)));
    let recovery = holds(case).recovery;
    // Reported separately, with its whole wait.
    assert_eq!((recovery.count, recovery.max), (1, 3.0));
    assert_eq!((recovery.last_deliveries, recovery.last_deliveries_max), (1, 15.0));
}

#[test]
fn what_no_worker_died_of_is_no_suspect() {
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let (mut case, _) = recovered(start, 1);
        suspect(&mut case, 0, RECOVERER, (s(201), s(204)));
        case
    });
}

#[test]
fn what_begins_after_it_held_nothing_up() {
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let (mut case, _) = recovered(start, 1);
        suspect(&mut case, 1, RECOVERER, (start, start + s(1)));
        suspect(&mut case, 1, RECOVERER, (s(190), s(200) - TRIED_AGAIN));
        case
    });
}

#[test]
fn a_message_does_not_wait_for_itself() {
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let (mut case, id) = recovered(start, 1);
        // It ran as a suspect before: a zombie with an older token.
        let zombie = case.worker("worker-4-0", (s(100), s(120)));
        case.runs(zombie, id, (s(201), s(204)), Try { crashes: 1, ..FIRST }, How::Dropped);
        case
    });
}

#[test]
fn a_suspect_runs_no_longer_than_the_lease_of_its_worker() {
    at_most(s(200) + BOUND + s(3) + TRIED_AGAIN, RECOVERED, |start| {
        let (mut case, _) = recovered(start, 1);
        // Frozen until long after.
        let frozen = case.worker("worker-4-0", (s(100), s(204)));
        let id = case.sent("plain", s(198));
        case.runs(frozen, id, (s(201), s(290)), Try { crashes: 1, ..LAST }, How::Done);
        case
    });
}

#[test]
fn what_was_off_for_two_reasons_is_taken_off_once() {
    // The suspect ran from 201 s to 204 s, so it counts until 210 s.
    at_most(s(200) + BOUND + s(10), RECOVERED, |start| {
        let (mut case, _) = recovered(start, 1);
        suspect(&mut case, 1, RECOVERER, (s(201), s(204)));
        case.away((s(202), s(211)));
        case
    });
    at_most(s(200) + BOUND + s(4), RECOVERED, |start| {
        let (mut case, _) = recovered(start, 0);
        suspect(&mut case, 2, OTHER, (s(201), s(204)));
        case.away((s(202), s(205)));
        case
    });
}

#[test]
fn the_others_wait_only_for_a_last_delivery_on_the_worker_that_recovers_them() {
    at_most(s(200) + BOUND + s(3), RECOVERED, |start| {
        let (mut case, _) = recovered(start, 0);
        suspect(&mut case, 2, OTHER, (s(201), s(204)));
        case
    });
    for (crashes, worker) in [(1, OTHER), (2, RECOVERER), (1, RECOVERER)] {
        at_most(s(200) + BOUND, RECOVERED, |start| {
            let (mut case, _) = recovered(start, 0);
            suspect(&mut case, crashes, worker, (s(201), s(204)));
            case
        });
    }
}
