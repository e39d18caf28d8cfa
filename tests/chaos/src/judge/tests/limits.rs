//! Limits are never exceeded, no slot stays free while messages wait for it, and none is taken at the end.

use super::super::{FREED, IDLE, LIMITED};
use super::*;
use crate::fault::Fault;
use crate::history::How;
use crate::tasks::gated::{CLOSED, SLOTS, SLOTS_OF_KEY};

use super::baseline::{CALM, DRAIN};

/// A worker whose lease holds until 150 s.
fn with_zombie() -> (Case, usize) {
    let mut case = baseline();
    let zombie = case.worker("worker-9-0", (s(100), s(150)));
    (case, zombie)
}

/// Each slot of a key but one is taken from 100 s to 200 s.
fn all_but_one(case: &mut Case, key: &str) {
    for _ in 1..SLOTS_OF_KEY {
        case.takes(OTHER, key, 1, (s(100), s(200)));
    }
}

/// A message of the key `a` that waits from 210 s on for `waits`, and is then done.
fn waits(case: &mut Case, waits: u64) {
    let id = case.waits("a", 1, s(210));
    case.runs(OTHER, id, (s(210) + waits, s(220)), FIRST, How::Done);
}

#[test]
fn more_of_a_key_than_its_limit_break_it_until_the_first_has_ended() {
    at_least(s(200), LIMITED, |start| {
        let mut case = baseline();
        all_but_one(&mut case, "a");
        case.takes(SPARED, "a", 1, (s(150), s(200)));
        case.takes(RECOVERER, "a", 1, (start, s(210)));
        case
    });
}

#[test]
fn more_of_a_queue_than_its_limit_break_it_whatever_their_keys() {
    let case = |keys| {
        let mut case = baseline();
        for key in 0..keys {
            case.takes(OTHER, &key.to_string(), 1, (s(100), s(200)));
        }
        case
    };
    holds(case(SLOTS));
    breaks(case(SLOTS + 1), LIMITED, &format!("{} slots", SLOTS + 1));
}

#[test]
fn a_message_takes_as_many_slots_as_it_costs_and_all_where_it_costs_more() {
    let beside = |cost, other: &str| {
        let mut case = baseline();
        case.takes(OTHER, "a", cost, (s(100), s(200)));
        case.takes(OTHER, other, 1, (s(150), s(160)));
        case
    };
    holds(beside(SLOTS_OF_KEY - 1, "a"));
    breaks(beside(SLOTS_OF_KEY, "a"), LIMITED, "of key \"a\"");
    holds(beside(SLOTS - 1, "b"));
    breaks(beside(SLOTS, "b"), LIMITED, "slots");
    let mut alone = baseline();
    alone.takes(OTHER, "a", SLOTS + 1, (s(100), s(200)));
    holds(alone);
}

#[test]
fn what_a_dead_worker_held_keeps_its_slots_until_another_has_settled_it() {
    at_least(s(156), LIMITED, |start| {
        let (mut case, zombie) = with_zombie();
        all_but_one(&mut case, "a");
        let held = case.waits("a", 1, s(149));
        case.starts(zombie, held, s(149), FIRST);
        case.dies(zombie, s(150));
        case.runs(OTHER, held, (s(155), s(156)), AFTER_A_CRASH, How::Done);
        case.takes(SPARED, "a", 1, (start, s(200)));
        case
    });
}

#[test]
fn a_run_that_goes_on_after_its_lease_takes_no_slot_once_another_has_settled_the_message() {
    at_least(s(156), LIMITED, |start| {
        let (mut case, zombie) = with_zombie();
        all_but_one(&mut case, "a");
        let held = case.waits("a", 1, s(149));
        case.starts(zombie, held, s(149), FIRST);
        case.runs(OTHER, held, (s(155), s(156)), AFTER_A_CRASH, How::Done);
        case.ends(zombie, held, s(170), 1, How::Dropped);
        case.takes(SPARED, "a", 1, (start, s(169)));
        case
    });
}

#[test]
fn a_late_success_frees_the_slots_of_the_run_that_took_over() {
    at_least(s(155), LIMITED, |start| {
        let (mut case, zombie) = with_zombie();
        all_but_one(&mut case, "a");
        let held = case.waits("a", 1, s(149));
        case.starts(zombie, held, s(149), FIRST);
        case.starts(OTHER, held, s(152), AFTER_A_CRASH);
        case.effect(held, s(155), 1);
        case.ends(zombie, held, s(155), 1, How::Done);
        case.ends(OTHER, held, s(160), 2, How::DoneBefore);
        case.lost(zombie, s(161));
        case.is_about(&[Fault::FreezeWorker]);
        case.takes(SPARED, "a", 1, (start, s(158)));
        case
    });
}

#[test]
fn between_two_runs_of_which_the_first_was_settled_no_slot_is_taken() {
    let mut case = baseline();
    all_but_one(&mut case, "a");
    let retried = case.waits("a", 1, s(101));
    case.runs(OTHER, retried, (s(101), s(102)), FIRST, How::Failed);
    case.settled(OTHER, retried, s(102), 1, 1);
    case.takes(SPARED, "a", 1, (s(102), s(102) + 100 * MS));
    case.runs(OTHER, retried, (s(102) + 100 * MS, s(103)), AGAIN, How::Done);
    holds(case);
}

#[test]
fn a_slot_that_is_free_for_longer_than_a_second_breaks_it() {
    at_most(s(1), IDLE, |waited| {
        let mut case = baseline();
        waits(&mut case, waited);
        case
    });
}

#[test]
fn a_message_that_never_starts_is_noticed_until_the_drain() {
    at_least(DRAIN - s(1), IDLE, |sent| {
        let mut case = baseline();
        let id = case.waits("a", 1, sent);
        // It ends in the drain.
        case.runs(OTHER, id, (DRAIN + s(1), DRAIN + s(2)), FIRST, How::Done);
        case
    });
}

#[test]
fn where_every_slot_of_the_key_or_of_the_queue_is_taken_a_message_may_wait() {
    let mut key = baseline();
    all_but_one(&mut key, "a");
    key.takes(SPARED, "a", 1, (s(150), s(215)));
    key.takes(SPARED, "a", SLOTS_OF_KEY - 1, (s(200), s(215)));
    waits(&mut key, s(5));
    holds(key);
    let mut queue = baseline();
    for key in 0..SLOTS {
        queue.takes(OTHER, &key.to_string(), 1, (s(200), s(215)));
    }
    waits(&mut queue, s(5));
    holds(queue);
}

#[test]
fn what_costs_more_than_is_free_may_wait_and_so_may_what_is_behind_it() {
    let case = |cost, key: &str| {
        let mut case = baseline();
        case.takes(OTHER, "b", 1, (s(200), s(215)));
        let costly = case.waits(key, cost, s(209));
        case.runs(OTHER, costly, (s(215), s(216)), FIRST, How::Done);
        let behind = case.waits("a", 1, s(210));
        case.runs(OTHER, behind, (s(216), s(217)), FIRST, How::Done);
        case
    };
    holds(case(SLOTS, "c"));
    breaks(case(SLOTS - 1, "c"), IDLE, "waited");
}

#[test]
fn a_lane_that_a_limit_elsewhere_closed_may_wait_until_it_opens() {
    let closed = u64::try_from(CLOSED.as_micros()).unwrap();
    at_most(s(211) + closed + s(1), IDLE, |next| {
        let mut case = baseline();
        let refused = case.waits("a", 1, s(210));
        case.runs(OTHER, refused, (s(210), s(211)), FIRST, How::Refused);
        case.settled(OTHER, refused, s(211), 1, 0);
        let again = Try { token: 2, ..FIRST };
        case.runs(OTHER, refused, (next, next + MS), again, How::Done);
        case
    });
}

#[test]
fn a_retry_waits_from_the_end_of_its_longest_backoff_on() {
    at_most(s(211) + 50 * MS + s(1), IDLE, |next| {
        let mut case = baseline();
        let retried = case.waits("a", 1, s(210));
        case.runs(OTHER, retried, (s(210), s(211)), FIRST, How::Failed);
        case.settled(OTHER, retried, s(211), 1, 1);
        case.runs(OTHER, retried, (next, next + MS), AGAIN, How::Done);
        case
    });
}

#[test]
fn the_time_of_faults_does_not_count() {
    at_most(s(4), IDLE, |waited| {
        let mut case = baseline();
        case.fault("freeze_redis", (s(210), s(211)));
        waits(&mut case, waited);
        case
    });
}

#[test]
fn a_message_whose_delivery_no_worker_knows_of_may_have_held_its_slots() {
    let mut case = baseline();
    let id = case.waits("a", 1, s(210));
    case.runs(OTHER, id, (s(215), s(216)), AFTER_A_CRASH, How::Done);
    holds(case);
}

#[test]
fn a_slot_that_is_taken_at_the_end_breaks_it() {
    let mut case = baseline();
    case.played.storage.taken.push("gated: 1 slots are taken".to_owned());
    breaks(case, FREED, "1 slots");
    // What takes slots is not a message that stays.
    let mut case = baseline();
    case.does(OTHER, CALM);
    holds(case);
}
