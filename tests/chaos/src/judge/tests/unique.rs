//! Of a unique key there is one message at a time, and of an idempotency key one at all.

use super::super::{DISPLACED, LOST, ONCE, SOLE};
use super::*;
use crate::history::{How, What};

/// Two messages of one key: the first runs from 101 s to 103 s, the second is stored and runs at these times.
fn two(actor: &'static str, sent: u64, (from, until): (u64, u64)) -> (Case, actor_core::MessageId) {
    let mut case = baseline();
    let first = case.sent(actor, s(100));
    case.keyed(first, s(100), "k", None);
    case.runs(OTHER, first, (s(101), s(103)), FIRST, How::Done);
    let second = case.sent(actor, sent);
    case.keyed(second, sent, "k", None);
    case.runs(SPARED, second, (from, until), FIRST, How::Done);
    (case, second)
}

#[test]
fn two_messages_of_a_key_never_run_at_once() {
    for actor in ["sole", "latest", "again", "debounced"] {
        let (case, second) = two(actor, s(104), (s(102), s(105)));
        breaks(case, SOLE, &second);
        holds(two(actor, s(104), (s(104), s(105))).0);
    }
    holds(two("started", s(102), (s(102), s(105))).0);
}

#[test]
fn none_that_keeps_others_out_is_stored_beside_another() {
    let (case, second) = two("sole", s(102), (s(104), s(105)));
    breaks(case, SOLE, &second);
    // It follows.
    holds(two("again", s(102), (s(104), s(105))).0);
}

#[test]
fn what_was_displaced_has_come_to_an_end_and_never_starts() {
    let displaced = |starts: bool| {
        let mut case = baseline();
        let id = case.sent("latest", s(100));
        case.keyed(id, s(100), "k", None);
        case.harness(s(101), What::Displaced { id });
        if starts {
            case.runs(OTHER, id, (s(102), s(103)), FIRST, How::Done);
        }
        (case, id)
    };
    holds(displaced(false).0);
    let (case, id) = displaced(true);
    breaks(case, DISPLACED, &id);
}

#[test]
fn only_a_message_that_can_be_replaced_may_have_been_by_one_that_nobody_heard_of() {
    let vanished = |actor| {
        let mut case = baseline();
        let id = case.sent(actor, s(100));
        case.keyed(id, s(100), "k", None);
        let unknown = case.invoked(actor, s(101), 0);
        case.keyed(unknown, s(101), "k", None);
        case.harness(s(102), What::Unknown { id: unknown, why: String::new() });
        case.fault("cut", (s(101), s(102)));
        (case, id)
    };
    for actor in ["latest", "debounced", "started"] {
        holds(vanished(actor).0);
    }
    let (case, id) = vanished("sole");
    breaks(case, LOST, &id);
}

/// A message that was asked for again, and another one of its idempotency key.
fn asked_again() -> (Case, [actor_core::MessageId; 2]) {
    let mut case = baseline();
    let first = case.invoked("plain", s(100), 0);
    case.keyed(first, s(100), "", Some("order"));
    case.harness(s(101), What::Unknown { id: first, why: String::new() });
    // The same is asked for again: the storage is away, and then it has it.
    case.harness(s(102), What::Refused { id: first, why: String::new() });
    case.harness(s(103), What::Acknowledged { id: first });
    case.runs(OTHER, first, (s(101), s(103)), FIRST, How::Done);
    let second = case.invoked("plain", s(104), 0);
    case.keyed(second, s(104), "", Some("order"));
    case.fault("cut", (s(100), s(103)));
    (case, [first, second])
}

#[test]
fn of_an_idempotency_key_one_message_is_stored_however_often_it_is_asked_for() {
    let (mut stands, [first, second]) = asked_again();
    stands.harness(s(104), What::Stands { id: second, by: first });
    holds(stands);
    let (mut doubled, [_, second]) = asked_again();
    doubled.harness(s(104), What::Acknowledged { id: second });
    doubled.runs(OTHER, second, (s(104), s(105)), FIRST, How::Done);
    breaks(doubled, ONCE, &second);
}
