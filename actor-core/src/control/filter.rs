//! Which messages a change is for.

use std::time::SystemTime;

use crate::inspect::State;
use crate::wire::{self, Envelope};

/// Which messages a change is for: those that match all that is set here. An empty filter matches every message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a filter does nothing until it is given to a change"]
pub struct Filter {
    actor: Option<String>,
    key: Option<String>,
    headers: Vec<(String, String)>,
    sent_from: Option<SystemTime>,
    sent_before: Option<SystemTime>,
    state: Option<State>,
}

impl Filter {
    /// A filter that matches every message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only messages to the actor of this name.
    pub fn actor(self, name: impl Into<String>) -> Self {
        Self { actor: Some(name.into()), ..self }
    }

    /// Only messages with this key: the text in the member `key` of their JSON.
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// Only messages with this header. May be called for several headers.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Only messages that were sent at this time or later, by the broker's clock.
    pub fn sent_from(self, time: SystemTime) -> Self {
        Self { sent_from: Some(time), ..self }
    }

    /// Only messages that were sent before this time, by the broker's clock.
    pub fn sent_before(self, time: SystemTime) -> Self {
        Self { sent_before: Some(time), ..self }
    }

    /// Only messages in this state. Default: every state that the change applies to.
    pub fn state(self, state: State) -> Self {
        Self { state: Some(state), ..self }
    }

    /// The state that messages must be in; `None` for any.
    #[must_use]
    pub fn only_state(&self) -> Option<State> {
        self.state
    }

    /// Whether a message of this body matches, whatever its state. What cannot be decoded matches only a filter that
    /// asks for nothing but a state.
    #[must_use]
    pub fn matches(&self, body: &[u8]) -> bool {
        if (Self { state: None, ..self.clone() }) == Self::default() {
            return true;
        }
        let Ok(envelope) = Envelope::decode(body) else { return false };
        let sent_at = wire::to_time(envelope.sent_at);
        self.actor.as_ref().is_none_or(|actor| *actor == envelope.actor)
            && self.sent_from.is_none_or(|from| from <= sent_at)
            && self.sent_before.is_none_or(|before| sent_at < before)
            && self.headers.iter().all(|(name, value)| envelope.headers.get(name) == Some(value))
            && (self.key.is_none() || self.key == wire::key(body))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn matches(filter: &Filter) -> bool {
        let body = br#"{"v":1,"id":"01912d68-783e-7a03-8467-5661c1243ad4","actor":"welcome","queue":"mail","args":[],
            "sent_at":2000,"headers":{"tenant":"acme","a":"b"},"key":"42"}"#;
        filter.matches(body)
    }

    #[test]
    fn a_message_matches_what_asks_for_nothing_that_it_is_not() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let filter = Filter::new;
        for filter in [
            filter(),
            filter().actor("welcome"),
            filter().key("42"),
            filter().header("tenant", "acme").header("a", "b"),
            filter().sent_from(at(2)),
            filter().sent_before(at(3)),
            filter().state(State::Dead),
        ] {
            assert!(matches(&filter), "{filter:?}");
        }
        for filter in [
            filter().actor("goodbye"),
            filter().key("4"),
            filter().header("tenant", "other"),
            filter().header("tenant", "acme").header("c", "d"),
            filter().sent_from(at(3)),
            filter().sent_before(at(2)),
        ] {
            assert!(!matches(&filter), "{filter:?}");
        }
    }

    #[test]
    fn what_is_no_message_matches_only_what_asks_for_nothing() {
        assert!(Filter::new().state(State::Dead).matches(b"no message"));
        assert!(!Filter::new().actor("welcome").matches(b"no message"));
    }
}
