//! What has happened to each message, as someone who sees everything would list it. No step of the
//! protocol depends on it: the promises are judged by it.

use crate::protocol::Protocol;
use crate::storage::{Delivery, Id};
use crate::unique::Sent;
use crate::worker::{Phase, Run};

/// What was seen to happen, and must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breach {
    /// A message was in flight with a token that is not above its last.
    Token,
    /// One delivery was started twice.
    Started,
    /// A worker that no longer held a message changed what became of it.
    LateFailure,
    /// A message says of its attempts what is not so.
    Attempts,
    /// A message says of its deaths what is not so.
    Deaths,
    /// A message was started whose workers had died too often.
    Poison,
    /// A message was dead-lettered for a reason that is not so.
    Reason,
    /// A message was let go though its limit was reached.
    Limit,
    /// A message was not stored, and the one that stands for it is nowhere.
    StoodFor,
}

/// One message's past.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Past {
    /// Whether it was stored.
    pub accepted: bool,
    /// Whether it was stored to follow another.
    follows: bool,
    /// Whether Redis lost it.
    pub lost: bool,
    /// The highest token it was in flight with.
    token: u8,
    /// The tokens it was started with, a bit each.
    started: u32,
    /// Whether its work was done, by whomever.
    pub done: bool,
    /// How many failures counted.
    pub failures: u8,
    /// How many workers were declared dead while they held it, and were not stopping.
    deaths: u8,
    /// Whether it was seen to be nowhere any more.
    pub ended: bool,
    /// Whether a success counted that came from a worker which no longer held it.
    pub late_success: bool,
    /// Whether a failure was refused that came from a worker which no longer held it.
    pub refused: bool,
    /// Whether what a lost answer had delivered was found.
    pub found: bool,
    /// Whether a worker died with it that was stopping.
    pub interrupted: bool,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct History {
    /// Of each message.
    pub pasts: Vec<Past>,
    /// What must not have.
    pub breach: Option<Breach>,
    /// Whether two messages of a key were in flight at once, under a limit that was raised.
    pub raised: bool,
    /// Whether the key of a message that is nowhere was taken over.
    pub taken_over: bool,
    /// Whether a message began that had followed another.
    pub followed: bool,
}

impl History {
    pub(crate) fn new(messages: u8, accepted: bool) -> Self {
        let past = Past { accepted, ..Past::default() };
        let pasts = vec![past; usize::from(messages)];
        Self { pasts, breach: None, raised: false, taken_over: false, followed: false }
    }

    /// A message was sent. It is stored, or another one stands for it, which is there or not.
    pub(crate) fn sent(&mut self, message: u8, sent: Sent, is_there: bool) {
        match sent {
            Sent::Stored { taken_over, follows } => {
                let past = self.past(message);
                (past.accepted, past.follows) = (true, follows);
                self.taken_over |= taken_over;
            }
            Sent::StoodFor(_) => self.expect(is_there, Breach::StoodFor),
        }
    }

    /// Redis loses a message.
    pub(crate) fn lost(&mut self, message: u8) {
        self.past(message).lost = true;
    }

    fn past(&mut self, message: u8) -> &mut Past {
        &mut self.pasts[usize::from(message)]
    }

    fn expect(&mut self, kept: bool, breach: Breach) {
        if !kept {
            self.breach.get_or_insert(breach);
        }
    }

    /// A message was let go: it is one of so many of its key in flight.
    pub(crate) fn granted(&mut self, granted: u8, limit: u8) {
        self.raised |= granted > 1;
        self.expect(granted <= limit, Breach::Limit);
    }

    /// The storage delivers a message.
    pub(crate) fn in_flight(&mut self, delivery: Delivery) {
        let past = self.past(delivery.id.message);
        let grows = delivery.token() > past.token;
        let (attempts, deaths) = (delivery.counters.attempt == past.failures, delivery.crashes() == past.deaths);
        past.token = past.token.max(delivery.token());
        self.expect(grows, Breach::Token);
        self.expect(attempts, Breach::Attempts);
        self.expect(deaths, Breach::Deaths);
    }

    /// A worker was declared dead that held a message, and had said that it was stopping or had not.
    pub(crate) fn recovered(&mut self, message: u8, was_stopping: bool) {
        let past = self.past(message);
        past.deaths += u8::from(!was_stopping);
        past.interrupted |= was_stopping;
    }

    /// A run begins.
    pub(crate) fn started(&mut self, protocol: &Protocol, delivery: Delivery) {
        let past = self.past(delivery.id.message);
        let bit = 1 << delivery.token();
        let again = past.started & bit != 0;
        // Who starts late an earlier delivery cannot know of the deaths since.
        let poison = delivery.token() == past.token && past.deaths >= protocol.max_crashes;
        past.started |= bit;
        let follows = past.follows;
        self.followed |= follows;
        self.expect(!again, Breach::Started);
        self.expect(!poison, Breach::Poison);
    }

    /// A success counted that came from a worker which no longer held the message.
    pub(crate) fn late_success(&mut self, message: u8) {
        self.past(message).late_success = true;
    }

    /// A failure came from a worker that no longer held the message.
    pub(crate) fn refused(&mut self, message: u8) {
        self.past(message).refused = true;
    }

    /// A run's work is done.
    pub(crate) fn done(&mut self, message: u8) {
        self.past(message).done = true;
    }

    /// What a lost answer had delivered arrives after all.
    pub(crate) fn found(&mut self, id: Id) {
        self.past(id.message).found = true;
    }

    /// A settlement other than a success counted.
    pub(crate) fn settled(&mut self, protocol: &Protocol, run: &Run, is_holder: bool) {
        let past = self.past(run.delivery.id.message);
        past.failures += u8::from(run.phase == Phase::Failed);
        let truly = match run.phase {
            Phase::Failed if protocol.is_last(run) => past.failures == protocol.max_retries + 1,
            Phase::Poisoned => past.deaths >= protocol.max_crashes,
            _ => true,
        };
        self.expect(is_holder, Breach::LateFailure);
        self.expect(truly, Breach::Reason);
    }
}
