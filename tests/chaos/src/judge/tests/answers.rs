//! Without faults, producers get answers.

use super::super::{ANSWERED, PROMPT};
use super::*;
use crate::history::What;

/// A send at 200 s that is answered at `answered`.
fn answered(answered: u64, answer: impl Fn(actor_core::MessageId) -> What) -> Case {
    let mut case = baseline();
    let id = case.invoked("plain", s(200), 0);
    case.harness(answered, answer(id));
    case
}

fn unknown(id: actor_core::MessageId) -> What {
    What::Unknown { id, why: "no answer".to_owned() }
}

fn refused(id: actor_core::MessageId) -> What {
    What::Refused { id, why: "not sent".to_owned() }
}

#[test]
fn a_send_that_is_unknown_where_nothing_is_wrong_breaks_it() {
    breaks(answered(s(201), unknown), ANSWERED, "unknown after 1000 ms");
    holds(answered(s(201), refused));
}

#[test]
fn a_connection_that_was_forgotten_is_nothing_wrong() {
    let mut case = answered(s(201), unknown);
    case.harness(s(200), What::Forgot { on: "producer-0".to_owned() });
    breaks(case, ANSWERED, "");
}

#[test]
fn an_answer_comes_within_four_seconds() {
    at_most(s(204), PROMPT, |at| answered(at, refused));
    breaks(answered(s(205), refused), PROMPT, "after 5000 ms");
    break_all(answered(s(205), unknown), &[ANSWERED, PROMPT], "after 5000 ms");
}

#[test]
fn what_disruption_touches_is_not_asked() {
    let with = |from, until| {
        let mut case = answered(s(206), unknown);
        case.fault("cut", (from, until));
        case
    };
    // A fault and the two seconds after it, up to the send.
    holds(with(s(190), s(198) + 1));
    break_all(with(s(190), s(198)), &[ANSWERED, PROMPT], "");
    // A fault that begins before the answer.
    holds(with(s(206), s(207)));
    break_all(with(s(206) + 1, s(207)), &[ANSWERED, PROMPT], "");
}

#[test]
fn where_only_what_a_replica_has_is_known_it_is_not_asked() {
    let mut case = answered(s(205), unknown);
    case.scenario.waits = true;
    holds(case);
}

#[test]
fn what_has_no_answer_is_not_asked() {
    // Its producer was killed.
    let mut case = baseline();
    case.invoked("plain", s(200), 0);
    holds(case);
}
