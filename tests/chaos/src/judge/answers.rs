//! Producers get answers, also on idle connections.

use super::{Evidence, Finding, Message, Sent, describe};
use crate::clock::SECOND;

/// How long a send may take without faults: enough to detect a dropped connection and open another.
const SOON: u64 = 4 * SECOND;

/// The answered sends without faults. A dropped connection is no fault.
fn undisturbed(evidence: &Evidence) -> impl Iterator<Item = (actor_core::MessageId, &Message)> {
    let answered = evidence.messages.iter().filter(|(_, message)| message.answered > 0);
    let clear = |message: &Message| evidence.disrupted_between(message.invoked, message.answered + 1) == 0;
    answered.filter(move |(_, message)| clear(message)).map(|(id, message)| (*id, message))
}

/// Not checked where producers report unknown until a replica confirms.
pub(super) fn none_is_unknown(evidence: &Evidence, waits: bool) -> Finding {
    let mut finding = Finding::new(super::ANSWERED);
    for (id, message) in undisturbed(evidence).filter(|_| !waits) {
        finding.ask(message.sent != Sent::Unknown, || {
            format!("unknown after {} ms: {}", (message.answered - message.invoked) / 1_000, describe(evidence, id))
        });
    }
    finding
}

pub(super) fn none_is_late(evidence: &Evidence, waits: bool) -> Finding {
    let mut finding = Finding::new(super::PROMPT);
    for (id, message) in undisturbed(evidence).filter(|_| !waits) {
        let took = message.answered.saturating_sub(message.invoked);
        finding.ask(took <= SOON, || format!("after {} ms: {}", took / 1_000, describe(evidence, id)));
    }
    finding
}
