//! The input and the outcome of a run, between the executor and the code that `#[actor]` generates.

mod batch;

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

pub use self::batch::{BatchDef, BatchError, IntoBatchOutcome, Item};
use crate::{BatchContext, Context, Failure};

/// One run's input: the encoded arguments and the context.
#[doc(hidden)]
#[derive(Debug)]
pub struct Call {
    args: Bytes,
    context: Context,
}

impl Call {
    pub(crate) fn new(args: Bytes, context: Context) -> Self {
        Self { args, context }
    }

    /// The arguments: a JSON array.
    #[must_use]
    pub fn args(&self) -> &[u8] {
        &self.args
    }

    /// The run's context.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The run's context, of an actor that takes batches.
    #[must_use]
    pub fn batch(&self) -> BatchContext {
        self.context.batch().expect("such an actor is only called with a batch")
    }

    /// The batch's arguments, once.
    #[must_use]
    pub fn items<T: 'static>(&self) -> Vec<T> {
        let of_its_type = |item: Item| *item.downcast().expect("its own actor decoded it");
        self.context.take_arguments().into_iter().map(of_its_type).collect()
    }

    /// The worker's state of type `T`.
    ///
    /// # Errors
    ///
    /// It was not given. This happens only in a test's worker: any other leaves such messages to workers
    /// that have the state.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<&T, RunError> {
        self.context.state().ok_or_else(|| self.missing_state(std::any::type_name::<T>()))
    }

    #[inline(never)]
    fn missing_state(&self, name: &str) -> RunError {
        RunError::Failed(Failure::do_not_retry(format!("the worker lacks {}", self.context.states().missing(name))))
    }
}

/// How a run ended.
pub type RunResult = Result<(), RunError>;

/// Why a run did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The arguments are not those of this implementation, so no retry will help.
    #[error("{0}")]
    Arguments(String),
    /// The message has more arguments than this implementation takes. It is left to a worker that takes them.
    #[error("the message has {given} arguments, but this worker's actor takes {taken}: deploy workers before senders")]
    TooManyArguments {
        /// How many the message has.
        given: usize,
        /// How many the implementation takes.
        taken: usize,
    },
    /// The sender declares other arguments. The message is left to a worker that declares the same.
    #[error("{0}")]
    OtherSignature(String),
    /// The body returned an error.
    #[error("{}", .0.error())]
    Failed(Failure),
    /// The body returned errors for some messages of a batch. A layer that returns it leaves each its outcome.
    #[error("{0}")]
    Batch(BatchError),
    /// The body panicked.
    #[error("the actor panicked: {0}")]
    Panicked(String),
    /// An async actor reached its time limit, and was dropped.
    #[error("the actor took longer than its time limit of {0:?}")]
    TimedOut(Duration),
    /// The worker stopped before the run ended. The message is released.
    #[error("the worker stopped")]
    Interrupted,
    /// The worker lost its lease. The message is another worker's, and this outcome is not stored.
    #[error("the worker's lease was lost")]
    LeaseLost,
    /// The operating system refused a thread for a sync actor. The message is released.
    #[error("the operating system refused a thread for it")]
    NoThread,
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What an actor may return: `()`, or a `Result` whose error turns into a [`Failure`].
#[diagnostic::on_unimplemented(
    message = "an actor cannot return `{Self}`",
    label = "return `()` or `Result<T, E>` here",
    note = "`T` must implement `serde::Serialize`, and `E` must implement `std::error::Error` or be `actor_core::Failure`"
)]
pub trait IntoOutcome: sealed::Sealed {
    /// What a success holds.
    type Output;
    /// What a failure holds.
    type Error;

    /// How the run ended.
    #[doc(hidden)]
    fn into_outcome(self, retry_if: Option<fn(&Self::Error) -> bool>) -> Result<Self::Output, Failure>;

    /// The same, with what a success holds kept by a call whose actor keeps results.
    #[doc(hidden)]
    fn into_kept_outcome(self, retry_if: Option<fn(&Self::Error) -> bool>, keeping: Option<&Call>) -> RunResult;
}

/// An error of an actor: whatever `?` turns into a [`Failure`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an actor's error",
    note = "implement `std::error::Error` for it, or use `actor_core::Failure`"
)]
pub trait IntoFailure: Into<Failure> {}

impl<E: Into<Failure>> IntoFailure for E {}

impl IntoOutcome for () {
    type Output = ();
    type Error = std::convert::Infallible;

    fn into_outcome(self, _: Option<fn(&Self::Error) -> bool>) -> Result<(), Failure> {
        Ok(())
    }

    // Without an output, `null` is kept.
    fn into_kept_outcome(self, _: Option<fn(&Self::Error) -> bool>, _: Option<&Call>) -> RunResult {
        Ok(())
    }
}

impl<T: Serialize, E: IntoFailure> IntoOutcome for Result<T, E> {
    type Output = T;
    type Error = E;

    fn into_outcome(self, retry_if: Option<fn(&E) -> bool>) -> Result<T, Failure> {
        self.map_err(|error| {
            let retry = retry_if.is_none_or(|retry_if| retry_if(&error));
            let failure = error.into();
            if retry { failure } else { failure.and_do_not_retry() }
        })
    }

    fn into_kept_outcome(self, retry_if: Option<fn(&E) -> bool>, keeping: Option<&Call>) -> RunResult {
        let output = self.into_outcome(retry_if)?;
        match keeping {
            Some(call) => Ok(call.context.returned(&output)?),
            None => Ok(()),
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<T, E> Sealed for Result<T, E> {}
}
