//! What does not begin is no failure, and what was settled does not begin.

use super::super::{AFTER, BLAMED, STOOD};
use super::*;
use crate::history::{How, What};

/// A worker gets a message at 200 s and settles it at 201 s, with so many attempts counted. Another completes it.
fn settled(spent: u32, began: bool) -> Case {
    let mut case = baseline();
    let id = case.sent("plain", s(200));
    if began {
        case.runs(OTHER, id, (s(200), s(201)), FIRST, How::Failed);
    } else {
        case.delivered(OTHER, id, s(200), FIRST);
    }
    case.settled(OTHER, id, s(201), 1, spent);
    case
}

/// The same, with more events.
fn then(mut case: Case, run: Try) -> Case {
    let id = case.last();
    case.runs(SPARED, id, (s(202), s(203)), run, How::Done);
    case
}

#[test]
fn a_failure_counted_of_a_run_that_did_not_begin_breaks_it() {
    // The next run knows of no attempt, so that only this rule breaks.
    breaks(then(settled(1, false), Try { token: 2, ..FIRST }), BLAMED, "it failed");
    holds(then(settled(0, false), Try { token: 2, ..FIRST }));
    holds(then(settled(1, true), AGAIN));
}

#[test]
fn a_run_of_another_worker_or_delivery_has_not_begun_it() {
    let with = |process, run: Try| {
        let mut case = then(settled(1, false), Try { attempt: 2, crashes: 0, token: 3 });
        let id = case.last();
        case.runs(process, id, (s(200), s(200) + MS), run, How::Failed);
        case
    };
    breaks(with(SPARED, FIRST), BLAMED, "");
    breaks(with(OTHER, Try { token: 2, ..FIRST }), BLAMED, "");
}

#[test]
fn attempts_of_earlier_deliveries_are_not_counted_again() {
    let mut case = settled(1, true);
    let id = case.last();
    case.delivered(OTHER, id, s(202), AGAIN);
    case.settled(OTHER, id, s(202), 2, 1);
    case.runs(OTHER, id, (s(203), s(204)), Try { attempt: 2, crashes: 0, token: 3 }, How::Done);
    holds(case);
}

/// A worker releases a message at 201 s and still begins it at `start`.
fn begins_settled(start: u64) -> Case {
    let mut case = settled(0, false);
    let id = case.last();
    let actor = "chaos::tasks::plain".to_owned();
    case.note(OTHER, start, What::Start { id, actor, attempt: 1, crashes: 0, token: 1 });
    case.effect(id, start, 1);
    case.ends(OTHER, id, start + MS, 1, How::Done);
    case
}

#[test]
fn a_run_that_begins_after_its_message_was_settled_breaks_it() {
    at_most(s(201) + 100 * MS, AFTER, begins_settled);
    breaks(begins_settled(s(204)), AFTER, "token 1 began 3000 ms after it was settled");
}

#[test]
fn what_was_delivered_again_under_the_same_token_may_begin() {
    let mut case = begins_settled(s(204));
    let id = case.last();
    case.delivered(OTHER, id, s(203), FIRST);
    holds(case);
}

#[test]
fn what_another_worker_settled_may_begin() {
    let mut case = baseline();
    let id = case.sent("plain", s(200));
    case.delivered(SPARED, id, s(200), FIRST);
    case.settled(SPARED, id, s(200), 1, 0);
    case.runs(OTHER, id, (s(201), s(202)), Try { token: 2, ..FIRST }, How::Done);
    holds(case);
}

/// A message sent at 200 s that starts at `start`.
fn starts_at(start: u64, actor: &'static str, delay: u64) -> Case {
    let mut case = baseline();
    let id = case.invoked(actor, s(200), delay);
    case.harness(s(200), What::Acknowledged { id });
    case.runs(OTHER, id, (start, start + MS), FIRST, How::Done);
    case
}

#[test]
fn a_message_starts_within_ten_seconds() {
    at_most(s(210), STOOD, |start| starts_at(start, "plain", 0));
    at_most(s(215), STOOD, |start| starts_at(start, "plain", s(5)));
    breaks(starts_at(s(211), "plain", 0), STOOD, "11000 ms: ");
}

#[test]
fn the_time_of_disruption_is_taken_off_and_that_of_a_fault_of_few_is_not() {
    let with = |fault: &'static str| {
        move |start| {
            let mut case = starts_at(start, "plain", 0);
            case.fault(fault, (s(201), s(204)));
            case
        }
    };
    at_most(s(210) + s(3) + s(2), STOOD, with("cut"));
    for fault in ["few_threads", "roll_back", "roll_back_all"] {
        at_most(s(210), STOOD, with(fault));
    }
}

#[test]
fn what_a_worker_that_died_had_held_stands_until_it_is_recovered() {
    let mut case = baseline();
    let killed = case.worker("worker-3-0", (s(100), s(202)));
    let id = case.sent("plain", s(199));
    case.delivered(killed, id, s(199), FIRST);
    case.dies(killed, s(200));
    case.runs(OTHER, id, (s(230), s(231)), Try { token: 2, ..FIRST }, How::Done);
    holds(case);
    // If it lived, a worker left the message waiting.
    let mut case = baseline();
    let id = case.sent("plain", s(199));
    case.delivered(RECOVERER, id, s(199), FIRST);
    case.runs(OTHER, id, (s(230), s(231)), Try { token: 2, ..FIRST }, How::Done);
    breaks(case, STOOD, "31000 ms");
}
