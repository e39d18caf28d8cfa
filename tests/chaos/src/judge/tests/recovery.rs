//! What a dead worker held starts again within a bound, from which only what is documented is taken off.

use super::super::RECOVERED;
use super::*;
use crate::fault::Fault;
use crate::history::{How, What};

/// How long after the death of its worker at 200 s a message may start again, with the default lease of 6 s.
const BOUND: u64 = s(10);

/// A message whose worker dies at 200 s, and that another starts at `start`, as `run` says. Both are busy from 100 s.
fn recovered(start: u64, run: Try) -> Tale {
    let mut tale = baseline();
    tale.is_about(&[Fault::KillWorker]);
    let killed = tale.worker("worker-3-0", (s(100), s(202)));
    let id = tale.sent("plain", s(199));
    tale.starts(killed, id, s(199), FIRST);
    tale.dies(killed, s(200));
    tale.runs(OTHER, id, (start, start + MS), run, How::Done);
    tale
}

#[test]
fn a_dead_workers_message_starts_again_within_ten_seconds() {
    at_most(s(200) + BOUND, RECOVERED, |start| recovered(start, TAKEN_OVER));
    breaks(recovered(s(211), TAKEN_OVER), RECOVERED, "11.0 s: ");
}

#[test]
fn the_bound_is_a_lease_and_a_third_and_two_seconds() {
    at_most(s(204), RECOVERED, |start| {
        let mut tale = recovered(start, TAKEN_OVER);
        tale.scenario = tale.scenario.dense();
        tale
    });
}

/// A message that a worker was lent and of which `held` tells the rest. The worker dies at 200 s, and another starts it
/// at `start`, as `run` says.
fn lent(start: u64, run: Try, held: impl Fn(&mut Tale, usize, actor_core::MessageId)) -> Tale {
    let mut tale = baseline();
    tale.is_about(&[Fault::KillWorker]);
    let killed = tale.worker("worker-3-0", (s(100), s(202)));
    let id = tale.sent("plain", s(198));
    tale.lent(killed, id, s(198), FIRST);
    held(&mut tale, killed, id);
    tale.dies(killed, s(200));
    tale.runs(OTHER, id, (start, start + MS), run, How::DoneBefore);
    tale.effect(id, s(199), 1);
    tale
}

#[test]
fn what_a_dead_worker_had_fetched_starts_again_in_time() {
    at_most(s(200) + BOUND, RECOVERED, |start| lent(start, TAKEN_OVER, |_, _, _| {}));
    // What it had given back, or never heard of, was not its own: no crash is counted.
    holds(lent(s(230), Try { token: 2, ..FIRST }, |_, _, _| {}));
}

#[test]
fn what_a_dead_worker_had_done_and_not_settled_starts_again_in_time() {
    for how in [How::Done, How::DoneBefore] {
        let run = |tale: &mut Tale, killed, id| {
            tale.note(killed, s(199), What::Start { id, actor: "plain".to_owned(), attempt: 1, crashes: 0, token: 1 });
            tale.ends(killed, id, s(199), 1, how);
        };
        at_most(s(200) + BOUND, RECOVERED, |start| lent(start, TAKEN_OVER, run));
    }
}

#[test]
fn what_a_dead_worker_had_failed_or_dropped_and_not_settled_starts_again_in_time() {
    for how in [How::Failed, How::Stale, How::Dropped] {
        let run = |tale: &mut Tale, killed, id| {
            tale.note(killed, s(199), What::Start { id, actor: "plain".to_owned(), attempt: 1, crashes: 0, token: 1 });
            tale.ends(killed, id, s(199), 1, how);
        };
        at_most(s(200) + BOUND, RECOVERED, |start| lent(start, TAKEN_OVER, run));
        // No crash is counted: it was settled, as a retry or as given back.
        let settled = if how == How::Dropped { Try { token: 2, ..FIRST } } else { AGAIN };
        holds(lent(s(230), settled, run));
    }
}

#[test]
fn a_crash_of_another_delivery_is_none_of_this() {
    // Of the two deliveries after which it started, one was a crash: who had the other is not known.
    holds(lent(s(230), Try { token: 3, ..TAKEN_OVER }, |_, _, _| {}));
}

#[test]
fn what_was_lent_to_another_before_the_death_is_its_to_run() {
    // As that of one who was frozen, declared dead, and then killed.
    let lent_on = |at| {
        lent(s(230), Try { attempt: 1, crashes: 2, token: 3 }, |tale, _, id| {
            let other = tale.worker("worker-4-0", (s(100), s(227)));
            tale.lent(other, id, at, TAKEN_OVER);
            tale.dies(other, s(225));
        })
    };
    holds(lent_on(s(200) - 1));
    breaks(lent_on(s(200)), RECOVERED, "30.0 s");
}

#[test]
fn a_delivery_is_what_one_worker_was_lent_under_one_token() {
    // Another dropped what it was lent under the same token, as where a group was deleted.
    at_most(s(200) + BOUND, RECOVERED, |start| {
        lent(start, TAKEN_OVER, |tale, _, id| tale.runs(HEIR, id, (s(198), s(199)), FIRST, How::Dropped))
    });
    // It failed, and the same worker had fetched the retry.
    at_most(s(200) + BOUND, RECOVERED, |start| {
        lent(start, Try { attempt: 2, crashes: 1, token: 3 }, |tale, killed, id| {
            tale.runs(killed, id, (s(198), s(199)), FIRST, How::Failed);
            tale.lent(killed, id, s(199), AGAIN);
        })
    });
}

#[test]
fn what_no_death_cut_short_is_not_asked() {
    let mut tale = recovered(s(230), TAKEN_OVER);
    tale.without(|what| matches!(what, What::Died { process, .. } if process == "worker-3-0"));
    // It stopped as it was asked to.
    tale.stops(5, s(200));
    holds(tale);
}

#[test]
fn a_run_of_an_older_delivery_is_no_recovery() {
    let mut tale = recovered(s(211), TAKEN_OVER);
    let zombie = tale.worker("worker-4-0", (s(100), s(150)));
    let id = tale.last();
    tale.runs(zombie, id, (s(201), s(202)), Try { token: 0, ..FIRST }, How::Dropped);
    breaks(tale, RECOVERED, "11.0 s");
}

#[test]
fn the_time_that_redis_was_away_is_taken_off() {
    for window in [(s(201), s(204)), (s(203), s(206))] {
        at_most(s(200) + BOUND + s(3), RECOVERED, |start| {
            let mut tale = recovered(start, TAKEN_OVER);
            tale.away(window);
            tale
        });
    }
    // An absence that is told of twice began when it was told of first.
    at_most(s(200) + BOUND + s(3), RECOVERED, |start| {
        let mut tale = recovered(start, TAKEN_OVER);
        tale.away((s(201), s(204)));
        tale.harness(s(203), What::Away);
        tale
    });
    // Of an absence only what is between the death and the start.
    at_most(s(200) + BOUND + s(2), RECOVERED, |start| {
        let mut tale = recovered(start, TAKEN_OVER);
        tale.away((s(195), s(202)));
        tale
    });
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let mut tale = recovered(start, TAKEN_OVER);
        tale.away((s(190), s(200)));
        tale.away((start, start + s(5)));
        tale
    });
}

#[test]
fn an_absence_of_which_nobody_saw_the_end_takes_nothing_off() {
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let mut tale = recovered(start, TAKEN_OVER);
        tale.harness(s(201), What::Away);
        tale
    });
}

#[test]
fn the_time_in_which_the_machine_stood_still_is_taken_off_once() {
    at_most(s(200) + BOUND + s(4), RECOVERED, |start| {
        let mut tale = recovered(start, TAKEN_OVER);
        tale.harness(s(205), What::Stalled { since: s(202) });
        tale.away((s(203), s(206)));
        tale
    });
    let mut tale = recovered(s(201), TAKEN_OVER);
    tale.harness(s(205), What::Stalled { since: s(202) });
    let stalled = holds(tale).recovery.stalled;
    assert!((stalled - 3.0).abs() < 1e-9, "{stalled}");
}

#[test]
fn other_faults_take_nothing_off() {
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let mut tale = recovered(start, TAKEN_OVER);
        tale.fault("out_of_memory", (s(201), s(205)));
        tale
    });
}

#[test]
fn each_death_has_a_time_of_its_own() {
    let twice = Try { attempt: 1, crashes: 2, token: 3 };
    at_most(s(200) + 2 * BOUND, RECOVERED, |start| recovered(start, twice));
    // Such a wait is not in the percentiles. The one of the baseline is.
    let recovery = holds(recovered(s(219), twice)).recovery;
    assert_eq!((recovery.count, recovery.max), (1, 3.0));
    let recovery = holds(recovered(s(208), TAKEN_OVER)).recovery;
    assert_eq!((recovery.count, recovery.p50, recovery.max), (2, 8.0, 8.0));
}

#[test]
fn a_recovery_that_counted_no_death_has_the_time_of_one() {
    let uncounted = Try { crashes: 0, ..TAKEN_OVER };
    at_most(s(200) + BOUND, RECOVERED, |start| recovered(start, uncounted));
    at_most(s(211) + BOUND, RECOVERED, |start| {
        let mut tale = recovered(start, uncounted);
        tale.lost(SPARED, s(205));
        tale.enrolled(SPARED, s(211));
        tale
    });
}

/// The same where the worker that would have taken over had no life from one time to another.
fn vacant(start: u64, windows: &[(u64, u64)], dies: bool) -> Tale {
    let mut tale = recovered(start, TAKEN_OVER);
    for (from, until) in windows {
        if dies {
            tale.dies(SPARED, *from);
        } else {
            tale.lost(SPARED, *from);
        }
        if *until < s(400) {
            tale.enrolled(SPARED, *until);
        }
    }
    tale
}

#[test]
fn where_the_spared_worker_had_no_life_it_is_counted_from_its_next() {
    for dies in [true, false] {
        for from in [s(195), s(200), s(205), s(210)] {
            at_most(s(211) + BOUND, RECOVERED, |start| vacant(start, &[(from, s(211))], dies));
        }
        // Each next one counts.
        at_most(s(225) + BOUND, RECOVERED, |start| vacant(start, &[(s(205), s(211)), (s(219), s(225))], dies));
    }
}

#[test]
fn the_death_of_one_that_stopped_has_a_time_of_its_own_too() {
    let tell = |start, dies: bool, releases: bool| {
        // It is recovered by one that is stopped and killed before it began it, of which no crash is counted.
        let mut tale = recovered(start, Try { token: 3, ..TAKEN_OVER });
        let id = tale.last();
        let stopping = tale.worker("worker-4-0", (s(100), s(209)));
        tale.lent(stopping, id, s(206), TAKEN_OVER);
        if releases {
            tale.settled(stopping, id, s(207), 2, 0);
        }
        if dies {
            tale.asked(stopping, s(207));
            tale.dies(stopping, s(209));
        }
        tale
    };
    at_most(s(200) + 2 * BOUND, RECOVERED, |start| tell(start, true, false));
    at_most(s(200) + BOUND, RECOVERED, |start| tell(start, false, false));
    at_most(s(200) + BOUND, RECOVERED, |start| tell(start, true, true));
    // Two deaths are not one wait.
    assert_eq!(holds(tell(s(215), true, false)).recovery.count, 1);
}

#[test]
fn a_vacancy_that_was_over_before_the_death_gives_nothing() {
    for until in [s(195), s(200)] {
        at_most(s(200) + BOUND, RECOVERED, |start| vacant(start, &[(s(190), until)], false));
    }
    // Nor does one that begins when it is over.
    let recovery = holds(vacant(s(208), &[(s(209), s(211))], false)).recovery;
    assert_eq!((recovery.count, recovery.max), (2, 8.0));
}

#[test]
fn a_vacancy_that_begins_too_late_gives_nothing() {
    at_most(s(210), RECOVERED, |from| vacant(s(216), &[(from, s(215))], false));
    // But the time that Redis was away before it was no time to take over in.
    at_most(s(213), RECOVERED, |from| {
        let mut tale = vacant(s(216), &[(from, s(215))], false);
        tale.away((s(201), s(204)));
        tale
    });
}

#[test]
fn who_is_taken_over_by_another_in_a_vacancy_is_in_time() {
    holds(vacant(s(220), &[(s(205), s(225))], false));
}

#[test]
fn a_life_that_follows_another_ends_no_vacancy() {
    at_most(s(207) + BOUND, RECOVERED, |start| {
        let mut tale = vacant(start, &[(s(205), s(207))], false);
        tale.enrolled(SPARED, s(215));
        tale
    });
}

#[test]
fn a_vacancy_has_as_long_to_begin_as_there_were_deaths() {
    at_most(s(220), RECOVERED, |from| {
        let mut tale = recovered(s(229), Try { attempt: 1, crashes: 2, token: 3 });
        tale.lost(SPARED, from);
        tale.enrolled(SPARED, s(225));
        tale
    });
}

#[test]
fn a_vacancy_that_never_ended_gives_nothing() {
    at_most(s(200) + BOUND, RECOVERED, |start| vacant(start, &[(s(201), s(500))], false));
}

#[test]
fn a_vacancy_of_another_worker_gives_nothing() {
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let mut tale = recovered(start, TAKEN_OVER);
        tale.lost(HEIR, s(205));
        tale.enrolled(HEIR, s(208));
        tale
    });
}
