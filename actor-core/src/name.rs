//! The names of queues and actors, and what they may look like.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, in bytes.
const LONGEST: usize = 128;

/// The name of a queue: 1 to 128 of the characters `A-Z a-z 0-9 _ - .`
///
/// Braces, blanks, slashes and colons are refused because a name becomes part of a storage key.
///
/// ```
/// use actor_core::QueueName;
///
/// let queue: QueueName = "video_processing".parse()?;
/// assert_eq!(queue.as_str(), "video_processing");
/// assert!("video {processing}".parse::<QueueName>().is_err());
/// # Ok::<(), actor_core::NameError>(())
/// ```
#[derive(Clone)]
pub struct QueueName(Repr);

// A declared queue is a `'static` text, so that sending clones no allocation.
#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared(Arc<str>),
}

impl QueueName {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// The name is empty, longer than 128 bytes, or has a character that a name may not have.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check(name)?;
        Ok(Self(Repr::Shared(name.into())))
    }

    /// The name that a declaration carries. The macro has checked it.
    pub(crate) fn declared(name: &'static str) -> Self {
        Self(Repr::Static(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(name) => name,
            Repr::Shared(name) => name,
        }
    }
}

/// Says whether `name` may name a queue or an actor.
pub(crate) fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > LONGEST {
        return Err(NameError::TooLong(name.len()));
    }
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.')) {
        Some(odd) => Err(NameError::Character { name: name.to_owned(), odd }),
        None => Ok(()),
    }
}

/// Why a text is not a name.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// A name has at least one character.
    #[error("a name must not be empty")]
    Empty,
    /// A name has at most 128 bytes.
    #[error("a name has at most {LONGEST} bytes, this one has {0}")]
    TooLong(usize),
    /// A name has letters, digits, `_`, `-` and `.`, and nothing else.
    #[error("{odd:?} in {name:?}: a name has only the characters A-Z a-z 0-9 _ - .")]
    Character {
        /// The whole text.
        name: String,
        /// Its first character that a name may not have.
        odd: char,
    },
}

// Shown as people read it, also where `main` returns it.
impl fmt::Debug for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for QueueName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl TryFrom<&str> for QueueName {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl PartialEq for QueueName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for QueueName {}

impl PartialOrd for QueueName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for QueueName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for QueueName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for QueueName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_break_a_storage_key_is_refused() {
        for odd in ["", "a b", "a{b}", "a:b", "a/b", "ü", "a\n", &"x".repeat(129)] {
            assert!(QueueName::new(odd).is_err(), "{odd:?} was taken for a name");
        }
        assert!(QueueName::new(&"x".repeat(128)).is_ok());
    }
}
