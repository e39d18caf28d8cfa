//! The rules of what follows from a run, each of which can be broken to see that the checker notices.

use super::promises;
use super::{Faults, Following};

/// A rule, broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// What follows is stored whether or not the settlement counts.
    FollowsUnasked,
    /// The other queue stores whatever a relay brings.
    ArrivesWithoutMemory,
    /// The other queue stores what a relay brings in one step, and notes it in another.
    NotesApart,
    /// A relay reads on from where it stopped, and not from the head.
    ReadsOn,
    /// An outbox that is emptied begins its numbers anew.
    ForgetsNumber,
    /// A relay removes what it has read before the other queue has it.
    RemovesFirst,
    /// After a refusal a relay goes on with what comes after it.
    PassesOver,
    /// Only the worker that settled relays.
    NobodyLooks,
    /// That an outbox is empty, and that it is no longer listed, are two steps.
    UnlistsApart,
}

impl Broken {
    /// Every rule that can be broken.
    pub const ALL: [Self; 9] = [
        Self::FollowsUnasked,
        Self::ArrivesWithoutMemory,
        Self::NotesApart,
        Self::ReadsOn,
        Self::ForgetsNumber,
        Self::RemovesFirst,
        Self::PassesOver,
        Self::NobodyLooks,
        Self::UnlistsApart,
    ];

    /// What is done wrong.
    pub fn text(self) -> &'static str {
        match self {
            Self::FollowsUnasked => "what follows is stored before it is known that the settlement counts",
            Self::ArrivesWithoutMemory => "a queue does not remember what arrived",
            Self::NotesApart => "a queue stores what arrives in one step, and remembers it in another",
            Self::ReadsOn => "a relay reads on from where it stopped, and not from the head",
            Self::ForgetsNumber => "an outbox that is emptied forgets the last number that it gave",
            Self::RemovesFirst => "a relay removes what it has read before it has arrived",
            Self::PassesOver => "a relay passes over what was refused",
            Self::NobodyLooks => "only the worker that settled relays",
            Self::UnlistsApart => "an outbox is found empty in one step, and forgotten in another",
        }
    }

    /// A promise that is broken with it.
    pub fn breaks(self) -> &'static str {
        match self {
            Self::FollowsUnasked => promises::ONLY_IF_COUNTED,
            Self::ArrivesWithoutMemory | Self::NotesApart => promises::ONCE,
            Self::ReadsOn | Self::ForgetsNumber | Self::RemovesFirst | Self::PassesOver => promises::KEPT,
            Self::NobodyLooks | Self::UnlistsApart => promises::AT_REST,
        }
    }

    /// The machine with this rule broken, and as little else as shows it.
    pub fn machine(self) -> Following {
        let none = Faults { crashes: 0, mistakes: 0, losses: 0, refusals: 0 };
        let (messages, follow, workers, faults) = match self {
            Self::FollowsUnasked => (1, 1, 2, Faults { mistakes: 1, ..none }),
            Self::ArrivesWithoutMemory | Self::NotesApart => (1, 1, 2, none),
            Self::RemovesFirst | Self::NobodyLooks => (1, 1, 2, Faults { crashes: 1, ..none }),
            Self::ReadsOn => (1, 2, 1, Faults { losses: 1, ..none }),
            Self::ForgetsNumber => (2, 1, 1, none),
            Self::PassesOver => (1, 2, 1, Faults { refusals: 1, ..none }),
            Self::UnlistsApart => (2, 1, 2, Faults { crashes: 1, ..none }),
        };
        let at_once = if self == Self::ReadsOn { 1 } else { 2 };
        Following { messages, follow, workers, max_retries: 0, at_once, faults, broken: Some(self) }
    }
}
