//! Failures are retried as their policy says, crashes are counted separately, and dead letters give the reason.

use actor_core::{Actor, MessageId};

use super::super::{ATTEMPTS, BOUNDED, REASONS, WAITS};
use super::*;
use crate::fault::Fault;
use crate::history::{How, What};
use crate::tasks;

/// A message of an actor, and its runs on a worker that no fault hits: when each begins, and how it ends a millisecond
/// later.
fn ran(actor: &'static str, runs: &[(u64, Try, How)]) -> (Case, MessageId) {
    let mut case = baseline();
    let id = case.sent(actor, s(100));
    for (at, run, how) in runs {
        case.runs(OTHER, id, (*at, *at + MS), *run, *how);
    }
    (case, id)
}

#[test]
fn an_attempt_without_a_failure_breaks_it() {
    let (case, id) = ran("plain", &[(s(100), AGAIN, How::Done)]);
    breaks(case, ATTEMPTS, &id);
    let (case, id) = ran("plain", &[(s(100), FIRST, How::Failed), (s(101), Try { attempt: 3, ..AGAIN }, How::Done)]);
    breaks(case, ATTEMPTS, &id);
    let (case, id) = ran("plain", &[(s(100), FIRST, How::Dropped), (s(101), AGAIN, How::Done)]);
    breaks(case, ATTEMPTS, &id);
}

#[test]
fn a_death_that_is_counted_as_an_attempt_breaks_it() {
    let mut case = baseline();
    let id = case.sent("plain", s(29));
    case.starts(VICTIM, id, s(29), FIRST);
    case.runs(SPARED, id, (s(36), s(37)), Try { attempt: 2, ..AFTER_A_CRASH }, How::Done);
    breaks(case, ATTEMPTS, &id);
}

#[test]
fn a_failure_counts_from_its_end() {
    at_most(s(110), ATTEMPTS, |failed| {
        let mut case = baseline();
        let frozen = case.worker("worker-3-0", (s(100), s(106)));
        let id = case.sent("plain", s(100));
        case.runs(frozen, id, (s(100), failed), FIRST, How::Failed);
        case.runs(OTHER, id, (s(110), s(111)), AGAIN, How::Done);
        case
    });
}

#[test]
fn a_failure_that_was_settled_counts() {
    let (case, id) = ran("plain", &[(s(100), FIRST, How::Failed), (s(101), Try { attempt: 1, ..AGAIN }, How::Done)]);
    breaks(case, ATTEMPTS, &id);
}

#[test]
fn a_run_of_an_older_delivery_knows_nothing_of_a_failure() {
    let (mut case, id) = ran("plain", &[(s(100), Try { token: 2, ..FIRST }, How::Failed)]);
    let zombie = case.worker("worker-3-0", (s(50), s(60)));
    case.runs(zombie, id, (s(101), s(102)), FIRST, How::Dropped);
    case.runs(OTHER, id, (s(102), s(103)), Try { token: 3, ..AGAIN }, How::Done);
    holds(case);
}

#[test]
fn a_run_that_the_ledger_fenced_off_or_that_was_dropped_need_not_count() {
    for how in [How::Stale, How::Dropped] {
        holds(ran("plain", &[(s(100), FIRST, how), (s(101), Try { attempt: 1, ..AGAIN }, How::Done)]).0);
    }
}

#[test]
fn no_attempt_is_beyond_the_retries_of_its_actor() {
    // Fenced off, so that only their number can be wrong.
    let fenced_off = |times: u32| {
        let tries = (1..=times).map(|attempt| Try { attempt, crashes: 0, token: attempt.into() });
        let mut runs: Vec<_> = tries.map(|run| (s(100 + run.token), run, How::Stale)).collect();
        runs.last_mut().unwrap().2 = How::Done;
        ran("plain", &runs)
    };
    holds(fenced_off(5).0);
    let (case, id) = fenced_off(6);
    breaks(case, ATTEMPTS, &id);
}

/// A message that fails at 200 s, and whose next run does not know of it. `befall` records its worker's end.
fn unsettled(befall: impl FnOnce(&mut Case, usize)) -> Case {
    let mut case = baseline();
    case.is_about(&[Fault::KillWorker]);
    let worker = case.worker("worker-3-0", (s(150), s(300)));
    let id = case.sent("plain", s(200) - MS);
    case.runs(worker, id, (s(200) - MS, s(200)), FIRST, How::Failed);
    befall(&mut case, worker);
    case.runs(SPARED, id, (s(201), s(202)), AFTER_A_CRASH, How::Done);
    case
}

#[test]
fn a_failure_may_be_forgotten_where_its_worker_ended_within_half_a_minute() {
    let soon = s(230) - 1;
    at_most(soon, ATTEMPTS, |died| unsettled(|case, worker| case.dies(worker, died)));
    at_most(soon, ATTEMPTS, |lost| unsettled(|case, worker| case.lost(worker, lost)));
    at_most(soon, ATTEMPTS, |stopped| unsettled(|case, worker| case.stops(worker, stopped)));
}

#[test]
fn a_worker_that_stops_in_the_drain_has_settled() {
    at_least(s(225), ATTEMPTS, |drain| {
        let mut case = unsettled(|case, worker| case.stops(worker, s(225)));
        case.without(|what| matches!(what, What::Calm | What::Draining));
        case.harness(drain, What::Draining);
        case
    });
}

#[test]
fn a_lease_that_was_lost_in_another_session_excuses_nothing() {
    let lost_before = unsettled(|case, worker| {
        case.lost(worker, s(190));
        case.registered(worker, s(195));
    });
    breaks(lost_before, ATTEMPTS, "plain");
}

#[test]
fn what_was_done_and_settled_is_not_done_again() {
    let (case, id) = ran("plain", &[(s(100), FIRST, How::Done), (s(101), Try { token: 2, ..FIRST }, How::DoneBefore)]);
    breaks(case, BOUNDED, &id);
}

#[test]
fn a_run_whose_worker_ended_may_be_done_again() {
    at_most(s(230) - 1, BOUNDED, |died| {
        let mut case = baseline();
        let worker = case.worker("worker-3-0", (s(150), s(300)));
        let id = case.sent("plain", s(199));
        case.runs(worker, id, (s(199), s(200)), FIRST, How::Done);
        case.dies(worker, died);
        case.runs(SPARED, id, (s(206), s(207)), AFTER_A_CRASH, How::DoneBefore);
        case
    });
}

#[test]
fn no_message_fails_more_often_than_its_retries_allow() {
    // Only the number of failures is wrong: each run knows of the one before.
    let failed = |times: u32| {
        let tries = (1..=times).map(|attempt| Try { attempt, crashes: 0, token: attempt.into() });
        let mut runs: Vec<_> = tries.map(|run| (s(100 + run.token), run, How::Failed)).collect();
        runs.last_mut().unwrap().2 = How::Done;
        ran("jumpy", &runs)
    };
    holds(failed(3).0);
    let (case, id) = failed(4);
    break_all(case, &[ATTEMPTS, BOUNDED], &id);
}

#[test]
fn a_scheduled_message_starts_at_its_time() {
    // With two milliseconds of rounding.
    at_least(s(102) - 2 * MS, WAITS, |start| {
        let mut case = baseline();
        let id = case.invoked("plain", s(100), s(2));
        case.harness(s(101), What::Acknowledged { id });
        case.runs(OTHER, id, (start, s(103)), FIRST, How::Done);
        case
    });
}

#[test]
fn a_retry_that_says_itself_when_starts_then() {
    at_least(s(100) + 700 * MS - 2 * MS, WAITS, |start| {
        ran("patient", &[(s(100) - MS, FIRST, How::Failed), (start, AGAIN, How::Done)]).0
    });
    let (case, id) = ran("patient", &[(s(100) - MS, FIRST, How::Failed), (s(100), AGAIN, How::Done)]);
    breaks(case, WAITS, &id);
    // Other actors have a backoff between zero and its ceiling.
    holds(ran("plain", &[(s(100), FIRST, How::Failed), (s(100) + MS, AGAIN, How::Done)]).0);
}

#[test]
fn the_wait_of_a_retry_begins_with_the_failure_that_was_settled() {
    at_least(s(110) + 700 * MS - 2 * MS, WAITS, |start| {
        let mut case = baseline();
        let killed = case.worker("worker-3-0", (s(90), s(200)));
        let id = case.sent("patient", s(100));
        case.runs(killed, id, (s(100), s(101)), FIRST, How::Failed);
        case.dies(killed, s(101));
        case.runs(OTHER, id, (s(109), s(110)), AFTER_A_CRASH, How::Failed);
        case.runs(OTHER, id, (start, s(112)), Try { attempt: 2, crashes: 0, token: 3 }, How::Done);
        case
    });
}

#[test]
fn a_failure_that_follows_a_retry_is_not_what_it_waited_for() {
    let mut case = baseline();
    let killed = case.worker("worker-3-0", (s(90), s(200)));
    let id = case.sent("patient", s(100));
    case.runs(killed, id, (s(100), s(101)), FIRST, How::Failed);
    case.dies(killed, s(101));
    case.runs(OTHER, id, (s(102), s(103)), AGAIN, How::Done);
    case.runs(OTHER, id, (s(104), s(105)), Try { token: 3, ..FIRST }, How::Failed);
    holds(case);
}

#[test]
fn the_judge_knows_the_retries_and_the_backoff_of_each_actor() {
    for def in [
        <tasks::plain as Actor>::DEF,
        <tasks::always_fails as Actor>::DEF,
        <tasks::patient as Actor>::DEF,
        <tasks::jumpy as Actor>::DEF,
        <tasks::stubborn as Actor>::DEF,
        <tasks::hog as Actor>::DEF,
        <tasks::poison as Actor>::DEF,
        <tasks::leaky as Actor>::DEF,
    ] {
        let (name, options) = (def.name, def.options);
        assert_eq!(super::super::retries::max_retries(name), options.max_retries, "{name}");
        // The others never fail by themselves, or choose the time of the retry.
        if options.min_backoff == std::time::Duration::from_secs(15) {
            continue;
        }
        let doubled = (0..8).map(|times| options.min_backoff * 2_u32.pow(times));
        for (attempt, doubled) in (1..).zip(doubled) {
            let ceiling = super::super::retries::ceiling(name, attempt);
            assert_eq!(u128::from(ceiling), doubled.min(options.max_backoff).as_micros(), "{name}, attempt {attempt}");
        }
    }
}

/// A message that failed every time, and its dead letter.
fn dead_letter(actor: &'static str, attempt: u32, reason: &str) -> (Case, MessageId) {
    let tries = [FIRST, AGAIN, Try { attempt: 3, crashes: 0, token: 3 }];
    let runs: Vec<_> = tries.iter().map(|run| (s(100 + run.token), *run, How::Failed)).collect();
    let (mut case, id) = ran(actor, &runs);
    case.dead_lettered(id, attempt, 0, reason);
    (case, id)
}

#[test]
fn a_message_out_of_retries_is_a_dead_letter_that_says_so() {
    holds(dead_letter("always_fails", 3, "always_fails").0);
    for (actor, attempt, reason) in [
        ("always_fails", 2, "always_fails"),
        ("always_fails", 4, "always_fails"),
        ("always_fails", 3, "not yet"),
        ("jumpy", 3, "always_fails"),
    ] {
        let (case, id) = dead_letter(actor, attempt, reason);
        breaks(case, REASONS, &id);
    }
}

#[test]
fn a_dead_letter_has_failed_as_often_as_it_says() {
    let (mut case, id) = ran("always_fails", &[(s(101), FIRST, How::Failed), (s(102), AGAIN, How::Failed)]);
    case.dead_lettered(id, 3, 0, "always_fails");
    breaks(case, REASONS, &id);
}

#[test]
fn a_dead_letter_has_no_attempt_beyond_its_retries() {
    // All four failures were recorded, and one of them was never settled.
    let (mut case, id) = dead_letter("always_fails", 4, "always_fails");
    let killed = case.worker("worker-3-0", (s(50), s(100)));
    case.runs(killed, id, (s(101) - MS, s(101)), Try { token: 0, ..FIRST }, How::Failed);
    case.dies(killed, s(102));
    breaks(case, REASONS, &id);
}

#[test]
fn a_dead_letter_was_sent() {
    let mut case = baseline();
    let id = case.id("always_fails");
    case.dead_lettered(id, 3, 0, "always_fails");
    breaks(case, REASONS, "in no history");
}

/// A dead letter of so many crashes, and what ended its workers: each died, or lost its lease.
fn poisonous(crashes: u32, killed: &[u64], lost: &[u64]) -> (Case, MessageId) {
    let mut case = baseline();
    case.is_about(&[Fault::Poison]);
    let id = case.sent("poison", s(100));
    for (worker, at) in killed.iter().enumerate() {
        let worker = case.worker(&format!("worker-3-{worker}"), (s(10), s(300)));
        case.dies(worker, *at);
    }
    for (worker, at) in lost.iter().enumerate() {
        let worker = case.worker(&format!("worker-4-{worker}"), (s(10), s(300)));
        case.lost(worker, *at);
    }
    case.dead_lettered(id, 1, crashes, &format!("the worker died {crashes} times while it held this message"));
    (case, id)
}

#[test]
fn a_message_is_dead_lettered_after_three_deaths_since_it_was_sent() {
    let (case, _) = poisonous(3, &[s(110), s(120), s(130)], &[]);
    assert_eq!(holds(case).counts.dead_of_crashes, 1);
    holds(poisonous(3, &[s(110)], &[s(120), s(130)]).0);
    for (crashes, killed, lost) in [
        (2, &[s(110), s(120), s(130)][..], &[][..]),
        (3, &[s(110), s(120)], &[]),
        (3, &[s(110)], &[s(120)]),
        (4, &[s(110), s(120), s(130)], &[]),
        (3, &[s(99), s(110), s(120)], &[]),
        (3, &[s(110), s(120)], &[s(99)]),
    ] {
        let (case, id) = poisonous(crashes, killed, lost);
        breaks(case, REASONS, &id);
    }
}
