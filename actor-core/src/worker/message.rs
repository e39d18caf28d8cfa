//! A delivery's message, decoded, and the form in which it goes back to the storage.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::outcome::Policy;
use crate::QueueName;
use crate::actor::{ImplementationDef, Options};
use crate::context::Stop;
use crate::delivery::{Delivery, Receipt};
use crate::settlement::{Outcome, Settlement};
use crate::wire::{self, Change, Envelope, Parked, Undecodable};

/// A delivery's message, decoded, with what the delivery adds to it.
pub(super) struct Message<'a> {
    pub(super) envelope: Envelope<'a>,
    pub(super) body: &'a Bytes,
    pub(super) receipt: &'a Receipt,
    /// How many deliveries ended with their worker's death, over all its stored copies.
    pub(super) crashes: u32,
    /// Whether the broker delivered it as one that was cancelled.
    cancelled: bool,
    /// Which delivery of the message this is, over all its stored copies.
    pub(super) token: u64,
    /// When this worker took it up.
    pub(super) began: Instant,
}

impl<'a> Message<'a> {
    pub(super) fn decode(delivery: &'a Delivery) -> Result<Self, Undecodable> {
        let began = Instant::now();
        let envelope = Envelope::decode(&delivery.body)?;
        let before = u64::from(delivery.crashes).saturating_add(delivery.interruptions.into());
        let token = envelope.deliveries.saturating_add(before).saturating_add(1);
        let crashes = envelope.crashes.saturating_add(delivery.crashes);
        let Delivery { receipt, body, cancelled, .. } = delivery;
        Ok(Self { envelope, body, receipt, crashes, cancelled: *cancelled, token, began })
    }

    /// Whether it is known here that it was cancelled.
    pub(super) fn is_cancelled(&self, queue: &QueueName, stop: &Stop) -> bool {
        self.cancelled || stop.cancelled.contains(queue, self.envelope.id)
    }

    /// Which attempt a run of it is: 1 for the first.
    pub(super) fn attempt(&self) -> u32 {
        self.envelope.attempt.saturating_add(1)
    }

    /// The message for its next delivery, after an attempt that ended with `error`, or after none; and why it waits
    /// for another worker, where it does.
    pub(super) fn rewritten(&self, error: Option<&str>, parked: Option<Parked<'_>>) -> Bytes {
        let attempt = self.envelope.attempt.saturating_add(u32::from(error.is_some()));
        wire::rewrite(
            self.body,
            &Change { attempt, crashes: self.crashes, deliveries: self.token, last_error: error, parked },
        )
    }

    /// When a worker first left it to others, if not `now`.
    pub(super) fn parked_since(&self, now: &dyn Fn() -> SystemTime) -> SystemTime {
        self.envelope.parked.as_ref().map_or_else(now, |parked| wire::to_time(parked.since))
    }

    /// What decides on its retries: its own options, else those of its actor.
    pub(super) fn policy(
        &self,
        implementation: Option<&'static ImplementationDef>,
        now: &dyn Fn() -> SystemTime,
        park_timeout: Duration,
    ) -> Policy {
        let options = implementation.map_or(Options::DEFAULT, |found| found.actor.options);
        let (min_backoff, max_backoff) = match self.envelope.backoff {
            Some(backoff) => (Duration::from_millis(backoff.min_ms), Duration::from_millis(backoff.max_ms)),
            None => (options.min_backoff, options.max_backoff),
        };
        let parked_for = match &self.envelope.parked {
            Some(parked) => now().duration_since(wire::to_time(parked.since)).unwrap_or_default(),
            None => Duration::ZERO,
        };
        Policy {
            max_retries: self.max_retries(&options),
            attempts: self.envelope.attempt,
            crashes: self.crashes,
            deliveries: self.token,
            min_backoff,
            max_backoff,
            park_left: park_timeout.saturating_sub(parked_for),
            cancelled: false,
        }
    }

    /// How often it may be tried again.
    pub(super) fn max_retries(&self, options: &Options) -> u32 {
        self.envelope.max_retries.unwrap_or(options.max_retries)
    }

    /// Whether it is tried again if this attempt fails.
    pub(super) fn may_retry(&self, implementation: &ImplementationDef) -> bool {
        self.envelope.attempt < self.max_retries(&implementation.actor.options)
    }

    pub(super) fn time_limit(&self, implementation: &ImplementationDef) -> Option<Duration> {
        match self.envelope.time_limit_ms {
            Some(0) => None,
            Some(ms) => Some(Duration::from_millis(ms)),
            None => implementation.actor.options.time_limit,
        }
    }
}

/// The settlement that releases a message which has not started.
pub(super) fn release(delivery: &Delivery) -> Settlement {
    let body = match Message::decode(delivery) {
        Ok(message) => message.rewritten(None, message.envelope.parked.clone()),
        Err(_) => delivery.body.clone(),
    };
    Outcome::Release { body }.into()
}
