//! How a run ended, and what follows from it: a decision without any input but its arguments.

use std::fmt;
use std::time::Duration;

use crate::call::{RunError, RunResult};
use crate::failure::Next;
use crate::inspect::newer;

#[derive(Debug)]
pub(crate) enum Outcome {
    Succeeded,
    Failed(RunError),
    Undecodable(String),
    /// The message was too old to start.
    Expired,
    /// Its workers died too often.
    Poison {
        crashes: u32,
    },
    /// No actor of this name can run here: it is not implemented, or lacks its states.
    UnknownActor,
    /// The message is of a newer version of the format.
    NewerVersion(u64),
    /// It is a suspect, and may not run beside what runs here now.
    Deferred,
    /// It was cancelled before it could start.
    Cancelled,
}

impl From<RunResult> for Outcome {
    fn from(result: RunResult) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Succeeded)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("done"),
            Self::Failed(error) => error.fmt(f),
            Self::Undecodable(what) => f.write_str(what),
            Self::Expired => f.write_str("the message reached its maximum age before it could start"),
            Self::Poison { crashes } => {
                write!(f, "the worker died {crashes} times while it held this message")
            }
            Self::UnknownActor => f.write_str("no actor of this name is implemented here, with all its states"),
            Self::NewerVersion(version) => f.write_str(&newer(*version)),
            Self::Deferred => f.write_str("it may not run beside what runs here now: its workers died"),
            Self::Cancelled => f.write_str("it was cancelled before it could start"),
        }
    }
}

const LONGEST_ERROR: usize = 2_000;

impl Outcome {
    /// Whether an attempt was made, and failed.
    pub(crate) fn is_failure(&self) -> bool {
        match self {
            Self::Failed(RunError::Failed(failure)) => failure.counts(),
            Self::Failed(RunError::Batch(_) | RunError::Panicked(_) | RunError::TimedOut(_)) => true,
            _ => false,
        }
    }

    /// Whether the run asked to be made again later, with nothing counted.
    pub(crate) fn is_snoozed(&self) -> bool {
        matches!(self, Self::Failed(RunError::Failed(failure)) if matches!(failure.next(), Next::Snooze(_)))
    }

    /// Whether another worker may run the message, as it is.
    pub(crate) fn is_for_others(&self) -> bool {
        matches!(
            self,
            Self::UnknownActor
                | Self::NewerVersion(_)
                | Self::Failed(RunError::TooManyArguments { .. } | RunError::OtherSignature(_))
        )
    }

    /// What is kept of it with its message.
    pub(crate) fn text(&self) -> String {
        let mut text = self.to_string();
        if text.len() > LONGEST_ERROR {
            text.truncate(text.floor_char_boundary(LONGEST_ERROR));
            text.push('…');
        }
        text
    }

    /// The same for a log, in which no message's arguments stand: a decoder's error quotes them.
    pub(crate) fn log_text(&self) -> String {
        match self {
            Self::Undecodable(_) | Self::Failed(RunError::Arguments(_)) => {
                "it cannot be decoded: its dead letter says why".to_owned()
            }
            _ => self.text(),
        }
    }
}

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Done,
    /// It is tried again: as its next attempt after a [failure](Outcome::is_failure), else with nothing counted.
    Reschedule {
        after: Duration,
    },
    /// Its lane waits, and then it is first; nothing counts.
    Limit {
        after: Duration,
    },
    /// It waits for a worker that can run it, for a bounded time; nothing counts.
    Park {
        after: Duration,
    },
    /// It becomes a dead letter; an attempt counts where there was one.
    DeadLetter {
        why: &'static str,
    },
    /// It is released; nothing counts.
    Release,
    /// It ends, since it was cancelled.
    Cancel,
    /// It is no longer this worker's.
    Leave,
}

/// What the decision depends on, beside the outcome.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) max_retries: u32,
    /// How often it was tried before this run.
    pub(crate) attempts: u32,
    pub(crate) crashes: u32,
    /// How often it was delivered, this time included.
    pub(crate) deliveries: u64,
    /// The ceiling of the first wait.
    pub(crate) min_backoff: Duration,
    /// The ceiling of every wait.
    pub(crate) max_backoff: Duration,
    /// How long it may wait for a worker that can run it.
    pub(crate) park_left: Duration,
    /// Whether it was cancelled.
    pub(crate) cancelled: bool,
}

/// The longest wait of a message that no worker here can run, if nobody who can asks for it before.
const PARKED: Duration = Duration::from_secs(300);

/// The ceilings of the first wait of a suspect for a moment without other suspects, and of every wait.
const DEFERRED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

pub(crate) fn decide(outcome: &Outcome, policy: &Policy, rng: &mut fastrand::Rng) -> Verdict {
    let may_retry = |after: Duration| {
        let is_spent = policy.attempts >= policy.max_retries;
        if is_spent { Verdict::DeadLetter { why: "its retries are spent" } } else { Verdict::Reschedule { after } }
    };
    if policy.cancelled && !matches!(outcome, Outcome::Succeeded | Outcome::Failed(RunError::LeaseLost)) {
        return Verdict::Cancel;
    }
    match outcome {
        Outcome::Succeeded => Verdict::Done,
        Outcome::Cancelled => Verdict::Cancel,
        Outcome::Failed(RunError::Failed(failure)) => match failure.next() {
            Next::Never => Verdict::DeadLetter { why: "its error forbids a retry" },
            Next::In(after) => may_retry(after),
            Next::Limited(after) => Verdict::Limit { after },
            Next::Snooze(after) => Verdict::Reschedule { after },
            Next::AsConfigured => may_retry(policy.backoff(rng)),
        },
        Outcome::Failed(RunError::Batch(_) | RunError::Panicked(_) | RunError::TimedOut(_)) => {
            may_retry(policy.backoff(rng))
        }
        Outcome::Undecodable(_) | Outcome::Failed(RunError::Arguments(_)) => {
            Verdict::DeadLetter { why: "it cannot be decoded" }
        }
        Outcome::Expired => Verdict::DeadLetter { why: "it expired" },
        Outcome::Poison { .. } => Verdict::DeadLetter { why: "its workers died" },
        Outcome::UnknownActor
        | Outcome::NewerVersion(_)
        | Outcome::Failed(RunError::TooManyArguments { .. } | RunError::OtherSignature(_)) => {
            if policy.park_left.is_zero() {
                return Verdict::DeadLetter { why: "no worker could run it in time" };
            }
            // Half of it is random, so that those which were parked together do not come back together.
            Verdict::Park { after: PARKED.mul_f64(0.5 + rng.f64() / 2.0).min(policy.park_left) }
        }
        // Half of it is random, so that those which were refused together do not come back together.
        Outcome::Deferred => {
            let longest = ceiling(DEFERRED.0, DEFERRED.1, policy.deferrals());
            Verdict::Reschedule { after: longest.mul_f64(0.5 + rng.f64() / 2.0) }
        }
        Outcome::Failed(RunError::NoThread | RunError::Interrupted) => Verdict::Release,
        Outcome::Failed(RunError::LeaseLost) => Verdict::Leave,
    }
}

impl Policy {
    /// How often it was delivered before without having been tried.
    fn deferrals(&self) -> u32 {
        let tried = u64::from(self.attempts) + u64::from(self.crashes) + 1;
        u32::try_from(self.deliveries.saturating_sub(tried)).unwrap_or(u32::MAX)
    }

    /// Exponential backoff with factor 2 and full jitter: anything from no wait to the ceiling, so
    /// that messages which failed together do not come back together.
    /// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog (2015).
    fn backoff(&self, rng: &mut fastrand::Rng) -> Duration {
        ceiling(self.min_backoff, self.max_backoff, self.attempts).mul_f64(rng.f64())
    }
}

/// `first` doubled `doublings` times, and no more than `longest`.
fn ceiling(first: Duration, longest: Duration, doublings: u32) -> Duration {
    let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    first.checked_mul(factor).map_or(longest, |wait| wait.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;

    fn failed(failure: Failure) -> Outcome {
        Outcome::Failed(RunError::Failed(failure))
    }

    const POLICY: Policy = Policy {
        max_retries: 3,
        attempts: 0,
        crashes: 0,
        deliveries: 1,
        min_backoff: Duration::from_secs(15),
        max_backoff: Duration::from_secs(100),
        park_left: Duration::from_secs(3_600),
        cancelled: false,
    };

    const SPENT: Verdict = Verdict::DeadLetter { why: "its retries are spent" };

    fn verdict(outcome: &Outcome, policy: &Policy) -> Verdict {
        decide(outcome, policy, &mut fastrand::Rng::with_seed(1))
    }

    #[test]
    fn a_log_quotes_no_argument_and_no_error_without_end() {
        let mismatch =
            Outcome::Undecodable("argument 1 (`card`): invalid type: string \"4111\", expected u64".to_owned());
        assert!(mismatch.text().contains("4111"));
        assert!(!mismatch.log_text().contains("4111"));
        let long = failed(Failure::from("€".repeat(LONGEST_ERROR)));
        assert!(long.log_text().len() < LONGEST_ERROR + 4 && long.log_text().ends_with("€…"));
    }

    #[test]
    fn what_is_snoozed_spends_no_attempt_and_never_its_last() {
        let (snoozed, spent) = (failed(Failure::snooze(Duration::from_secs(9))), Policy { attempts: 3, ..POLICY });
        assert!(!snoozed.is_failure());
        assert_eq!(verdict(&snoozed, &spent), Verdict::Reschedule { after: Duration::from_secs(9) });
    }

    #[test]
    fn what_was_cancelled_ends_unless_it_succeeded_or_is_anothers() {
        let cancelled = Policy { cancelled: true, ..POLICY };
        for outcome in [
            failed(Failure::from("no")),
            failed(Failure::snooze(Duration::ZERO)),
            Outcome::Failed(RunError::Interrupted),
            Outcome::Failed(RunError::NoThread),
            Outcome::UnknownActor,
            Outcome::Expired,
            Outcome::Deferred,
        ] {
            assert_eq!(verdict(&outcome, &cancelled), Verdict::Cancel, "{outcome}");
        }
        assert_eq!(verdict(&Outcome::Succeeded, &cancelled), Verdict::Done);
        assert_eq!(verdict(&Outcome::Failed(RunError::LeaseLost), &cancelled), Verdict::Leave);
        assert_eq!(verdict(&Outcome::Cancelled, &POLICY), Verdict::Cancel);
    }

    #[test]
    fn a_failure_of_the_last_retry_dead_letters() {
        let failed = failed(Failure::from("no"));
        assert!(matches!(verdict(&failed, &Policy { attempts: 2, ..POLICY }), Verdict::Reschedule { .. }));
        assert_eq!(verdict(&failed, &Policy { attempts: 3, ..POLICY }), SPENT);
    }

    #[test]
    fn a_failure_may_forbid_a_retry_or_set_its_time_but_not_exceed_the_number() {
        let never = failed(Failure::do_not_retry("no"));
        assert_eq!(verdict(&never, &POLICY), Verdict::DeadLetter { why: "its error forbids a retry" });
        let after = Duration::from_secs(7);
        let later = failed(Failure::retry_in(after, "no"));
        assert_eq!(verdict(&later, &POLICY), Verdict::Reschedule { after });
        assert_eq!(verdict(&later, &Policy { attempts: 3, ..POLICY }), SPENT);
    }

    #[test]
    fn the_ceiling_doubles_up_to_its_limit_and_the_jitter_is_full() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (attempts, ceiling) in [(0, 15.0), (1, 30.0), (2, 60.0), (3, 100.0), (200, 100.0)] {
            let policy = Policy { attempts, ..POLICY };
            let waits: Vec<f64> = (0..1_000).map(|_| policy.backoff(&mut rng).as_secs_f64()).collect();
            let mean = waits.iter().sum::<f64>() / 1_000.0;
            assert!(waits.iter().all(|wait| (0.0..=ceiling).contains(wait)));
            assert!((mean - ceiling / 2.0).abs() < ceiling * 0.05, "mean {mean} of a ceiling of {ceiling}");
        }
    }

    #[test]
    fn the_default_retries_span_weeks() {
        let options = crate::actor::Options::DEFAULT;
        let total: Duration =
            (0..options.max_retries).map(|n| ceiling(options.min_backoff, options.max_backoff, n) / 2).sum();
        let days = total.as_secs() / 86_400;
        assert!((17..=25).contains(&days), "{days} days");
    }

    #[test]
    fn a_suspect_among_others_waits_longer_each_time_and_never_long() {
        for (deferrals, ceiling) in [(0, 1.0), (1, 2.0), (2, 4.0), (3, 5.0), (1_000, 5.0)] {
            let policy = Policy { attempts: 1, crashes: 2, deliveries: 4 + deferrals, ..POLICY };
            let Verdict::Reschedule { after } = verdict(&Outcome::Deferred, &policy) else {
                panic!("it was not deferred")
            };
            assert!((ceiling / 2.0..=ceiling).contains(&after.as_secs_f64()), "{deferrals}: {after:?}");
        }
    }

    #[test]
    fn what_this_worker_cannot_run_waits_for_another_however_often_it_came_until_its_time_is_over() {
        let second = Duration::from_secs(1);
        for outcome in [
            Outcome::UnknownActor,
            Outcome::NewerVersion(2),
            Outcome::Failed(RunError::TooManyArguments { given: 2, taken: 1 }),
            Outcome::Failed(RunError::OtherSignature("others".to_owned())),
        ] {
            for deliveries in [1, 2, 50, u64::MAX] {
                let policy = Policy { deliveries, attempts: 99, ..POLICY };
                let Verdict::Park { after } = verdict(&outcome, &policy) else { panic!("{outcome} is not left") };
                assert!((PARKED / 2..=PARKED).contains(&after), "{after:?}");
            }
            let nearly_over = Policy { park_left: second, ..POLICY };
            assert_eq!(verdict(&outcome, &nearly_over), Verdict::Park { after: second });
            let over = Policy { park_left: Duration::ZERO, ..POLICY };
            assert_eq!(verdict(&outcome, &over), Verdict::DeadLetter { why: "no worker could run it in time" });
        }
    }
}
