//! What was cancelled.

use super::super::{ENDED, LOST, REMOVED, TOLD};
use super::*;
use crate::history::{CancelAnswer, How, What};

/// A message of `actor` that is cancelled at 200 s.
fn cancelled(actor: &'static str, answer: CancelAnswer) -> (Case, actor_core::MessageId) {
    let mut case = baseline();
    let id = case.sent(actor, s(199));
    case.harness(s(200) - 1, What::Cancelling { id });
    case.harness(s(200), What::Cancelled { id, answer });
    (case, id)
}

#[test]
fn what_was_removed_need_not_run_and_must_not() {
    let (case, _) = cancelled("plain", CancelAnswer::Removed);
    holds(case);
    let (mut case, id) = cancelled("plain", CancelAnswer::Removed);
    case.runs(OTHER, id, (s(200) + 1, s(201)), FIRST, How::Done);
    breaks(case, REMOVED, "removed at 200000000");
}

#[test]
fn what_was_not_found_must_have_ended() {
    let (case, _) = cancelled("plain", CancelAnswer::NotFound);
    breaks(case, LOST, "");
    let (mut case, id) = cancelled("plain", CancelAnswer::NotFound);
    case.runs(OTHER, id, (s(199), s(199) + 10), FIRST, How::Done);
    holds(case);
}

#[test]
fn a_cancellation_without_an_answer_may_have_happened() {
    let mut case = baseline();
    let id = case.sent("plain", s(199));
    case.harness(s(200), What::Cancelling { id });
    holds(case);
}

#[test]
fn what_was_told_to_end_starts_no_more_than_three_seconds_later() {
    at_most(s(203), ENDED, |start| {
        let (mut case, id) = cancelled("plain", CancelAnswer::Requested);
        case.runs(OTHER, id, (start, start + 10), FIRST, How::Failed);
        case
    });
}

#[test]
fn a_run_that_waits_for_its_cancellation_hears_of_it_within_three_seconds() {
    at_most(s(203), TOLD, |end| {
        let (mut case, id) = cancelled("obedient", CancelAnswer::Requested);
        case.runs(OTHER, id, (s(199), end), FIRST, How::Cancelled);
        case
    });
}
