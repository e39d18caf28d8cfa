//! A failed attempt is retried soon, and only periods of disruption are subtracted.

use super::super::LATE;
use super::*;
use crate::fault::Fault;
use crate::history::{How, What};

/// How late a retry may start after its longest backoff, without faults.
const BEHIND: u64 = s(5);
/// The longest backoff of `plain` after its first failure.
const BACKOFF: u64 = 100 * MS;
/// From when on the retry of `retried` is late.
const DUE: u64 = s(200) + BACKOFF + BEHIND;

/// A message that fails at 200 s, and whose next run begins at `start`.
fn retried(start: u64, next: Try) -> Case {
    let mut case = baseline();
    let id = case.sent("plain", s(199));
    case.runs(OTHER, id, (s(199), s(200)), FIRST, How::Failed);
    case.runs(RECOVERER, id, (start, start + MS), next, How::Done);
    case
}

#[test]
fn a_retry_starts_within_five_seconds_of_its_longest_backoff() {
    at_most(DUE, LATE, |start| retried(start, AGAIN));
    breaks(retried(DUE + s(1), AGAIN), LATE, "6000 ms late: ");
}

#[test]
fn each_attempt_has_a_backoff_of_its_own() {
    let cases = [
        ("plain", 1, 100),
        ("plain", 3, 400),
        ("plain", 4, 800),
        ("stubborn", 3, 400),
        ("jumpy", 2, 100),
        ("patient", 1, 700),
    ];
    for (actor, last, backoff) in cases {
        at_most(s(200) + backoff * MS + BEHIND, LATE, |start| {
            let mut case = baseline();
            let id = case.sent(actor, s(190));
            for attempt in 1..=last {
                let (run, at) =
                    (Try { attempt, crashes: 0, token: attempt.into() }, s(200) - s((last - attempt).into()));
                case.runs(OTHER, id, (at - MS, at), run, How::Failed);
            }
            let next = Try { attempt: last + 1, crashes: 0, token: u64::from(last) + 1 };
            case.runs(RECOVERER, id, (start, start + MS), next, How::Done);
            case
        });
    }
}

#[test]
fn what_a_worker_died_of_or_held_when_it_ended_is_not_asked() {
    holds(retried(DUE + s(60), Try { crashes: 1, ..AGAIN }));
    // It may not have settled the failure.
    at_most(s(230) - 1, LATE, |died| {
        let mut case = baseline();
        let killed = case.worker("worker-3-0", (s(150), s(250)));
        let id = case.sent("plain", s(199));
        case.runs(killed, id, (s(199), s(200)), FIRST, How::Failed);
        case.dies(killed, died);
        case.runs(RECOVERER, id, (s(260), s(261)), AGAIN, How::Done);
        case
    });
}

#[test]
fn the_time_of_a_fault_and_two_seconds_after_it_are_taken_off() {
    at_most(DUE + s(1) + s(2), LATE, |start| {
        let mut case = retried(start, AGAIN);
        case.fault("cut", (s(201), s(202)));
        case
    });
    // Only time after the failure counts, and no time of two faults twice.
    at_most(DUE + s(3) + s(2), LATE, |start| {
        let mut case = retried(start, AGAIN);
        case.fault("cut", (s(190), s(202)));
        case.fault("lag", (s(201), s(203)));
        case
    });
}

#[test]
fn after_a_deleted_index_ten_seconds_are_taken_off() {
    at_most(DUE + s(10), LATE, |start| {
        let mut case = retried(start, AGAIN);
        case.fault("lose_scheduled", (s(201), s(201)));
        case
    });
}

#[test]
fn a_fault_that_is_not_over_takes_off_all_that_follows() {
    let with = |began| {
        let mut case = retried(DUE + s(60), AGAIN);
        case.harness(began, What::Fault { name: "cut".to_owned(), on: "worker-1".to_owned() });
        case
    };
    holds(with(s(205)));
    breaks(with(s(206)), LATE, "ms late");
}

#[test]
fn a_fault_that_begins_twice_began_at_its_first_record() {
    at_most(DUE + s(3) + s(2), LATE, |start| {
        let mut case = retried(start, AGAIN);
        case.fault("cut", (s(201), s(204)));
        case.harness(s(203), What::Fault { name: "cut".to_owned(), on: "redis".to_owned() });
        case
    });
}

#[test]
fn a_run_of_an_older_delivery_is_no_retry() {
    at_most(DUE, LATE, |start| {
        let mut case = retried(start, Try { attempt: 2, crashes: 0, token: 3 });
        let zombie = case.worker("worker-3-0", (s(100), s(120)));
        let id = case.last();
        case.runs(zombie, id, (s(201), s(202)), Try { token: 0, ..FIRST }, How::Dropped);
        case
    });
}

#[test]
fn a_fault_is_ended_where_it_began() {
    let mut case = retried(DUE + s(60), AGAIN);
    case.harness(s(201), What::Fault { name: "cut".to_owned(), on: "worker-1".to_owned() });
    case.harness(s(202), What::Healed { name: "cut".to_owned(), on: "worker-2".to_owned() });
    case.harness(s(202), What::Healed { name: "lag".to_owned(), on: "worker-1".to_owned() });
    holds(case);
}

#[test]
fn the_time_in_which_the_machine_stood_still_and_two_seconds_after_are_taken_off() {
    at_most(DUE + s(3) + s(2), LATE, |start| {
        let mut case = retried(start, AGAIN);
        case.harness(s(204), What::Stalled { since: s(201) });
        case
    });
}

#[test]
fn a_run_that_blocks_its_worker_is_disruption_like_a_fault() {
    at_most(DUE + s(3) + s(2), LATE, |start| {
        let mut case = retried(start, AGAIN);
        case.is_about(&[Fault::Hog]);
        let hog = case.sent("hog", s(200));
        case.runs(OTHER, hog, (s(201), s(204)), FIRST, How::Done);
        case
    });
}

#[test]
fn an_absence_of_redis_without_a_fault_takes_nothing_off() {
    at_most(DUE, LATE, |start| {
        let mut case = retried(start, AGAIN);
        case.away((s(201), s(204)));
        case
    });
}
