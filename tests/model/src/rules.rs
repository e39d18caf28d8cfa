//! The rules of the protocol, each of which can be broken to see that the checker notices.

use crate::promises;
use crate::protocol::{Faults, Protocol};
use crate::unique::OnConflict;

/// A rule of the protocol, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// A failure is settled by whoever reports it, also by a worker that no longer holds the message.
    SettlesWithoutOwner,
    /// A message is acknowledged when it arrives, before the work.
    AcknowledgesFirst,
    /// A success is acknowledged before the entry is deleted.
    DeletesLast,
    /// Recovery looks for the dead in the index of workers, and not in the consumer group.
    TrustsIndex,
    /// Recovery takes what a dead worker held, and leaves its lease as it is.
    DeclaresNobody,
    /// A worker whose own lease has ended recovers from others.
    DeadTakeOver,
    /// After an answer was lost nobody looks for what it delivered.
    ForgetsLostAnswers,
    /// Who looks for what lost answers delivered asks what it still holds only after the storage has answered.
    ComparesTooLate,
    /// A death counts as an attempt.
    CrashSpendsRetry,
    /// A copy that is stored again does not say how often its message was delivered before.
    TokensBeginAnew,
    /// A stored copy does not say how many workers died with its message.
    ForgetsCrashes,
    /// Who declares a worker dead leaves no mark of it, so that its next renewal makes its lease again.
    DeclaresUnmarked,
    /// The death of a worker that was stopping counts as a crash.
    StoppingCrashes,
    /// What a stopping worker held is delivered again as the same delivery.
    InterruptionKeepsToken,
    /// A settlement frees a slot also where another settled the message before, or holds it now.
    FreesStale,
    /// Recovery frees the slot of what it takes.
    RecoveryFrees,
    /// A dead letter keeps its slot.
    DeadLetterKeepsSlot,
    /// A settlement that changes nothing releases the unique key.
    ReleasesAnothersKey,
    /// The unique key of a message that is nowhere keeps others out.
    KeyOutlivesMessage,
    /// A script that stores a message again does not note where the holder of the unique key is now.
    ForgetsWhereHolderIs,
}

impl Broken {
    /// Every rule that can be broken.
    pub const ALL: [Self; 20] = [
        Self::SettlesWithoutOwner,
        Self::AcknowledgesFirst,
        Self::DeletesLast,
        Self::TrustsIndex,
        Self::DeclaresNobody,
        Self::DeadTakeOver,
        Self::ForgetsLostAnswers,
        Self::ComparesTooLate,
        Self::CrashSpendsRetry,
        Self::TokensBeginAnew,
        Self::ForgetsCrashes,
        Self::DeclaresUnmarked,
        Self::StoppingCrashes,
        Self::InterruptionKeepsToken,
        Self::FreesStale,
        Self::RecoveryFrees,
        Self::DeadLetterKeepsSlot,
        Self::ReleasesAnothersKey,
        Self::KeyOutlivesMessage,
        Self::ForgetsWhereHolderIs,
    ];

    /// What is done wrong.
    pub fn text(self) -> &'static str {
        match self {
            Self::SettlesWithoutOwner => "a failure is settled without asking who holds the message",
            Self::AcknowledgesFirst => "a message is acknowledged when it arrives, before the work",
            Self::DeletesLast => "a success is acknowledged before its entry is deleted",
            Self::TrustsIndex => "recovery trusts the index of workers instead of the consumer group",
            Self::DeclaresNobody => "recovery takes what a dead worker held, and leaves its lease as it is",
            Self::DeadTakeOver => "a worker whose own lease has ended recovers from others",
            Self::ForgetsLostAnswers => "nobody looks for what lost answers delivered",
            Self::ComparesTooLate => "what is held is asked for after what is in flight",
            Self::CrashSpendsRetry => "a death counts as an attempt",
            Self::TokensBeginAnew => "a message that is stored again forgets how often it was in flight",
            Self::ForgetsCrashes => "a message that is stored again forgets how many workers died with it",
            Self::DeclaresUnmarked => "a worker is declared dead without a mark that its next renewal finds",
            Self::StoppingCrashes => "the death of a worker that was stopping counts as a crash",
            Self::InterruptionKeepsToken => "what a stopping worker held is delivered again with the same token",
            Self::FreesStale => "a settlement that changes nothing frees a slot",
            Self::RecoveryFrees => "recovery frees the slot of what it takes",
            Self::DeadLetterKeepsSlot => "a dead letter keeps its slot",
            Self::ReleasesAnothersKey => "a unique key is released by another's settlement",
            Self::KeyOutlivesMessage => "the unique key of a message that is nowhere keeps others out",
            Self::ForgetsWhereHolderIs => "who stores a message again does not note where it is now",
        }
    }

    /// A promise that is broken with it.
    pub fn breaks(self) -> &'static str {
        match self {
            Self::SettlesWithoutOwner => promises::ENDS_ONCE,
            Self::AcknowledgesFirst => promises::ONE_PLACE,
            Self::DeletesLast | Self::TrustsIndex | Self::ForgetsLostAnswers | Self::DeadLetterKeepsSlot => {
                promises::AT_REST
            }
            Self::DeclaresNobody | Self::DeclaresUnmarked => promises::ONE_LEASE,
            Self::DeadTakeOver | Self::TokensBeginAnew | Self::InterruptionKeepsToken => promises::TOKENS_GROW,
            Self::ComparesTooLate => promises::ONE_RUN,
            Self::CrashSpendsRetry => promises::NO_RETRY_SPENT,
            Self::ForgetsCrashes | Self::StoppingCrashes => promises::DEATHS,
            Self::FreesStale | Self::RecoveryFrees => promises::LIMIT,
            Self::ReleasesAnothersKey | Self::ForgetsWhereHolderIs => promises::UNIQUE,
            Self::KeyOutlivesMessage => promises::STOOD_FOR,
        }
    }

    /// The protocol with this rule broken, and as little else as shows it.
    pub fn protocol(self) -> Protocol {
        let is_of_limits = matches!(self, Self::FreesStale | Self::RecoveryFrees | Self::DeadLetterKeepsSlot);
        let is_of_keys =
            matches!(self, Self::ReleasesAnothersKey | Self::KeyOutlivesMessage | Self::ForgetsWhereHolderIs);
        let is_of_many = is_of_limits || is_of_keys;
        let messages = if is_of_many || self == Self::ComparesTooLate { 2 } else { 1 };
        let stops = u8::from(matches!(self, Self::StoppingCrashes | Self::InterruptionKeepsToken));
        let none = Faults::default();
        let faults = match self {
            Self::KeyOutlivesMessage => Faults { erasures: 1, ..none },
            _ if is_of_many => Faults { absences: 1, ..none },
            _ => Faults { crashes: 1, absences: 1, losses: 1 - stops, stops, ..none },
        };
        Protocol {
            messages,
            keys: u8::from(is_of_limits),
            unique: is_of_keys.then_some(OnConflict::Keep),
            workers: 2,
            max_retries: u8::from(!is_of_limits),
            max_crashes: 2,
            faults,
            broken: Some(self),
        }
    }
}
