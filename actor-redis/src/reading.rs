//! What a subscription's claims know from one to the next, and the read that follows from it.

use std::time::{Duration, Instant};

use crate::entry::EntryId;
use crate::keys::Level;
use crate::script::LOOK;
use crate::weight::Weight;

/// How long a read waits where the server does not tell by which id to end it.
const BLIND_WAIT: Duration = Duration::from_millis(500);

/// What a subscription's claims know from one to the next.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The lowest level to ask. A read counts for each level by itself, so that without it a backlog
    /// on every level would deliver four times what was asked for, the low ones out of turn.
    pub(crate) cut: Level,
    /// Whether a level gave all that the last read asked for, and probably has more.
    pub(crate) is_full: bool,
    /// How many reads in a row a higher level has filled.
    pub(crate) in_turn: u32,
    /// What messages weigh.
    pub(crate) weight: Weight,
    /// When to look at what is due, or for scheduled messages that no one told this subscription about.
    pub(crate) look_at: Instant,
    /// Whether a message is due then, as far as this subscription alone may know.
    pub(crate) due: bool,
    /// Whether the last look moved some, and more are due.
    pub(crate) more: bool,
    /// When that may be passed on again.
    pub(crate) pass_on_at: Instant,
    /// Entries that only woke this subscription, to be removed with the next request.
    pub(crate) woken: Vec<EntryId>,
    /// Whether the answer to a read may have been lost.
    pub(crate) in_doubt: bool,
    /// Which connection answered last, of all that were made.
    pub(crate) answered_by: u64,
    /// Whether another answered since it was last compared what this worker and the server know.
    pub(crate) has_reconnected: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            cut: Level::High,
            is_full: false,
            in_turn: 0,
            weight: Weight::default(),
            look_at: Instant::now(),
            due: false,
            more: false,
            pass_on_at: Instant::now(),
            woken: Vec::new(),
            in_doubt: false,
            answered_by: 0,
            has_reconnected: false,
        }
    }
}

/// One read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The highest level to ask.
    pub(crate) from: Level,
    pub(crate) cut: Level,
    /// Whether to look at what is due first. How long to wait then is not known yet: it does not wait.
    pub(crate) look: bool,
    /// How long to wait for a first message.
    pub(crate) block: Option<Duration>,
    /// When to end the waiting for a message that is due. A server that is idle looks at its own
    /// clock only ten times a second.
    pub(crate) due: Option<Instant>,
}

impl Step {
    pub(crate) fn plan(reading: &Reading, deadline: Option<Instant>, can_be_ended: bool) -> Self {
        let now = Instant::now();
        let look = reading.look_at <= now;
        // With a cut it does not wait either: there may be something below.
        let block = (!look && reading.cut == Level::Low).then(|| {
            let until = deadline.map_or(reading.look_at, |deadline| deadline.min(reading.look_at));
            let longest = if can_be_ended { LOOK } else { BLIND_WAIT };
            until.saturating_duration_since(now).min(longest)
        });
        let block = block.filter(|block| !block.is_zero());
        let due = (block.is_some() && reading.due).then_some(reading.look_at);
        Self { from: Level::HighReleased, cut: reading.cut, look, block, due }
    }

    /// One more read of these levels, for what is there.
    pub(crate) fn at_once(from: Level, cut: Level) -> Self {
        Self { from, cut, look: false, block: None, due: None }
    }

    /// Whether a claim with nothing found is at its end after this read.
    pub(crate) fn is_last(self, deadline: Option<Instant>) -> bool {
        self.cut == Level::Low && deadline.is_some_and(|deadline| deadline <= Instant::now())
    }
}
