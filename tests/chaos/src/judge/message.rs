//! A message, as its producer and its workers saw it.

use crate::history::{How, Lane};

/// What a producer knows of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Acknowledged,
    Refused,
    /// The broker could not say, or the producer died first.
    Unknown,
    /// It is sent by a run that counts.
    Follows,
}

/// A message, as its producer and its workers saw it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) actor: String,
    pub(crate) invoked: u64,
    pub(crate) delay_ms: u64,
    /// Where it waits for limits.
    pub(crate) lane: Option<Lane>,
    pub(crate) sent: Sent,
    /// When the producer learned the outcome.
    pub(crate) answered: u64,
    /// In the order of their start.
    pub(crate) runs: Vec<Run>,
    /// What it is unique by; empty for nothing.
    pub(crate) key: String,
    /// Its idempotency key.
    pub(crate) once: Option<String>,
    /// When its sender heard that another one had its place.
    pub(crate) displaced: Option<u64>,
    /// The tokens of granted effects.
    pub(crate) commits: Vec<u64>,
}

/// A run, as its worker saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) process: usize,
    pub(crate) start: u64,
    /// `None` if the process died first.
    pub(crate) end: Option<(u64, How)>,
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) token: u64,
}

/// A delivery, as its worker saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivered {
    pub(crate) process: usize,
    pub(crate) at: u64,
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) token: u64,
}

/// A settlement other than as done.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) process: usize,
    pub(crate) at: u64,
    pub(crate) token: u64,
    /// The number of attempts counted from here on.
    pub(crate) spent: u32,
    pub(crate) error: Option<String>,
}
