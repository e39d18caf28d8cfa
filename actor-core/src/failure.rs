//! An actor's error that also says what to do next.

use std::error::Error as StdError;
use std::time::Duration;

use crate::causes::chain;
use crate::limiter;

/// An actor's error, with a say in what becomes of the message.
///
/// Any error turns into a `Failure` with `?`, and is then retried as the actor's options say: whatever
/// turns into a `Box<dyn Error + Send + Sync>`, so a text too, and the errors of `anyhow` and `eyre`. What
/// is kept of it is its text, with the text of each `source()` below it. Of what can only be shown, give the
/// text: `error.to_string()`.
///
/// The refusal of a [`Limiter`](crate::Limiter), or what has one below it, is [rate limited](Self::rate_limited) in place
/// of that.
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
#[derive(Debug)]
// It must not implement `Error`, or it would be one of the errors that turn into it.
pub struct Failure {
    error: String,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    AsConfigured,
    Never,
    In(Duration),
    /// A limit elsewhere refused the work.
    Limited(Duration),
    /// No failure: it runs again, with nothing counted.
    Snooze(Duration),
}

impl Failure {
    /// No retry: the message becomes a dead letter now.
    pub fn do_not_retry<'a>(error: impl Into<Box<dyn StdError + Send + Sync + 'a>>) -> Self {
        Self { error: chain(&*error.into()), next: Next::Never }
    }

    /// A retry after `delay` in place of the backoff. It spends a retry like any other.
    pub fn retry_in<'a>(delay: Duration, error: impl Into<Box<dyn StdError + Send + Sync + 'a>>) -> Self {
        Self { error: chain(&*error.into()), next: Next::In(delay) }
    }

    /// A limit elsewhere refused the work, such as a `429 Too Many Requests` of another service: nothing more of this
    /// message's [key](crate::Message::key) starts on any worker before `after` has passed, and then this message is
    /// first. No attempt is spent. In a queue without [limits](crate::Queue), only the message waits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use actor_core::Failure;
    ///
    /// fn answered(status: u16, retry_after: u64) -> Result<(), Failure> {
    ///     if status == 429 {
    ///         return Err(Failure::rate_limited(Duration::from_secs(retry_after)));
    ///     }
    ///     Ok(())
    /// }
    /// # assert!(answered(200, 1).is_ok());
    /// ```
    #[must_use]
    pub fn rate_limited(after: Duration) -> Self {
        Self { error: format!("a limit elsewhere refused it for {after:?}"), next: Next::Limited(after) }
    }

    /// No failure: the message runs again after `delay`, as the same attempt. It spends no retry and keeps its last
    /// error, and nothing is logged above DEBUG. For what is not there yet, such as a file that is still being written.
    ///
    /// A message may snooze without end: let it [expire](crate::Message::expires_in), or count in what it waits for.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self { error: "snoozed".to_owned(), next: Next::Snooze(delay) }
    }

    /// The error's text, with its causes.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    pub(crate) fn next(&self) -> Next {
        self.next
    }

    /// Whether it spends an attempt.
    pub(crate) fn counts(&self) -> bool {
        !matches!(self.next, Next::Limited(_) | Next::Snooze(_))
    }

    pub(crate) fn and_do_not_retry(self) -> Self {
        match self.next {
            Next::Snooze(_) | Next::Limited(_) => self,
            _ => Self { next: Next::Never, ..self },
        }
    }
}

impl<'a, E: Into<Box<dyn StdError + Send + Sync + 'a>>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let next = limiter::retry_after(&*error).map_or(Next::AsConfigured, Next::Limited);
        Self { error: chain(&*error), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Boxed = Box<dyn StdError + Send + Sync>;

    #[derive(Debug, thiserror::Error)]
    #[error("the upload failed")]
    struct Upload(#[source] std::io::Error);

    fn upload() -> Upload {
        Upload(std::io::Error::other("no space left"))
    }

    /// As `anyhow` and `eyre` have it: no error itself, and one that leads to the causes.
    struct Report(Upload);

    impl From<Report> for Boxed {
        fn from(report: Report) -> Self {
            report.0.into()
        }
    }

    fn by_question_mark(error: impl Into<Failure>) -> Failure {
        error.into()
    }

    #[test]
    fn a_failure_keeps_its_errors_causes_however_it_is_made() {
        let boxed = || Boxed::from(upload());
        let borrowed = upload();
        for failure in [
            by_question_mark(upload()),
            by_question_mark(boxed()),
            by_question_mark(Report(upload())),
            Failure::do_not_retry(upload()),
            Failure::do_not_retry(&borrowed),
            Failure::do_not_retry(boxed()),
            Failure::retry_in(Duration::ZERO, borrowed),
            Failure::retry_in(Duration::ZERO, Report(upload())),
        ] {
            assert_eq!(failure.error(), "the upload failed: no space left");
        }
    }

    #[test]
    fn a_text_is_an_error_too() {
        let text = String::from("no");
        for failure in [
            by_question_mark("no"),
            by_question_mark(text.as_str()),
            by_question_mark(text.clone()),
            Failure::do_not_retry(&*text),
            Failure::retry_in(Duration::ZERO, std::borrow::Cow::from("no")),
        ] {
            assert_eq!(failure.error(), "no");
        }
    }
}
