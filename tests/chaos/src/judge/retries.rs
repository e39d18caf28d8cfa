//! Failures are retried as their policy says, and crashes are counted apart.

use std::time::Duration;

use super::{Evidence, Finding, Message, describe};
use crate::clock::SECOND;
use crate::history::How;
use crate::storage::{DeadLetter, Storage};
use crate::tasks::PATIENCE;
use crate::tasks::following::DOOM;

/// How late a retry may start without faults: it queues behind what is ready.
const BEHIND: u64 = 5 * SECOND;
/// How much rounding, and reading two clocks, may shorten a wait, in us.
const ROUNDING: u64 = 2_000;

pub(super) fn max_retries(actor: &str) -> u32 {
    match actor.rsplit(['.', ':']).next().unwrap_or(actor) {
        "plain" | "batched" => 4,
        "sole" | "latest" | "again" | "debounced" | "started" => 9,
        "stubborn" | "hog" | "poison" | "leaky" => 3,
        "gated_fails" | "doomed" => 1,
        _ => 2,
    }
}

/// The longest possible backoff after an attempt, in us.
pub(super) fn ceiling(actor: &str, attempt: u32) -> u64 {
    let (first, longest) = match actor.rsplit(['.', ':']).next().unwrap_or(actor) {
        "plain" | "batched" => (100, 1_000),
        "stubborn" => (100, 500),
        "patient" => return micros(PATIENCE),
        _ => (50, 200),
    };
    let doubled = 2_u64.checked_pow(attempt.saturating_sub(1)).unwrap_or(longest);
    longest.min(first * doubled) * 1_000
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn is(actor: &str, name: &str) -> bool {
    actor.rsplit(['.', ':']).next() == Some(name)
}

fn failures_before(message: &Message, at: u64) -> u32 {
    let failed = |run: &&super::message::Run| matches!(run.end, Some((end, How::Failed | How::Stale)) if end <= at);
    u32::try_from(message.runs.iter().filter(failed).count()).unwrap_or(u32::MAX)
}

pub(super) fn attempts_counted(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::ATTEMPTS);
    for (id, message) in &evidence.messages {
        for (index, run) in message.runs.iter().enumerate() {
            let spent = run.attempt.saturating_sub(1);
            let fits = spent <= failures_before(message, run.start) && spent <= max_retries(&message.actor);
            finding.ask(fits, || describe(evidence, *id));
            if matches!(run.end, Some((_, How::Failed))) && !evidence.ended_badly(run) {
                // Its worker settled it, so every later run knows of it.
                let next = message.runs[index + 1..].iter().find(|next| next.token > run.token);
                finding.ask(next.is_none_or(|next| next.attempt > run.attempt), || describe(evidence, *id));
            }
        }
    }
    finding
}

pub(super) fn runs_bounded(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::BOUNDED);
    for (id, message) in &evidence.messages {
        // An uninterrupted run was settled, as done or as an attempt.
        let settled = message.runs.iter().filter(|run| !evidence.ended_badly(run)).filter_map(|run| run.end);
        let (mut done, mut failed) = (0, 0);
        for (_, how) in settled {
            match how {
                How::Done | How::DoneBefore => done += 1,
                How::Failed => failed += 1,
                How::Dropped | How::Stale | How::Cancelled | How::Refused => {}
            }
        }
        let most = 1 + max_retries(&message.actor);
        finding.ask(done <= 1 && failed + done <= most, || describe(evidence, *id));
    }
    finding
}

pub(super) fn waits_kept(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::WAITS);
    for (id, message) in &evidence.messages {
        // What takes the place of another one may start when that would have, or must have.
        let may_take_a_place = ["latest", "started", "debounced"].iter().any(|actor| is(&message.actor, actor));
        let has_delay = message.delay_ms > 0 && !may_take_a_place;
        if let Some(first) = message.runs.first().filter(|_| has_delay) {
            let due = message.invoked + message.delay_ms * 1_000;
            finding.ask(first.start + ROUNDING >= due, || describe(evidence, *id));
        }
        let next = message.runs.iter().find(|run| run.attempt == 2);
        if let Some(next) = next.filter(|_| is(&message.actor, "patient")) {
            let failures = message.runs.iter().filter_map(|run| match run.end {
                Some((end, How::Failed)) if end <= next.start => Some((end, evidence.ended_badly(run))),
                _ => None,
            });
            // The first one certainly settled, if there is one.
            if let Some((failed, _)) = failures.min_by_key(|(_, unsettled)| *unsettled) {
                let due = failed + micros(PATIENCE);
                finding.ask(next.start + ROUNDING >= due, || describe(evidence, *id));
            }
        }
    }
    finding
}

/// Checked where no worker died with the message: a suspect may have to wait until it is isolated. What is in a lane waits
/// for its limits.
pub(super) fn retried_in_time(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::LATE);
    for (id, message) in evidence.messages.iter().filter(|(_, message)| message.lane.is_none()) {
        for (index, run) in message.runs.iter().enumerate().filter(|(_, run)| !evidence.ended_badly(run)) {
            let Some((failed, How::Failed)) = run.end else { continue };
            let next = message.runs[index + 1..].iter().find(|next| next.token > run.token);
            let Some(next) = next.filter(|next| next.crashes == 0) else { continue };
            let due = failed + ceiling(&message.actor, run.attempt);
            let late = next.start.saturating_sub(due).saturating_sub(evidence.disrupted_between(failed, next.start));
            finding.ask(late <= BEHIND, || format!("{} ms late: {}", late / 1_000, describe(evidence, *id)));
        }
    }
    finding
}

pub(super) fn died_of_crashes(dead_letter: &DeadLetter) -> bool {
    dead_letter.reason.starts_with("the worker died")
}

pub(super) fn dead_lettered_for_a_reason(evidence: &Evidence, storage: &Storage) -> Finding {
    let mut finding = Finding::new(super::REASONS);
    for (id, dead_letter) in &storage.dead {
        let is_true = evidence.messages.get(id).is_some_and(|message| {
            if died_of_crashes(dead_letter) {
                dead_letter.crashes >= 3 && evidence.bad_ends_since(message.invoked) >= dead_letter.crashes as usize
            } else {
                let always = ["always_fails", "gated_fails"].iter().any(|actor| is(&dead_letter.actor, actor));
                let fails = always && dead_letter.reason == "always_fails";
                (fails || is(&dead_letter.actor, "doomed") && dead_letter.reason == DOOM)
                    && dead_letter.attempt == max_retries(&dead_letter.actor) + 1
                    && dead_letter.attempt <= failures_before(message, u64::MAX)
            }
        });
        finding.ask(is_true, || {
            let DeadLetter { attempt, crashes, reason, .. } = dead_letter;
            format!("{reason:?} attempt {attempt} crashes {crashes}: {}", describe(evidence, *id))
        });
    }
    finding
}
