//! The key of a message, and the lane in which messages of one key wait.

use std::fmt;
use std::sync::Arc;

use crate::causes::debug_as_shown;

/// The longest key, in bytes.
const LONGEST: usize = 1_024;

/// What messages of a queue are grouped by: a customer, a tenant, an account. Any text of up to 1,024 bytes.
///
/// The empty key is that of messages which were sent without one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Checks a key.
    ///
    /// # Errors
    ///
    /// It is longer than 1,024 bytes. Send a hash of what is longer.
    pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Result<Self, KeyError> {
        match text.as_ref().len() {
            ..=LONGEST => Ok(Self(text.into())),
            len => Err(KeyError(len)),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key is longer than 1,024 bytes.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key has at most {LONGEST} bytes, this one has {0}: send a hash of it")]
pub struct KeyError(usize);

debug_as_shown!(KeyError);

/// Where a message waits for its queue's limits, and how much of them it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lane {
    /// Whose turn it waits for.
    pub key: Key,
    /// How many slots of a concurrency, and how many starts of a rate, it takes. At least 1; more than a limit
    /// counts as all of it.
    pub cost: u32,
}

impl Lane {
    /// The lane of a key, for a message that takes one slot.
    #[must_use]
    pub fn new(key: Key) -> Self {
        Self { key, cost: 1 }
    }

    /// The same for a message that takes `cost` slots, and one at least.
    #[must_use]
    pub fn cost(self, cost: u32) -> Self {
        Self { cost: cost.max(1), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_have_any_bytes_of_text_up_to_a_kibibyte() {
        for text in ["", "a b", "{}\n\0", "ü", &"x".repeat(1_024)] {
            assert_eq!(Key::new(text).unwrap().as_str(), text);
        }
        assert!(Key::new("x".repeat(1_025)).unwrap_err().to_string().contains("1025"));
    }
}
