//! What claims do about messages that wait in lanes: they declare the limits, have slots counted again, and learn when
//! more may go.

use std::time::{Duration, Instant};

use super::QueueConsumer;
use super::state::{CHECK_AGAIN, Reading};
use crate::error::RequestError;
use crate::link::Route;
use crate::queue::Queue;
use crate::request::{Answer, Request};
use crate::script::{self, Recount};

/// How often slots are counted again at most.
const RECOUNT_EVERY: Duration = Duration::from_secs(60);

impl QueueConsumer {
    /// Has Redis keep what the worker's program declares of the queue's limits, once for each session.
    pub(super) async fn declare(&self, commands: Route<'_>, reading: &mut Reading) -> Result<(), RequestError> {
        if !self.consumer.limits.is_gated() || reading.is_declared {
            return Ok(());
        }
        let declare = script::declare_limits(&self.queue.keys, &self.consumer.limits);
        let _: u64 = commands.run(Request::calling("limits", declare)).await?;
        self.queue.set_gated();
        reading.is_declared = true;
        Ok(())
    }

    /// Has Redis count the slots that messages hold, one worker of the queue each time. They are counted as they are taken
    /// and freed; what somebody changed by hand would be wrong for ever.
    pub(super) async fn recount(&self, commands: Route<'_>, reading: &mut Reading) {
        reading.recount_at = Instant::now() + RECOUNT_EVERY;
        let recount = script::recount(&self.queue.keys, Recount::Now);
        let recounted: Result<script::Recounted, _> = commands.run(Request::calling("recount", recount)).await;
        // What fails is done by the next one.
        if let Ok((_, _, differences)) = recounted
            && !differences.is_empty()
        {
            let lanes = differences.len();
            tracing::warn!(queue = %self.queue.name, lanes, "slots counted again: other slots were taken than messages hold");
        }
    }
}

impl Reading {
    /// Takes note of when to grant again.
    pub(super) fn learn_of_lanes(&mut self, queue: &Queue, granted: Answer) {
        let granted = match granted {
            Ok(answer) => script::granted(&answer),
            // What the read has delivered must not be lost for it.
            Err(error) => {
                tracing::warn!(queue = %queue.name, %error, "waiting messages could not be let go");
                None
            }
        };
        self.is_unread = granted.is_some_and(|granted| granted.count > 0);
        let after = match granted {
            Some(granted) => granted.next,
            None => Some(CHECK_AGAIN),
        };
        self.must_grant = false;
        if let Some(at) = after.map(|after| Instant::now() + after)
            && at < self.check_at
        {
            (self.check_at, self.due) = (at, true);
        }
    }
}
