//! Limits that are changed, a rate, and what a failover may lose of what was let go.

use super::super::{IDLE, LIMITED, RATED};
use super::*;
use crate::history::How;
use crate::tasks::gated::{BURST, RATE, SLOTS, SLOTS_OF_KEY};
use crate::tuner::Tune;

const KEY: &str = "a";

/// So many messages of the key run from 150 s to 200 s, and one from a time on.
fn one_more(taken: u32, from: u64) -> Case {
    let mut case = baseline();
    for _ in 0..taken {
        case.takes(OTHER, KEY, 1, (s(150), s(200)));
    }
    case.takes(SPARED, KEY, 1, (from, s(200)));
    case
}

#[test]
fn a_limit_of_each_key_that_was_raised_holds_from_the_question_on() {
    at_most(s(160), LIMITED, |asked| {
        let mut case = one_more(SLOTS_OF_KEY, s(160));
        case.tuned(Tune::EachKey(Some(SLOTS_OF_KEY + 1)), (asked, s(170)));
        case
    });
}

#[test]
fn a_limit_that_was_lowered_holds_for_what_is_let_go_after_the_answer() {
    at_most(s(161) - 1, LIMITED, |start| {
        let mut case = one_more(SLOTS_OF_KEY - 1, start);
        case.tuned(Tune::Key(KEY.to_owned(), Some(1)), (s(155), s(160)));
        case
    });
}

#[test]
fn what_was_in_flight_before_a_limit_was_lowered_runs_on() {
    let mut case = one_more(SLOTS_OF_KEY - 1, s(155));
    case.tuned(Tune::Queue(Some((1, RATE))), (s(156), s(157)));
    holds(case);
    // And is recovered.
    let mut case = baseline();
    let zombie = case.worker("worker-9-0", (s(100), s(150)));
    let held = case.waits(KEY, 1, s(149));
    case.starts(zombie, held, s(149), FIRST);
    case.dies(zombie, s(150));
    case.takes(OTHER, KEY, 1, (s(140), s(160)));
    case.tuned(Tune::EachKey(Some(1)), (s(151), s(152)));
    case.runs(OTHER, held, (s(155), s(156)), AFTER_A_CRASH, How::Done);
    holds(case);
}

#[test]
fn a_key_with_a_limit_of_its_own_does_not_heed_that_of_each() {
    let mut case = one_more(SLOTS_OF_KEY, s(160));
    case.tuned(Tune::Key(KEY.to_owned(), Some(SLOTS_OF_KEY + 1)), (s(140), s(141)));
    case.tuned(Tune::EachKey(Some(1)), (s(142), s(143)));
    holds(case);
}

#[test]
fn nothing_of_a_paused_key_is_let_go() {
    at_most(s(151) - 1, LIMITED, |start| {
        let mut case = one_more(0, start);
        case.tuned(Tune::Pause(KEY.to_owned(), true), (s(149), s(150)));
        case.tuned(Tune::Pause(KEY.to_owned(), false), (s(170), s(171)));
        case
    });
}

#[test]
fn what_waits_for_a_paused_key_may_wait_until_the_answer_that_it_goes_on() {
    at_most(s(220) + s(1), IDLE, |start| {
        let mut case = baseline();
        let waits = case.waits(KEY, 1, s(212));
        case.runs(OTHER, waits, (start, s(230)), FIRST, How::Done);
        case.tuned(Tune::Pause(KEY.to_owned(), true), (s(210), s(211)));
        case.tuned(Tune::Pause(KEY.to_owned(), false), (s(219), s(220)));
        case
    });
}

#[test]
fn a_slot_that_a_raised_limit_gives_is_free_from_the_answer_on() {
    at_most(s(201) + s(1), IDLE, |start| {
        let mut case = baseline();
        for _ in 0..SLOTS_OF_KEY {
            case.takes(OTHER, KEY, 1, (s(150), s(230)));
        }
        let waits = case.waits(KEY, 1, s(190));
        case.runs(OTHER, waits, (start, s(230)), FIRST, How::Done);
        case.tuned(Tune::EachKey(Some(SLOTS_OF_KEY + 1)), (s(200), s(201)));
        case
    });
}

/// Messages that are done at once, all at a time, and no two of one key.
fn burst(case: &mut Case, count: u32, at: u64) {
    for key in 0..count {
        case.takes(OTHER, &format!("{at}-{key}"), 1, (at, at + 1));
    }
}

#[test]
fn more_starts_than_the_rate_allows_break_it() {
    let of = |ahead: u32| {
        let mut case = baseline();
        burst(&mut case, 1, s(200));
        // Half a second may be the way from Redis to the worker.
        for number in 0..BURST + RATE / 2 + ahead {
            case.takes(OTHER, "k", 1, (s(201) + u64::from(number), s(201) + u64::from(number) + 1));
        }
        case
    };
    holds(of(0));
    breaks(of(1), RATED, "uses up the rate");
}

#[test]
fn starts_are_counted_anew_after_a_fault_and_after_a_change_of_the_rate() {
    let starts = |case: &mut Case| {
        burst(case, 1, s(190));
        for number in 0..2 * RATE {
            case.takes(OTHER, "k", 1, (s(200) + u64::from(number), s(200) + u64::from(number) + 1));
        }
    };
    let mut case = baseline();
    starts(&mut case);
    case.fault("freeze_redis", (s(195), s(201)));
    holds(case);
    let mut case = baseline();
    starts(&mut case);
    case.tuned(Tune::Queue(Some((SLOTS, 2 * RATE))), (s(199), s(200) + 10 * MS));
    holds(case);
}

#[test]
fn while_the_rate_is_used_up_messages_may_wait() {
    // One that costs the whole burst leaves nothing of it: the next is one interval later.
    at_most(s(201) + s(1) / u64::from(RATE) + s(1), IDLE, |start| {
        let mut case = baseline();
        case.takes(OTHER, "b", BURST, (s(201), s(201) + MS));
        let waits = case.waits(KEY, 1, s(201));
        case.runs(OTHER, waits, (start, start + MS), FIRST, How::Done);
        case
    });
}

#[test]
fn what_was_let_go_by_a_lost_master_may_take_a_slot_that_the_next_one_gives_again() {
    let of = |lost| {
        let mut case = one_more(SLOTS_OF_KEY, s(150) + 100 * MS);
        case.scenario.excused = crate::excuses::FAILED_OVER;
        case.master_lost((lost, lost));
        case
    };
    holds(of(s(150)));
    breaks(of(s(140)), LIMITED, "key");
    breaks(of(s(160)), LIMITED, "key");
}

#[test]
fn a_change_that_may_be_lost_may_hold_or_not_until_the_next() {
    let of = |lost| {
        let mut case = one_more(SLOTS_OF_KEY, s(170));
        case.tuned(Tune::EachKey(Some(SLOTS_OF_KEY + 1)), (s(120), s(121)));
        case.tuned(Tune::EachKey(None), (s(140), s(141)));
        case.master_lost((lost, lost));
        case
    };
    holds(of(s(141)));
    breaks(of(s(130)), LIMITED, "key");
}
