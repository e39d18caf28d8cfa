//! What a dead worker held starts again within a bound. Only documented periods are subtracted.

use super::super::RECOVERED;
use super::*;
use crate::fault::Fault;
use crate::history::{How, What};

/// How long after its worker's death at 200 s a message may start, with the default lease of 6 s.
const BOUND: u64 = s(10);

/// A message whose worker dies at 200 s. Another starts it at `start`, as `run` says. Both are busy from 100 s.
fn recovered(start: u64, run: Try) -> Case {
    let mut case = baseline();
    case.is_about(&[Fault::KillWorker]);
    let killed = case.worker("worker-3-0", (s(100), s(202)));
    let id = case.sent("plain", s(199));
    case.starts(killed, id, s(199), FIRST);
    case.dies(killed, s(200));
    case.runs(OTHER, id, (start, start + MS), run, How::Done);
    case
}

#[test]
fn a_dead_workers_message_starts_again_within_ten_seconds() {
    at_most(s(200) + BOUND, RECOVERED, |start| recovered(start, AFTER_A_CRASH));
    breaks(recovered(s(211), AFTER_A_CRASH), RECOVERED, "11.0 s: ");
}

#[test]
fn the_bound_is_a_lease_and_a_third_and_two_seconds() {
    at_most(s(204), RECOVERED, |start| {
        let mut case = recovered(start, AFTER_A_CRASH);
        case.scenario = case.scenario.dense();
        case
    });
}

/// A message delivered to a worker; `held` adds more events. The worker dies at 200 s, and another starts it at
/// `start`, as `run` says.
fn delivered(start: u64, run: Try, held: impl Fn(&mut Case, usize, actor_core::MessageId)) -> Case {
    let mut case = baseline();
    case.is_about(&[Fault::KillWorker]);
    let killed = case.worker("worker-3-0", (s(100), s(202)));
    let id = case.sent("plain", s(198));
    case.delivered(killed, id, s(198), FIRST);
    held(&mut case, killed, id);
    case.dies(killed, s(200));
    case.runs(OTHER, id, (start, start + MS), run, How::DoneBefore);
    case.effect(id, s(199), 1);
    case
}

#[test]
fn what_a_dead_worker_had_fetched_starts_again_in_time() {
    at_most(s(200) + BOUND, RECOVERED, |start| delivered(start, AFTER_A_CRASH, |_, _, _| {}));
    // What it had released, or never received, was not held: no crash is counted.
    holds(delivered(s(230), Try { token: 2, ..FIRST }, |_, _, _| {}));
}

#[test]
fn what_a_dead_worker_had_done_and_not_settled_starts_again_in_time() {
    for how in [How::Done, How::DoneBefore] {
        let run = |case: &mut Case, killed, id| {
            case.note(killed, s(199), What::Start { id, actor: "plain".to_owned(), attempt: 1, crashes: 0, token: 1 });
            case.ends(killed, id, s(199), 1, how);
        };
        at_most(s(200) + BOUND, RECOVERED, |start| delivered(start, AFTER_A_CRASH, run));
    }
}

#[test]
fn what_a_dead_worker_had_failed_or_dropped_and_not_settled_starts_again_in_time() {
    for how in [How::Failed, How::Stale, How::Dropped] {
        let run = |case: &mut Case, killed, id| {
            case.note(killed, s(199), What::Start { id, actor: "plain".to_owned(), attempt: 1, crashes: 0, token: 1 });
            case.ends(killed, id, s(199), 1, how);
        };
        at_most(s(200) + BOUND, RECOVERED, |start| delivered(start, AFTER_A_CRASH, run));
        // No crash is counted: it was settled as a retry, or released.
        let settled = if how == How::Dropped { Try { token: 2, ..FIRST } } else { AGAIN };
        holds(delivered(s(230), settled, run));
    }
}

#[test]
fn a_crash_of_another_delivery_is_none_of_this() {
    // One of the two deliveries before this start was a crash. Who had the other is unknown.
    holds(delivered(s(230), Try { token: 3, ..AFTER_A_CRASH }, |_, _, _| {}));
}

#[test]
fn what_was_delivered_to_another_before_the_death_is_its_to_run() {
    // As for a worker that was frozen, declared dead, and then killed.
    let delivered_on = |at| {
        delivered(s(230), Try { attempt: 1, crashes: 2, token: 3 }, |case, _, id| {
            let other = case.worker("worker-4-0", (s(100), s(227)));
            case.delivered(other, id, at, AFTER_A_CRASH);
            case.dies(other, s(225));
        })
    };
    holds(delivered_on(s(200) - 1));
    breaks(delivered_on(s(200)), RECOVERED, "30.0 s");
}

#[test]
fn a_delivery_is_what_one_worker_was_given_under_one_token() {
    // Another worker dropped the delivery under the same token, as after a deleted group.
    at_most(s(200) + BOUND, RECOVERED, |start| {
        delivered(start, AFTER_A_CRASH, |case, _, id| case.runs(RECOVERER, id, (s(198), s(199)), FIRST, How::Dropped))
    });
    // It failed, and the same worker had fetched the retry.
    at_most(s(200) + BOUND, RECOVERED, |start| {
        delivered(start, Try { attempt: 2, crashes: 1, token: 3 }, |case, killed, id| {
            case.runs(killed, id, (s(198), s(199)), FIRST, How::Failed);
            case.delivered(killed, id, s(199), AGAIN);
        })
    });
}

#[test]
fn what_no_death_cut_short_is_not_asked() {
    let mut case = recovered(s(230), AFTER_A_CRASH);
    case.without(|what| matches!(what, What::Died { process, .. } if process == "worker-3-0"));
    // It stopped as asked.
    case.stops(5, s(200));
    holds(case);
}

#[test]
fn a_run_of_an_older_delivery_is_no_recovery() {
    let mut case = recovered(s(211), AFTER_A_CRASH);
    let zombie = case.worker("worker-4-0", (s(100), s(150)));
    let id = case.last();
    case.runs(zombie, id, (s(201), s(202)), Try { token: 0, ..FIRST }, How::Dropped);
    breaks(case, RECOVERED, "11.0 s");
}

#[test]
fn the_time_that_redis_was_away_is_taken_off() {
    for window in [(s(201), s(204)), (s(203), s(206))] {
        at_most(s(200) + BOUND + s(3), RECOVERED, |start| {
            let mut case = recovered(start, AFTER_A_CRASH);
            case.away(window);
            case
        });
    }
    // An outage that is recorded twice began with the first record.
    at_most(s(200) + BOUND + s(3), RECOVERED, |start| {
        let mut case = recovered(start, AFTER_A_CRASH);
        case.away((s(201), s(204)));
        case.harness(s(203), What::Away);
        case
    });
    // Of an outage, only the part between the death and the start counts.
    at_most(s(200) + BOUND + s(2), RECOVERED, |start| {
        let mut case = recovered(start, AFTER_A_CRASH);
        case.away((s(195), s(202)));
        case
    });
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let mut case = recovered(start, AFTER_A_CRASH);
        case.away((s(190), s(200)));
        case.away((start, start + s(5)));
        case
    });
}

#[test]
fn an_absence_of_which_nobody_saw_the_end_takes_nothing_off() {
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let mut case = recovered(start, AFTER_A_CRASH);
        case.harness(s(201), What::Away);
        case
    });
}

#[test]
fn the_time_in_which_the_machine_stood_still_is_taken_off_once() {
    at_most(s(200) + BOUND + s(4), RECOVERED, |start| {
        let mut case = recovered(start, AFTER_A_CRASH);
        case.harness(s(205), What::Stalled { since: s(202) });
        case.away((s(203), s(206)));
        case
    });
    let mut case = recovered(s(201), AFTER_A_CRASH);
    case.harness(s(205), What::Stalled { since: s(202) });
    let stalled = holds(case).recovery.stalled;
    assert!((stalled - 3.0).abs() < 1e-9, "{stalled}");
}

#[test]
fn other_faults_take_nothing_off() {
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let mut case = recovered(start, AFTER_A_CRASH);
        case.fault("out_of_memory", (s(201), s(205)));
        case
    });
}

#[test]
fn each_death_has_a_time_of_its_own() {
    let twice = Try { attempt: 1, crashes: 2, token: 3 };
    at_most(s(200) + 2 * BOUND, RECOVERED, |start| recovered(start, twice));
    // Such a wait is not in the percentiles; the baseline's is.
    let recovery = holds(recovered(s(219), twice)).recovery;
    assert_eq!((recovery.count, recovery.max), (1, 3.0));
    let recovery = holds(recovered(s(208), AFTER_A_CRASH)).recovery;
    assert_eq!((recovery.count, recovery.p50, recovery.max), (2, 8.0, 8.0));
}

#[test]
fn a_recovery_that_counted_no_death_has_the_time_of_one() {
    let uncounted = Try { crashes: 0, ..AFTER_A_CRASH };
    at_most(s(200) + BOUND, RECOVERED, |start| recovered(start, uncounted));
    at_most(s(211) + BOUND, RECOVERED, |start| {
        let mut case = recovered(start, uncounted);
        case.lost(SPARED, s(205));
        case.registered(SPARED, s(211));
        case
    });
}

/// The same, where the recovering worker had no session between two times.
fn vacant(start: u64, windows: &[(u64, u64)], dies: bool) -> Case {
    let mut case = recovered(start, AFTER_A_CRASH);
    for (from, until) in windows {
        if dies {
            case.dies(SPARED, *from);
        } else {
            case.lost(SPARED, *from);
        }
        if *until < s(400) {
            case.registered(SPARED, *until);
        }
    }
    case
}

#[test]
fn where_the_spared_worker_had_no_session_it_is_counted_from_its_next() {
    for dies in [true, false] {
        for from in [s(195), s(200), s(205), s(210)] {
            at_most(s(211) + BOUND, RECOVERED, |start| vacant(start, &[(from, s(211))], dies));
        }
        // Each further one counts.
        at_most(s(225) + BOUND, RECOVERED, |start| vacant(start, &[(s(205), s(211)), (s(219), s(225))], dies));
    }
}

#[test]
fn where_the_spared_workers_lease_was_made_again_it_is_counted_from_then() {
    for (of, since) in [(SPARED, s(205)), (RECOVERER, s(200))] {
        at_most(since + BOUND, RECOVERED, |start| {
            let mut case = recovered(start, AFTER_A_CRASH);
            case.forgotten(of, s(205));
            case
        });
    }
}

#[test]
fn the_death_of_one_that_stopped_has_a_time_of_its_own_too() {
    let history = |start, dies: bool, releases: bool| {
        // A worker recovers it, is stopped, and is killed before it began it. No crash is counted for that.
        let mut case = recovered(start, Try { token: 3, ..AFTER_A_CRASH });
        let id = case.last();
        let stopping = case.worker("worker-4-0", (s(100), s(209)));
        case.delivered(stopping, id, s(206), AFTER_A_CRASH);
        if releases {
            case.settled(stopping, id, s(207), 2, 0);
        }
        if dies {
            case.asked(stopping, s(207));
            case.dies(stopping, s(209));
        }
        case
    };
    at_most(s(200) + 2 * BOUND, RECOVERED, |start| history(start, true, false));
    at_most(s(200) + BOUND, RECOVERED, |start| history(start, false, false));
    at_most(s(200) + BOUND, RECOVERED, |start| history(start, true, true));
    // Two deaths do not make one wait.
    assert_eq!(holds(history(s(215), true, false)).recovery.count, 1);
}

#[test]
fn a_vacancy_that_was_over_before_the_death_gives_nothing() {
    for until in [s(195), s(200)] {
        at_most(s(200) + BOUND, RECOVERED, |start| vacant(start, &[(s(190), until)], false));
    }
    // Nor one that begins after the end.
    let recovery = holds(vacant(s(208), &[(s(209), s(211))], false)).recovery;
    assert_eq!((recovery.count, recovery.max), (2, 8.0));
}

#[test]
fn a_vacancy_that_begins_too_late_gives_nothing() {
    at_most(s(210), RECOVERED, |from| vacant(s(216), &[(from, s(215))], false));
    // But an outage before it leaves no time to recover in.
    at_most(s(213), RECOVERED, |from| {
        let mut case = vacant(s(216), &[(from, s(215))], false);
        case.away((s(201), s(204)));
        case
    });
}

#[test]
fn what_another_worker_recovers_in_a_vacancy_is_in_time() {
    holds(vacant(s(220), &[(s(205), s(225))], false));
}

#[test]
fn a_session_that_follows_another_ends_no_vacancy() {
    at_most(s(207) + BOUND, RECOVERED, |start| {
        let mut case = vacant(start, &[(s(205), s(207))], false);
        case.registered(SPARED, s(215));
        case
    });
}

#[test]
fn a_vacancy_has_as_long_to_begin_as_there_were_deaths() {
    at_most(s(220), RECOVERED, |from| {
        let mut case = recovered(s(229), Try { attempt: 1, crashes: 2, token: 3 });
        case.lost(SPARED, from);
        case.registered(SPARED, s(225));
        case
    });
}

#[test]
fn a_vacancy_that_never_ended_gives_nothing() {
    at_most(s(200) + BOUND, RECOVERED, |start| vacant(start, &[(s(201), s(500))], false));
}

#[test]
fn a_vacancy_of_another_worker_gives_nothing() {
    at_most(s(200) + BOUND, RECOVERED, |start| {
        let mut case = recovered(start, AFTER_A_CRASH);
        case.lost(RECOVERER, s(205));
        case.registered(RECOVERER, s(208));
        case
    });
}
