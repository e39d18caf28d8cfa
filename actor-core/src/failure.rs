//! An actor's error that also says what to do next.

use std::fmt;
use std::time::Duration;

/// An actor's error, with a say in what becomes of the message.
///
/// Any error that can be shown turns into a `Failure` with `?`, and is then retried as the actor's
/// options say. What is kept of it is its text in the alternate form, `{:#}`, which is how
/// `anyhow` and `eyre` tell the causes too.
///
/// ```
/// use std::time::Duration;
/// use actor_core::Failure;
///
/// fn charge(amount: u64) -> Result<(), Failure> {
///     if amount == 0 {
///         return Err(Failure::do_not_retry("there is nothing to charge"));
///     }
///     let limit: u64 = "100".parse()?;
///     if amount > limit {
///         return Err(Failure::retry_in(Duration::from_secs(60), "over this minute's limit"));
///     }
///     Ok(())
/// }
/// # assert!(charge(1).is_ok());
/// ```
// It must not implement `Display`, or it could not be told from the errors that turn into it.
pub struct Failure {
    error: String,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    AsConfigured,
    Never,
    In(Duration),
}

impl Failure {
    /// No retry: the message becomes a dead letter now.
    pub fn do_not_retry(error: impl fmt::Display) -> Self {
        Self { error: format!("{error:#}"), next: Next::Never }
    }

    /// A retry after `delay` in place of the backoff. It spends a retry like any other.
    pub fn retry_in(delay: Duration, error: impl fmt::Display) -> Self {
        Self { error: format!("{error:#}"), next: Next::In(delay) }
    }

    /// The error's text.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    pub(crate) fn next(&self) -> Next {
        self.next
    }

    pub(crate) fn and_do_not_retry(self) -> Self {
        Self { next: Next::Never, ..self }
    }
}

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: format!("{error:#}"), next: Next::AsConfigured }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("error", &self.error).field("next", &self.next).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Chain;

    impl fmt::Display for Chain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(if f.alternate() { "no upload: no space left" } else { "no upload" })
        }
    }

    #[test]
    fn an_error_that_tells_its_causes_when_asked_is_asked() {
        for failure in [Chain.into(), Failure::do_not_retry(Chain), Failure::retry_in(Duration::ZERO, Chain)] {
            assert_eq!(failure.error(), "no upload: no space left");
        }
    }
}
