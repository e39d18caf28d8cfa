//! What a fault makes true that a rule forbids: the rules that it excuses, and why.

use crate::judge;

/// What is excused where the holders of messages are forgotten.
pub(crate) const UNKNOWN_HOLDERS: &[(&str, &str)] = &[
    (judge::EXCLUSION, "the holder was deleted: the message is delivered again while it may still run"),
    (judge::TOKENS, "the delivery count was deleted"),
    (judge::BOUNDED, "the delivery count was deleted"),
    (judge::ATTEMPTS, "a failure of a deleted holder changes nothing"),
    (judge::REASONS, "a run that the ledger fences off spends a retry"),
];

/// What a dead master had not replicated is lost: that a message was in flight, settled or retried. Lost acknowledged
/// messages are counted separately; they are excused only if sent while the replica was disconnected.
pub(crate) const FAILED_OVER: &[(&str, &str)] = &[
    (judge::EXCLUSION, "the delivery was lost with the master: the message is delivered again while it still runs"),
    (judge::TOKENS, "the delivery count was lost with the master"),
    (judge::BOUNDED, "the settlement was lost with the master"),
    (judge::ATTEMPTS, "the attempt was lost with the master"),
    (judge::REASONS, "a run that the ledger fences off spends a retry"),
];
