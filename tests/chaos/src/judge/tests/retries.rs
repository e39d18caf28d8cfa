//! Failures are retried as their policy says, crashes are counted apart, and dead letters say why.

use actor_core::{Actor, MessageId};

use super::super::{ATTEMPTS, BOUNDED, REASONS, WAITS};
use super::*;
use crate::fault::Fault;
use crate::history::{How, What};
use crate::tasks;

/// A message of an actor and its runs by a worker that nothing befalls: when each begins, and how it ends a millisecond later.
fn ran(actor: &'static str, runs: &[(u64, Try, How)]) -> (Tale, MessageId) {
    let mut tale = baseline();
    let id = tale.sent(actor, s(100));
    for (at, run, how) in runs {
        tale.runs(OTHER, id, (*at, *at + MS), *run, *how);
    }
    (tale, id)
}

#[test]
fn an_attempt_without_a_failure_breaks_it() {
    let (tale, id) = ran("plain", &[(s(100), AGAIN, How::Done)]);
    breaks(tale, ATTEMPTS, &id);
    let (tale, id) = ran("plain", &[(s(100), FIRST, How::Failed), (s(101), Try { attempt: 3, ..AGAIN }, How::Done)]);
    breaks(tale, ATTEMPTS, &id);
    let (tale, id) = ran("plain", &[(s(100), FIRST, How::Dropped), (s(101), AGAIN, How::Done)]);
    breaks(tale, ATTEMPTS, &id);
}

#[test]
fn a_death_that_is_counted_as_an_attempt_breaks_it() {
    let mut tale = baseline();
    let id = tale.sent("plain", s(29));
    tale.starts(VICTIM, id, s(29), FIRST);
    tale.runs(SPARED, id, (s(36), s(37)), Try { attempt: 2, ..TAKEN_OVER }, How::Done);
    breaks(tale, ATTEMPTS, &id);
}

#[test]
fn a_failure_counts_from_its_end() {
    at_most(s(110), ATTEMPTS, |failed| {
        let mut tale = baseline();
        let frozen = tale.worker("worker-3-0", (s(100), s(106)));
        let id = tale.sent("plain", s(100));
        tale.runs(frozen, id, (s(100), failed), FIRST, How::Failed);
        tale.runs(OTHER, id, (s(110), s(111)), AGAIN, How::Done);
        tale
    });
}

#[test]
fn a_failure_that_was_settled_counts() {
    let (tale, id) = ran("plain", &[(s(100), FIRST, How::Failed), (s(101), Try { attempt: 1, ..AGAIN }, How::Done)]);
    breaks(tale, ATTEMPTS, &id);
}

#[test]
fn a_run_of_an_older_delivery_knows_nothing_of_a_failure() {
    let (mut tale, id) = ran("plain", &[(s(100), Try { token: 2, ..FIRST }, How::Failed)]);
    let zombie = tale.worker("worker-3-0", (s(50), s(60)));
    tale.runs(zombie, id, (s(101), s(102)), FIRST, How::Dropped);
    tale.runs(OTHER, id, (s(102), s(103)), Try { token: 3, ..AGAIN }, How::Done);
    holds(tale);
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
    let (tale, id) = fenced_off(6);
    breaks(tale, ATTEMPTS, &id);
}

/// A message that fails at 200 s, and whose next run does not know of it. Its worker's end is told by `befall`.
fn unsettled(befall: impl FnOnce(&mut Tale, usize)) -> Tale {
    let mut tale = baseline();
    tale.is_about(&[Fault::KillWorker]);
    let worker = tale.worker("worker-3-0", (s(150), s(300)));
    let id = tale.sent("plain", s(200) - MS);
    tale.runs(worker, id, (s(200) - MS, s(200)), FIRST, How::Failed);
    befall(&mut tale, worker);
    tale.runs(SPARED, id, (s(201), s(202)), TAKEN_OVER, How::Done);
    tale
}

#[test]
fn a_failure_may_be_forgotten_where_its_worker_ended_within_half_a_minute() {
    let soon = s(230) - 1;
    at_most(soon, ATTEMPTS, |died| unsettled(|tale, worker| tale.dies(worker, died)));
    at_most(soon, ATTEMPTS, |lost| unsettled(|tale, worker| tale.lost(worker, lost)));
    at_most(soon, ATTEMPTS, |stopped| unsettled(|tale, worker| tale.stops(worker, stopped)));
}

#[test]
fn a_worker_that_stops_in_the_drain_has_settled() {
    at_least(s(225), ATTEMPTS, |drain| {
        let mut tale = unsettled(|tale, worker| tale.stops(worker, s(225)));
        tale.without(|what| matches!(what, What::Calm | What::Draining));
        tale.harness(drain, What::Draining);
        tale
    });
}

#[test]
fn a_lease_that_was_lost_in_another_life_excuses_nothing() {
    let lost_before = unsettled(|tale, worker| {
        tale.lost(worker, s(190));
        tale.enrolled(worker, s(195));
    });
    breaks(lost_before, ATTEMPTS, "plain");
}

#[test]
fn what_was_done_and_settled_is_not_done_again() {
    let (tale, id) = ran("plain", &[(s(100), FIRST, How::Done), (s(101), Try { token: 2, ..FIRST }, How::DoneBefore)]);
    breaks(tale, BOUNDED, &id);
}

#[test]
fn a_run_whose_worker_ended_may_be_done_again() {
    at_most(s(230) - 1, BOUNDED, |died| {
        let mut tale = baseline();
        let worker = tale.worker("worker-3-0", (s(150), s(300)));
        let id = tale.sent("plain", s(199));
        tale.runs(worker, id, (s(199), s(200)), FIRST, How::Done);
        tale.dies(worker, died);
        tale.runs(SPARED, id, (s(206), s(207)), TAKEN_OVER, How::DoneBefore);
        tale
    });
}

#[test]
fn no_message_fails_more_often_than_its_retries_allow() {
    // Nothing but the number of its failures is wrong: each knows of the one before.
    let failed = |times: u32| {
        let tries = (1..=times).map(|attempt| Try { attempt, crashes: 0, token: attempt.into() });
        let mut runs: Vec<_> = tries.map(|run| (s(100 + run.token), run, How::Failed)).collect();
        runs.last_mut().unwrap().2 = How::Done;
        ran("jumpy", &runs)
    };
    holds(failed(3).0);
    let (tale, id) = failed(4);
    break_all(tale, &[ATTEMPTS, BOUNDED], &id);
}

#[test]
fn a_scheduled_message_starts_at_its_time() {
    // But for two milliseconds of rounding.
    at_least(s(102) - 2 * MS, WAITS, |start| {
        let mut tale = baseline();
        let id = tale.invoked("plain", s(100), s(2));
        tale.harness(s(101), What::Acknowledged { id });
        tale.runs(OTHER, id, (start, s(103)), FIRST, How::Done);
        tale
    });
}

#[test]
fn a_retry_that_says_itself_when_starts_then() {
    at_least(s(100) + 700 * MS - 2 * MS, WAITS, |start| {
        ran("patient", &[(s(100) - MS, FIRST, How::Failed), (start, AGAIN, How::Done)]).0
    });
    let (tale, id) = ran("patient", &[(s(100) - MS, FIRST, How::Failed), (s(100), AGAIN, How::Done)]);
    breaks(tale, WAITS, &id);
    // Others have a backoff between nothing and its ceiling.
    holds(ran("plain", &[(s(100), FIRST, How::Failed), (s(100) + MS, AGAIN, How::Done)]).0);
}

#[test]
fn the_wait_of_a_retry_begins_with_the_failure_that_was_settled() {
    at_least(s(110) + 700 * MS - 2 * MS, WAITS, |start| {
        let mut tale = baseline();
        let killed = tale.worker("worker-3-0", (s(90), s(200)));
        let id = tale.sent("patient", s(100));
        tale.runs(killed, id, (s(100), s(101)), FIRST, How::Failed);
        tale.dies(killed, s(101));
        tale.runs(OTHER, id, (s(109), s(110)), TAKEN_OVER, How::Failed);
        tale.runs(OTHER, id, (start, s(112)), Try { attempt: 2, crashes: 0, token: 3 }, How::Done);
        tale
    });
}

#[test]
fn a_failure_that_follows_a_retry_is_not_what_it_waited_for() {
    let mut tale = baseline();
    let killed = tale.worker("worker-3-0", (s(90), s(200)));
    let id = tale.sent("patient", s(100));
    tale.runs(killed, id, (s(100), s(101)), FIRST, How::Failed);
    tale.dies(killed, s(101));
    tale.runs(OTHER, id, (s(102), s(103)), AGAIN, How::Done);
    tale.runs(OTHER, id, (s(104), s(105)), Try { token: 3, ..FIRST }, How::Failed);
    holds(tale);
}

#[test]
fn the_judge_knows_the_retries_and_the_backoff_of_each_actor() {
    for def in [
        <tasks::plain as Actor>::DEF,
        <tasks::doomed as Actor>::DEF,
        <tasks::patient as Actor>::DEF,
        <tasks::jumpy as Actor>::DEF,
        <tasks::stubborn as Actor>::DEF,
        <tasks::hog as Actor>::DEF,
        <tasks::poison as Actor>::DEF,
        <tasks::leaky as Actor>::DEF,
    ] {
        let (name, options) = (def.name, def.options);
        assert_eq!(super::super::retries::max_retries(name), options.max_retries, "{name}");
        // The others never fail by themselves, or say when to try again.
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

/// A message that failed for ever, and its dead letter.
fn letter(actor: &'static str, attempt: u32, reason: &str) -> (Tale, MessageId) {
    let tries = [FIRST, AGAIN, Try { attempt: 3, crashes: 0, token: 3 }];
    let runs: Vec<_> = tries.iter().map(|run| (s(100 + run.token), *run, How::Failed)).collect();
    let (mut tale, id) = ran(actor, &runs);
    tale.buried(id, attempt, 0, reason);
    (tale, id)
}

#[test]
fn a_message_out_of_retries_is_a_dead_letter_that_says_so() {
    holds(letter("doomed", 3, "doomed").0);
    for (actor, attempt, reason) in
        [("doomed", 2, "doomed"), ("doomed", 4, "doomed"), ("doomed", 3, "not yet"), ("jumpy", 3, "doomed")]
    {
        let (tale, id) = letter(actor, attempt, reason);
        breaks(tale, REASONS, &id);
    }
}

#[test]
fn a_dead_letter_has_failed_as_often_as_it_says() {
    let (mut tale, id) = ran("doomed", &[(s(101), FIRST, How::Failed), (s(102), AGAIN, How::Failed)]);
    tale.buried(id, 3, 0, "doomed");
    breaks(tale, REASONS, &id);
}

#[test]
fn a_dead_letter_has_no_attempt_beyond_its_retries() {
    // All four failures were told, and one of them was never settled.
    let (mut tale, id) = letter("doomed", 4, "doomed");
    let killed = tale.worker("worker-3-0", (s(50), s(100)));
    tale.runs(killed, id, (s(101) - MS, s(101)), Try { token: 0, ..FIRST }, How::Failed);
    tale.dies(killed, s(102));
    breaks(tale, REASONS, &id);
}

#[test]
fn a_dead_letter_was_sent() {
    let mut tale = baseline();
    let id = tale.id("doomed");
    tale.buried(id, 3, 0, "doomed");
    breaks(tale, REASONS, "in no history");
}

/// A message that is a dead letter of so many crashes, and what killed its workers: each died, or lost its lease.
fn poisonous(crashes: u32, killed: &[u64], disowned: &[u64]) -> (Tale, MessageId) {
    let mut tale = baseline();
    tale.is_about(&[Fault::Poison]);
    let id = tale.sent("poison", s(100));
    for (worker, at) in killed.iter().enumerate() {
        let worker = tale.worker(&format!("worker-3-{worker}"), (s(10), s(300)));
        tale.dies(worker, *at);
    }
    for (worker, at) in disowned.iter().enumerate() {
        let worker = tale.worker(&format!("worker-4-{worker}"), (s(10), s(300)));
        tale.lost(worker, *at);
    }
    tale.buried(id, 1, crashes, &format!("the worker died {crashes} times while it held this message"));
    (tale, id)
}

#[test]
fn a_message_is_buried_after_three_deaths_since_it_was_sent() {
    let (tale, _) = poisonous(3, &[s(110), s(120), s(130)], &[]);
    assert_eq!(holds(tale).counts.dead_of_crashes, 1);
    holds(poisonous(3, &[s(110)], &[s(120), s(130)]).0);
    for (crashes, killed, disowned) in [
        (2, &[s(110), s(120), s(130)][..], &[][..]),
        (3, &[s(110), s(120)], &[]),
        (3, &[s(110)], &[s(120)]),
        (4, &[s(110), s(120), s(130)], &[]),
        (3, &[s(99), s(110), s(120)], &[]),
        (3, &[s(110), s(120)], &[s(99)]),
    ] {
        let (tale, id) = poisonous(crashes, killed, disowned);
        breaks(tale, REASONS, &id);
    }
}
