//! What a person asks for once an audit has named it: indexes that lost what still has a body.

use actor_core::{BrokerError, Inspect, QueueName};

use super::lanes::LANES;
use super::outboxes::forgotten;
use crate::broker::RedisBroker;
use crate::connection::ANSWER;
use crate::request::Request;
use crate::script::{self, Indexed, Recount};

/// What a repair put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// Scheduled messages, which are due at once.
    pub scheduled: u64,
    /// Dead letters, which are listed as dead-lettered now.
    pub dead: u64,
    /// Lanes whose messages or slots are counted again.
    pub lanes: u64,
    /// Unique keys whose messages are nowhere, which are free now.
    pub unique: u64,
    /// Outboxes that nobody looked at.
    pub outboxes: u64,
}

impl RedisBroker {
    /// Rebuilds a queue's indexes from what they are of: the times of scheduled messages and of dead letters, what is
    /// counted of lanes and of their limits, and the queue's place among those that are listed. What has its place keeps
    /// it. Frees unique keys whose messages are nowhere, and has outboxes looked at again.
    ///
    /// Workers repair everything that Redis can lose by itself. This is for indexes that somebody deleted, which an
    /// [audit](Self::audit) reports. It reads a hundred messages at a time, and may be run on a queue in full use.
    ///
    /// # Errors
    ///
    /// Redis could not be reached, or refused. Repairing may be tried again at any time.
    ///
    /// # Cancel safety
    ///
    /// What was put back stays so; a further call puts back the rest.
    pub async fn repair(&self, queue: &QueueName) -> Result<Repair, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let (commands, queues) = (&self.inner().commands, &self.inner().queues);
        let connections = commands.to(&queue);
        let mut restored = [0, 0];
        for (restored, indexed) in restored.iter_mut().zip([Indexed::Scheduled, Indexed::Dead]) {
            let mut cursor = "0".to_owned();
            while !cursor.is_empty() {
                let page =
                    connections.run(Request::calling("inspect", script::repair(&queue.keys, indexed, &cursor))).await?;
                let (next, count): (_, u64) = page;
                (cursor, *restored) = (next, *restored + count);
            }
        }
        let recount = script::recount(&queue.keys, Recount::All { repairs: true });
        let (_, _, differences): script::Recounted = connections.run(Request::calling("inspect", recount)).await?;
        let mut lanes = differences.len() as u64;
        for which in LANES {
            let mut from = String::new();
            loop {
                let audit = script::audit_lanes(&queue.keys, which, &from, true);
                let (next, _, [miscounted, forgotten]): (String, u64, [Vec<String>; 2]) =
                    connections.run(Request::calling("inspect", audit)).await?;
                lanes += (miscounted.len() + forgotten.len()) as u64;
                if next.is_empty() {
                    break;
                }
                from = next;
            }
        }
        let (mut cursor, mut unique) = ("0".to_owned(), 0);
        while !cursor.is_empty() {
            let page =
                connections.run(Request::calling("inspect", script::repair_unique(&queue.keys, &cursor))).await?;
            let (next, count): (_, u64) = page;
            (cursor, unique) = (next, unique + count);
        }
        let outboxes = forgotten(connections, &queue, &self.queues().await?, true).await?.len() as u64;
        commands.to_set(queues).command(&queue.announcement(queues.namespace()), ANSWER).await?;
        let [scheduled, dead] = restored;
        Ok(Repair { scheduled, dead, lanes, unique, outboxes })
    }
}
