//! Changing and reading the limits of a queue while it runs.

use std::num::NonZeroU32;

use actor_core::control::{LaneListing, LimitControl, LimitOf, QueueLimits};
use actor_core::inspect::{Cursor, Page};
use actor_core::{BrokerError, Key, Limit, QueueName};
use async_trait::async_trait;

use super::list::LONGEST_PAGE;
use crate::broker::RedisBroker;
use crate::error::RequestError;
use crate::script::{self, Call, SurveyAt, Surveyed};

#[async_trait]
impl LimitControl for RedisBroker {
    async fn set_limit(&self, queue: &QueueName, of: &LimitOf, limit: Option<Limit>) -> Result<(), BrokerError> {
        let keys = &self.inner().queues.get(queue).keys;
        let call = match of {
            LimitOf::Queue => script::set_limit(keys, false, limit),
            LimitOf::EachKey => script::set_limit(keys, true, limit),
            LimitOf::Key(key) => script::set_limit_of_key(keys, key.as_str(), limit),
            _ => return Err(RequestError::Unsupported("this kind of limit").into()),
        };
        self.change_limits(queue, call).await
    }

    async fn set_weight(&self, queue: &QueueName, key: &Key, weight: Option<NonZeroU32>) -> Result<(), BrokerError> {
        let call = script::set_weight(&self.inner().queues.get(queue).keys, key.as_str(), weight);
        self.change_limits(queue, call).await
    }

    async fn pause_lane(&self, queue: &QueueName, key: &Key) -> Result<(), BrokerError> {
        let call = script::pause_lane(&self.inner().queues.get(queue).keys, key.as_str(), true);
        self.change_limits(queue, call).await
    }

    async fn resume_lane(&self, queue: &QueueName, key: &Key) -> Result<(), BrokerError> {
        let call = script::pause_lane(&self.inner().queues.get(queue).keys, key.as_str(), false);
        self.change_limits(queue, call).await
    }

    async fn limits(&self, queue: &QueueName) -> Result<QueueLimits, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let limits = script::limits(&self.to(&queue).ask::<Vec<_>>(&script::read_limits(&queue.keys)).await?);
        self.known(&queue, limits != QueueLimits::default()).await?;
        Ok(limits)
    }

    async fn lanes(&self, queue: &QueueName, page: Page) -> Result<LaneListing, BrokerError> {
        let queue = self.inner().queues.get(queue);
        let limit = page.limit.clamp(1, LONGEST_PAGE);
        let mut at = match &page.after {
            None => ["waiting".to_owned(), "0".to_owned(), String::new()],
            Some(after) => read_cursor(after).ok_or(RequestError::Unsupported("this cursor"))?,
        };
        let mut lanes = Vec::new();
        while lanes.len() < limit {
            let survey = script::survey_lanes(&queue.keys, &at, limit - lanes.len());
            let (next, found): (SurveyAt, Vec<Surveyed>) = self.at(&queue).run(survey).await?;
            lanes.extend(found.into_iter().filter_map(script::lane));
            at = next;
            if at[0].is_empty() {
                self.known(&queue, !lanes.is_empty()).await?;
                return Ok(LaneListing::new(lanes, None));
            }
        }
        let [stage, cursor, after] = at;
        Ok(LaneListing::new(lanes, Some(Cursor::new(format!("{stage} {cursor} {after}")))))
    }
}

fn read_cursor(cursor: &Cursor) -> Option<SurveyAt> {
    let mut parts = cursor.as_str().splitn(3, ' ').map(str::to_owned);
    let at = [parts.next()?, parts.next()?, parts.next()?];
    let is_known = ["waiting", "running", "limits", "paused"].contains(&&*at[0]) && at[1].parse::<u64>().is_ok();
    is_known.then_some(at)
}

impl RedisBroker {
    async fn change_limits(&self, queue: &QueueName, call: Call) -> Result<(), BrokerError> {
        let queue = self.inner().queues.get(queue);
        let has_lanes: bool = self.at(&queue).run(call).await?;
        self.known(&queue, has_lanes).await?;
        if has_lanes { Ok(()) } else { Err(BrokerError::without_lanes(&queue.name)) }
    }
}
