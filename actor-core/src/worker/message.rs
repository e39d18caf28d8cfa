//! A delivery's message, decoded, and the form in which it goes back to the storage.

use std::time::Duration;

use bytes::Bytes;

use super::outcome::Policy;
use crate::actor::{ImplementationDef, Options};
use crate::delivery::Delivery;
use crate::settlement::{Outcome, Settlement};
use crate::wire::{self, Change, Envelope, Undecodable};

/// A delivery's message, decoded, with what the delivery adds to it.
pub(super) struct Message<'a> {
    pub(super) envelope: Envelope<'a>,
    pub(super) body: &'a Bytes,
    /// How many deliveries ended with their worker's death, over all its stored copies.
    pub(super) crashes: u32,
    /// Which delivery of the message this is, over all its stored copies.
    pub(super) token: u64,
}

impl<'a> Message<'a> {
    pub(super) fn decode(delivery: &'a Delivery) -> Result<Self, Undecodable> {
        let envelope = Envelope::decode(&delivery.body)?;
        let before = u64::from(delivery.crashes).saturating_add(delivery.interruptions.into());
        let token = envelope.deliveries.saturating_add(before).saturating_add(1);
        let crashes = envelope.crashes.saturating_add(delivery.crashes);
        Ok(Self { envelope, body: &delivery.body, crashes, token })
    }

    /// Which attempt a run of it is: 1 for the first.
    pub(super) fn attempt(&self) -> u32 {
        self.envelope.attempt.saturating_add(1)
    }

    /// The message for its next delivery, after an attempt that ended with `error`, or after none.
    pub(super) fn rewritten(&self, error: Option<&str>) -> Bytes {
        let attempt = self.envelope.attempt.saturating_add(u32::from(error.is_some()));
        let change = Change { attempt, crashes: self.crashes, deliveries: self.token, last_error: error };
        wire::rewrite(self.body, &change)
    }

    /// What decides on its retries: its own options, else those of its actor.
    pub(super) fn policy(&self, implementation: Option<&'static ImplementationDef>) -> Policy {
        let options = implementation.map_or(Options::DEFAULT, |found| found.actor.options);
        let (min_backoff, max_backoff) = match self.envelope.backoff {
            Some(backoff) => (Duration::from_millis(backoff.min_ms), Duration::from_millis(backoff.max_ms)),
            None => (options.min_backoff, options.max_backoff),
        };
        Policy {
            max_retries: self.envelope.max_retries.unwrap_or(options.max_retries),
            attempts: self.envelope.attempt,
            crashes: self.crashes,
            deliveries: self.token,
            min_backoff,
            max_backoff,
        }
    }

    /// How often it may be tried again.
    pub(super) fn max_retries(&self, implementation: &ImplementationDef) -> u32 {
        self.envelope.max_retries.unwrap_or(implementation.actor.options.max_retries)
    }

    /// How long a run of it may take.
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
    let body = Message::decode(delivery).map_or_else(|_| delivery.body.clone(), |message| message.rewritten(None));
    Outcome::Release { body }.into()
}
