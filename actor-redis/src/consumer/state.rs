//! Whether a consumer may claim, what its claims know from one to the next, and the read that follows from it.

use std::time::{Duration, Instant};

use super::weight::Weight;
use crate::keys::Level;
use crate::queue::Queue;
use crate::request::Answer;
use crate::script::{self, CHECK_EVERY};

/// How long a read waits where the server has not given the id by which to unblock it.
const BLIND_WAIT: Duration = Duration::from_millis(500);

/// How soon a check that failed is repeated.
pub(super) const CHECK_AGAIN: Duration = Duration::from_secs(1);

/// Whether this process and Redis agree on what is in flight here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// They agree: a claim may read.
    #[default]
    InStep,
    /// Redis may believe more to be in flight here: an answer was lost or not understood, or another server answers,
    /// which may have forgotten settlements. A claim must reclaim first.
    Behind,
    /// A read is under way. Where its answer never came, or its claim was dropped, it may still wait on the server: a
    /// claim must give up its connection, and reclaim.
    Reading,
}

/// What a consumer's claims know from one to the next.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) state: State,
    /// Which connection answered last, of all that were made.
    pub(super) answered_by: u64,
    /// The lowest level to ask. A read counts for each level by itself, so that without it a backlog
    /// on every level would deliver a multiple of what was asked for, to be released again.
    pub(super) cut: Level,
    /// Whether a level gave all that the last read asked for, and probably has more.
    pub(super) is_full: bool,
    /// How many reads in a row a higher level has filled.
    pub(super) in_turn: u32,
    /// What messages weigh.
    pub(super) weight: Weight,
    /// When to check for what is due, also for what this consumer was not woken for.
    pub(super) check_at: Instant,
    /// Whether a message is due then, as far as this consumer alone may know.
    pub(super) due: bool,
    /// When to wake another for that again, at the earliest.
    pub(super) pass_on_at: Instant,
    /// Whether it was woken, and has not acknowledged that.
    pub(super) woken: bool,
    /// Whether messages may wait in lanes.
    pub(super) is_gated: bool,
    /// Whether those must be let go before it may wait.
    pub(super) must_grant: bool,
    /// When to have the slots counted again that messages hold.
    pub(super) recount_at: Instant,
    /// Whether messages were let go after the read that should have brought them, which a script that Redis did not know
    /// came too late for: the next read brings them, and lets no more go.
    pub(super) is_unread: bool,
    /// Whether Redis knows what this worker's program declares of the limits.
    pub(super) is_declared: bool,
}

impl Default for Reading {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            state: State::InStep,
            answered_by: 0,
            cut: Level::High,
            is_full: false,
            in_turn: 0,
            weight: Weight::default(),
            check_at: now,
            due: false,
            pass_on_at: now,
            woken: false,
            is_gated: false,
            must_grant: false,
            recount_at: now,
            is_unread: false,
            is_declared: false,
        }
    }
}

impl Reading {
    /// Takes note of when to check again, and whether a message is due then. Returns when the check was, in
    /// ms by the server's clock; 0 where it failed.
    pub(super) fn learn(&mut self, queue: &Queue, checked: Option<Answer>) -> u64 {
        let promoted = match checked {
            Some(Ok(answer)) => script::promoted(&answer),
            // What the read has delivered must not be lost for it.
            Some(Err(error)) => {
                tracing::warn!(queue = %queue.name, %error, "scheduled messages could not be moved");
                None
            }
            None => None,
        };
        // Not all workers at once.
        let unprompted = CHECK_EVERY.mul_f64(0.75 + fastrand::f64() / 4.0);
        let (after, due) = match promoted {
            Some((Some(next), _)) => (next.min(unprompted), next <= unprompted),
            Some((None, _)) => (unprompted, false),
            None => (CHECK_AGAIN, false),
        };
        (self.check_at, self.due, self.woken) = (Instant::now() + after, due, false);
        queue.set_overdue(after.is_zero());
        promoted.map_or(0, |(_, checked_ms)| checked_ms)
    }
}

/// One read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The highest level to ask.
    pub(super) from: Level,
    pub(super) cut: Level,
    /// Whether to check for what is due first. How long to wait then is not known yet: it does not wait.
    pub(super) check: bool,
    /// Whether to let messages in lanes go first, for the same reason without waiting.
    pub(super) grant: bool,
    /// How long to wait for a first message.
    pub(super) block: Option<Duration>,
    /// When to end the waiting for a message that is due. A server that is idle reads its own
    /// clock only ten times a second.
    pub(super) due: Option<Instant>,
}

impl Step {
    pub(super) fn plan(reading: &Reading, deadline: Option<Instant>, can_be_ended: bool) -> Self {
        if reading.is_unread {
            return Self::at_once(Level::HighReleased, Level::Low);
        }
        let now = Instant::now();
        let check = reading.check_at <= now;
        let grant = reading.is_gated && (check || reading.must_grant);
        // A grant is bounded over all levels, and what it lets go may be of any.
        let cut = if grant { Level::Low } else { reading.cut };
        // With a cut it does not wait either: there may be something below.
        let block = (!check && !grant && cut == Level::Low).then(|| {
            let until = deadline.map_or(reading.check_at, |deadline| deadline.min(reading.check_at));
            let longest = if can_be_ended { CHECK_EVERY } else { BLIND_WAIT };
            until.saturating_duration_since(now).min(longest)
        });
        let block = block.filter(|block| !block.is_zero());
        let due = (block.is_some() && reading.due).then_some(reading.check_at);
        Self { from: Level::HighReleased, cut, check, grant, block, due }
    }

    /// One more read of these levels, for what is there.
    pub(super) fn at_once(from: Level, cut: Level) -> Self {
        Self { from, cut, check: false, grant: false, block: None, due: None }
    }

    /// Whether a claim with nothing found is at its end after this read.
    pub(super) fn is_last(self, deadline: Option<Instant>) -> bool {
        self.cut == Level::Low && deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}
