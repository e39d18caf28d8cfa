//! The trace context that a message carries from its sender to its run.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing::Span;

use crate::causes::debug_as_shown;

/// A W3C `traceparent` of version 00 (<https://www.w3.org/TR/trace-context/>).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

impl TraceParent {
    /// A trace context of its parts. `None` where an id is zero, which the standard forbids.
    #[must_use]
    pub fn new(trace_id: u128, parent_id: u64, flags: u8) -> Option<Self> {
        (trace_id != 0 && parent_id != 0).then_some(Self { trace_id, parent_id, flags })
    }

    /// The whole trace's id.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The sending span's id.
    #[must_use]
    pub fn parent_id(&self) -> u64 {
        self.parent_id
    }

    /// The flags; the lowest bit says that the trace is sampled.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.flags
    }
}

/// A text that is not a `traceparent`.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent: expected `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`, with ids that are not zero")]
pub struct TraceParentError(());

debug_as_shown!(TraceParentError);

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let wrong = TraceParentError(());
        let mut parts = text.split('-');
        let mut part = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length)?;
            part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).then_some(part)
        };
        let [version, trace_id, parent_id, flags] =
            [part(2), part(32), part(16), part(2)].map(|part| part.ok_or(wrong));
        if version? != "00" || parts.next().is_some() {
            return Err(wrong);
        }
        let trace_id = u128::from_str_radix(trace_id?, 16).map_err(|_| wrong)?;
        let parent_id = u64::from_str_radix(parent_id?, 16).map_err(|_| wrong)?;
        let flags = u8::from_str_radix(flags?, 16).map_err(|_| wrong)?;
        Self::new(trace_id, parent_id, flags).ok_or(wrong)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Connects messages to the program's tracing system, such as OpenTelemetry.
///
/// `tracing` itself has no trace ids, so the library asks. Without a propagator, a message that an
/// actor sends carries on the trace of the message that the actor is running.
pub trait Propagator: Send + Sync + 'static {
    /// The trace context of what is running now, for a message that is being sent.
    fn current(&self) -> Option<TraceParent>;

    /// Makes `span`, the span of a run, a child of the sender's.
    fn restore(&self, span: &Span, sender: TraceParent);
}

static PROPAGATOR: OnceLock<Box<dyn Propagator>> = OnceLock::new();

/// Sets the program's propagator, once. Returns whether this call set it.
pub fn set_propagator(propagator: impl Propagator) -> bool {
    PROPAGATOR.set(Box::new(propagator)).is_ok()
}

tokio::task_local! {
    // The trace of the message that the current task runs.
    static RUNNING: Option<TraceParent>;
}

/// The trace context that a message sent now should carry.
pub(crate) fn current() -> Option<TraceParent> {
    match PROPAGATOR.get() {
        Some(propagator) => propagator.current(),
        None => RUNNING.try_with(|running| *running).ok().flatten(),
    }
}

/// Runs `run` so that what it sends carries on the trace of `sender`.
pub(crate) fn carrying<F: Future>(sender: Option<TraceParent>, run: F) -> impl Future<Output = F::Output> {
    RUNNING.scope(sender, run)
}

/// The same for a plain function.
pub(crate) fn carrying_sync<T>(sender: Option<TraceParent>, run: impl FnOnce() -> T) -> T {
    RUNNING.sync_scope(sender, run)
}

/// Makes the span of a run a child of its sender's, where the program can.
pub(crate) fn restore(span: &Span, sender: Option<TraceParent>) {
    if let (Some(propagator), Some(sender)) = (PROPAGATOR.get(), sender) {
        propagator.restore(span, sender);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_example_goes_through_and_its_counterexamples_do_not() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(text.parse::<TraceParent>().unwrap().to_string(), text);
        for wrong in [
            "",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
        ] {
            assert!(wrong.parse::<TraceParent>().is_err(), "{wrong:?} was taken for a traceparent");
        }
    }
}
