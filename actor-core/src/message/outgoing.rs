//! A call of any actor, and how it becomes what a broker stores.

use std::borrow::Cow;

use super::{MessageId, Outgoing, Priority, When};
use crate::actor::ActorDef;
use crate::args::ArgWriter;
use crate::broker::{Broker, Enqueue};
use crate::headers::Headers;
use crate::send::SendError;
use crate::unique::Digest;
use crate::wire::{self, Backoff, Envelope, Held};
use crate::{Idempotency, Key, Lane, Unique, Uniqueness, on_send, trace};

impl Outgoing {
    pub(crate) fn new(def: &'static ActorDef, mut args: ArgWriter) -> Self {
        Self {
            id: MessageId::new(),
            def,
            key: args.key.take(),
            cost: args.cost.take(),
            unique: args.unique.take(),
            idempotency: None,
            args,
            when: When::Now,
            expires_in: None,
            priority: None,
            max_retries: None,
            min_backoff: None,
            max_backoff: None,
            time_limit: None,
            trace: None,
            headers: Headers::default(),
            durability: None,
        }
    }

    /// Encodes the message for `broker`, whose clock and limit it obeys.
    pub(crate) fn encode(mut self, broker: &dyn Broker) -> Result<Enqueue, SendError> {
        on_send::apply(&mut self)?;
        let options = &self.def.options;
        let now = broker.now();
        let delay = self.when.delay(now);
        let backoff = (self.min_backoff.is_some() || self.max_backoff.is_some()).then(|| Backoff {
            min_ms: wire::duration_ms(self.min_backoff.unwrap_or(options.min_backoff)),
            max_ms: wire::duration_ms(self.max_backoff.unwrap_or(options.max_backoff)),
        });
        let expires_at =
            self.expires_in.or(options.max_age).map(|age| wire::to_ms(now).saturating_add(wire::duration_ms(age)));
        let priority = self.priority.unwrap_or(options.priority);
        let key = self.key.map(Key::new).transpose().map_err(SendError::key)?;
        // The broker of a queue without limits knows no key: there it only names what belongs together.
        let is_gated = self.def.queue.limits().is_gated();
        let lane = is_gated.then(|| Lane::new(key.clone().unwrap_or_default()).cost(self.cost.unwrap_or(1)));
        let args = self.args.finish().map_err(SendError::argument)?;
        let unique = unique(self.def, self.unique, &args);
        let held = unique.as_deref().and_then(Held::of);
        let body = Envelope {
            v: if lane.is_some() || held.is_some() { wire::HOLDING } else { wire::PLAIN },
            id: self.id,
            actor: Cow::Borrowed(self.def.name),
            queue: Cow::Borrowed(self.def.queue.name()),
            args: &args,
            sig: Some(self.def.fingerprint),
            attempt: 0,
            crashes: 0,
            deliveries: 0,
            sent_at: wire::to_ms(now),
            max_retries: self.max_retries,
            backoff,
            // Zero stands for no limit, so that a limit has at least one.
            time_limit_ms: self.time_limit.map(|limit| limit.map_or(0, |limit| wire::duration_ms(limit).max(1))),
            expires_at,
            priority: (priority != Priority::Normal).then_some(priority),
            key: key.as_ref().map(|key| Cow::Borrowed(key.as_str())),
            cost: lane.as_ref().map(|lane| lane.cost),
            unique: held,
            trace: self.trace.or_else(trace::current),
            headers: self.headers,
            last_error: None,
            parked: None,
            tick: None,
        }
        .encode();
        let limit = broker.max_message_bytes();
        if body.len() > limit {
            return Err(SendError::too_large(body.len(), limit));
        }
        let (durability, idempotency) = (self.durability, self.idempotency);
        Ok(Enqueue { durability, lane, unique, idempotency, ..Enqueue::new(self.id, priority, body).after(delay) })
    }

    /// Makes sending it safe to repeat, with this text.
    pub(super) fn idempotent(&mut self, text: &str) -> &mut Idempotency {
        let key = Digest::of_text(text).key(self.def.name);
        self.idempotency.insert(Box::new(Idempotency::new(key)))
    }
}

/// The key that a message takes, where it is unique: by all of its arguments, if by nothing else.
fn unique(def: &ActorDef, by: Option<Digest>, args: &str) -> Option<Box<Unique>> {
    // What has a text of its own and no option of its actor's is unique by default.
    let uniqueness = def.options.unique.or_else(|| by.map(|_| Uniqueness::default()))?;
    let by = by.unwrap_or_else(|| Digest::of_json(args));
    Some(Box::new(Unique::new(by.key(def.name), uniqueness)))
}
