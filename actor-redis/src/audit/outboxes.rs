//! Outboxes: each that holds messages is listed, so that somebody brings them to where they belong.

use actor_core::QueueName;

use super::Auditor;
use crate::error::RequestError;
use crate::link::Route;
use crate::queue::Queue;
use crate::request::Request;
use crate::script;

/// How many queues one script looks for.
const AT_ONCE: usize = 500;

/// The queues of `known` for which messages wait in an outbox of `queue` that is not listed. They are listed again where
/// `repairs`.
pub(super) async fn forgotten(
    connections: Route<'_>,
    queue: &Queue,
    known: &[QueueName],
    repairs: bool,
) -> Result<Vec<String>, RequestError> {
    let mut forgotten = Vec::new();
    for part in known.chunks(AT_ONCE) {
        let call = script::audit_outboxes(&queue.keys, part, repairs);
        let found: Vec<String> = connections.run(Request::calling("inspect", call)).await?;
        forgotten.extend(found);
    }
    Ok(forgotten)
}

impl Auditor<'_> {
    pub(super) async fn outboxes(&mut self, known: &[QueueName]) -> Result<(), RequestError> {
        let found = forgotten(self.connections, self.queue, known, false).await?;
        let remedy = "it was deleted by hand: `RedisBroker::repair` puts it back";
        let key = self.queue.keys.outboxes.clone();
        self.violations(&key, &found, "is a queue for which messages wait, and is not listed here", remedy);
        Ok(())
    }
}
