//! Actors that take several messages at once: what a run is given, and what it may return.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{IntoFailure, RunError, RunResult};
use crate::{BatchContext, Failure};

/// A message's argument, decoded, of the type that its actor takes a `Vec` of.
#[doc(hidden)]
pub type Item = Box<dyn Any + Send>;

/// How an actor takes its messages in batches.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub struct BatchDef {
    pub(crate) max: usize,
    pub(crate) wait: Duration,
    pub(crate) decode: fn(&[u8]) -> Result<Item, RunError>,
}

impl BatchDef {
    /// At most `max` messages, of those that come within `wait` of the first. `decode` reads one's arguments.
    #[must_use]
    pub const fn new(max: usize, wait: Duration, decode: fn(&[u8]) -> Result<Item, RunError>) -> Self {
        Self { max, wait, decode }
    }
}

/// The outcomes of a batch's messages, of which some failed.
pub struct BatchError(Vec<Result<(), Failure>>);

impl BatchError {
    /// The outcome of each message, in their order.
    pub fn outcomes(&self) -> impl Iterator<Item = Result<(), &Failure>> {
        self.0.iter().map(|outcome| outcome.as_ref().copied())
    }

    /// How many messages failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.0.iter().filter(|outcome| outcome.is_err()).count()
    }

    pub(crate) fn into_outcomes(self) -> Vec<Result<(), Failure>> {
        self.0
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} messages of the batch failed", self.failed(), self.0.len())?;
        match self.0.iter().find_map(|outcome| outcome.as_ref().err()) {
            Some(first) => write!(f, ", the first with: {}", first.error()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchError({self})")
    }
}

/// What an actor with `batch(..)` may return: an outcome for all messages, or one for each.
#[diagnostic::on_unimplemented(
    message = "an actor with `batch(..)` cannot return `{Self}`",
    label = "return `()`, `Result<(), E>`, `Vec<Result<(), E>>` or `Result<Vec<Result<(), E>>, E>` here",
    note = "`E` must implement `std::error::Error` or be `actor_core::Failure`"
)]
pub trait IntoBatchOutcome: sealed::Sealed {
    /// What a message's success holds.
    type Output;
    /// What a message's failure holds.
    type Error;

    /// How the run of so many `messages` ended. What it returned for each is kept where `keeping` has their contexts.
    #[doc(hidden)]
    fn into_outcome(
        self,
        messages: usize,
        retry_if: Option<fn(&Self::Error) -> bool>,
        keeping: Option<BatchContext>,
    ) -> RunResult;
}

impl IntoBatchOutcome for () {
    type Output = ();
    type Error = Infallible;

    fn into_outcome(self, _: usize, _: Option<fn(&Infallible) -> bool>, _: Option<BatchContext>) -> RunResult {
        Ok(())
    }
}

impl<E: IntoFailure> IntoBatchOutcome for Result<(), E> {
    type Output = ();
    type Error = E;

    fn into_outcome(self, _: usize, retry_if: Option<fn(&E) -> bool>, _: Option<BatchContext>) -> RunResult {
        self.map_err(|error| RunError::Failed(failure(error, retry_if)))
    }
}

impl<T: Serialize, E: IntoFailure> IntoBatchOutcome for Vec<Result<T, E>> {
    type Output = T;
    type Error = E;

    fn into_outcome(
        self,
        messages: usize,
        retry_if: Option<fn(&E) -> bool>,
        keeping: Option<BatchContext>,
    ) -> RunResult {
        if self.len() != messages {
            return Err(RunError::Failed(wrong_length(self.len(), messages)));
        }
        if keeping.is_none() && self.iter().all(Result::is_ok) {
            return Ok(());
        }
        let contexts = keeping.as_ref().map_or(&[][..], BatchContext::items);
        let outcomes = self.into_iter().enumerate().map(|(index, outcome)| match outcome {
            Ok(output) => contexts.get(index).map_or(Ok(()), |context| context.returned(&output)),
            Err(error) => Err(failure(error, retry_if)),
        });
        let outcomes: Vec<_> = outcomes.collect();
        if outcomes.iter().all(Result::is_ok) { Ok(()) } else { Err(RunError::Batch(BatchError(outcomes))) }
    }
}

impl<T: Serialize, E: IntoFailure> IntoBatchOutcome for Result<Vec<Result<T, E>>, E> {
    type Output = T;
    type Error = E;

    fn into_outcome(
        self,
        messages: usize,
        retry_if: Option<fn(&E) -> bool>,
        keeping: Option<BatchContext>,
    ) -> RunResult {
        match self {
            Ok(outcomes) => outcomes.into_outcome(messages, retry_if, keeping),
            Err(error) => Err(RunError::Failed(failure(error, retry_if))),
        }
    }
}

fn failure<E: IntoFailure>(error: E, retry_if: Option<fn(&E) -> bool>) -> Failure {
    let retry = retry_if.is_none_or(|retry_if| retry_if(&error));
    let failure = error.into();
    if retry { failure } else { failure.and_do_not_retry() }
}

fn wrong_length(results: usize, messages: usize) -> Failure {
    let what = format!(
        "the actor returned {results} results for a batch of {messages} messages, so that none of them counts: \
         return one for each message, in their order"
    );
    what.into()
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
    impl<T, E> Sealed for Vec<Result<T, E>> {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Next;

    #[test]
    fn a_vec_of_another_length_is_a_failure_that_says_what_to_return() {
        let outcome = vec![Ok::<(), String>(()); 2].into_outcome(3, None, None);
        let error = outcome.unwrap_err().to_string();
        assert!(error.starts_with("the actor returned 2 results for a batch of 3 messages"), "{error}");
        assert!(error.ends_with("return one for each message, in their order"), "{error}");
    }

    #[test]
    fn each_message_has_its_own_outcome_and_retry_if_sees_each_error() {
        let outcome = vec![Ok(()), Err("gone"), Err("away")];
        let Err(RunError::Batch(error)) = outcome.into_outcome(3, Some(|error| *error == "away"), None) else {
            panic!("some failed");
        };
        assert_eq!(error.to_string(), "2 of 3 messages of the batch failed, the first with: gone");
        let next: Vec<_> = error.outcomes().map(|outcome| outcome.map_err(Failure::next)).collect();
        assert_eq!(next, [Ok(()), Err(Next::Never), Err(Next::AsConfigured)]);
    }

    #[test]
    fn one_outcome_is_that_of_all() {
        assert!(().into_outcome(3, None, None).is_ok());
        assert!(Ok::<(), String>(()).into_outcome(3, None, None).is_ok());
        assert!(vec![Ok::<(), String>(()); 3].into_outcome(3, None, None).is_ok());
        let whole: Result<Vec<Result<(), String>>, String> = Err("away".to_owned());
        assert!(
            matches!(whole.into_outcome(3, None, None), Err(RunError::Failed(failure)) if failure.error() == "away")
        );
    }
}
