//! What `#[actor]` makes of a function: a declaration and, if there is a body, an implementation.

use std::any::TypeId;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::call::{BatchDef, Call, RunError};
use crate::dead_lettered::OnDeadLetter;
use crate::schedule::CronDef;
use crate::signature::{self, Arg, Fingerprint};
use crate::{Priority, Queue, QueueName, Uniqueness};

/// A declared actor. `#[actor]` implements it on a unit struct of the function's name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an actor",
    note = "write `#[actor]` above the function to declare it"
)]
pub trait Actor: Copy + Send + Sync + 'static {
    /// The arguments, as a tuple of their declared types.
    type Args;
    /// What a run returns if it succeeds.
    type Output;
    /// What a run returns if it fails.
    type Error;
    /// The declaration.
    const DEF: &'static ActorDef;
}

/// An actor's implementation. `#[actor]` implements it: for an actor with a body on the actor
/// itself, for `#[actor(implements = ..)]` on a type of the function's name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no implementation",
    note = "implement an actor that is declared without a body with `#[actor(implements = path::to::it)]`"
)]
pub trait Implementation {
    /// The implementation.
    const IMPLEMENTATION: &'static ImplementationDef;
}

/// A declaration, as the registry holds it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ActorDef {
    /// The name that a message carries.
    pub name: &'static str,
    /// The queue that its messages go to.
    pub queue: &'static Queue,
    /// The arguments' names and types, in order, as the declaration writes them.
    pub args: &'static [(&'static str, &'static str)],
    /// The options of its messages.
    pub options: Options,
    /// Where it is declared.
    pub at: Location,
    /// Whether it is declared with a body.
    pub has_body: bool,
    /// The schedule that it declares.
    pub cron: Option<CronDef>,
    /// What follows when a message of it becomes a dead letter.
    pub on_dead_letter: Option<OnDeadLetter>,
    pub(crate) fingerprint: Fingerprint,
}

impl ActorDef {
    /// A declaration, as the macro makes it.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        name: &'static str,
        queue: &'static Queue,
        args: &'static [Arg],
        options: Options,
        at: Location,
        has_body: bool,
    ) -> Self {
        Self {
            name,
            queue,
            args,
            options,
            at,
            has_body,
            cron: None,
            on_dead_letter: None,
            fingerprint: Fingerprint::of(args),
        }
    }

    /// The same with a schedule.
    #[doc(hidden)]
    #[must_use]
    pub const fn cron(mut self, cron: CronDef) -> Self {
        self.cron = Some(cron);
        self
    }

    /// The same, with what follows when a message of it becomes a dead letter.
    #[doc(hidden)]
    #[must_use]
    pub const fn on_dead_letter(mut self, follows: OnDeadLetter) -> Self {
        self.on_dead_letter = Some(follows);
        self
    }

    /// The queue that its messages go to.
    #[must_use]
    pub fn queue_name(&self) -> QueueName {
        self.queue.queue_name()
    }

    /// Its arguments, as in `(video_id: Uuid, full: bool)`.
    #[must_use]
    pub fn signature(&self) -> String {
        signature::shown(self.args)
    }

    /// The fingerprint of its signature, which its messages carry: 16 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.fingerprint.to_string()
    }
}

/// An implementation, as the registry holds it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImplementationDef {
    /// The actor that it implements.
    pub actor: &'static ActorDef,
    /// Where it is.
    pub at: Location,
    /// The types of the states that it needs from the worker.
    pub states: &'static [StateDef],
    /// The code.
    pub handler: Handler,
    /// The names of the arguments that are marked `#[default]`.
    pub defaults: &'static [&'static str],
    pub(crate) batch: Option<BatchDef>,
}

impl ImplementationDef {
    /// An implementation, as the macro makes it.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(actor: &'static ActorDef, at: Location, states: &'static [StateDef], handler: Handler) -> Self {
        Self { actor, at, states, handler, defaults: &[], batch: None }
    }

    /// The same with arguments that are marked `#[default]`.
    #[doc(hidden)]
    #[must_use]
    pub const fn defaults(mut self, names: &'static [&'static str]) -> Self {
        self.defaults = names;
        self
    }

    /// The same, taking its messages in batches.
    #[doc(hidden)]
    #[must_use]
    pub const fn batch(mut self, batch: BatchDef) -> Self {
        self.batch = Some(batch);
        self
    }
}

/// A state that an implementation needs.
#[derive(Clone, Copy)]
pub struct StateDef {
    pub(crate) id: fn() -> TypeId,
    pub(crate) name: fn() -> &'static str,
}

impl StateDef {
    /// The state of type `T`.
    #[doc(hidden)]
    #[must_use]
    pub const fn of<T: 'static>() -> Self {
        Self { id: TypeId::of::<T>, name: std::any::type_name::<T> }
    }
}

impl fmt::Debug for StateDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str((self.name)())
    }
}

/// A run in progress.
#[doc(hidden)]
pub type Running = Pin<Box<dyn Future<Output = Result<(), RunError>> + Send>>;

/// Boxes a run. A run moves between threads, so what a body holds across an `.await` must be `Send`.
#[doc(hidden)]
pub fn actor_future_must_be_send<F: Future<Output = Result<(), RunError>> + Send + 'static>(run: F) -> Running {
    Box::pin(run)
}

/// The code of an implementation: decodes the arguments, runs the body and returns the outcome.
#[derive(Clone, Copy, Debug)]
#[doc(hidden)]
pub enum Handler {
    /// An `async fn`: polled on the runtime.
    Async(fn(Call) -> Running),
    /// A plain `fn`: run on a thread of the worker.
    Blocking(fn(Call) -> Result<(), RunError>),
}

/// The options of an actor's messages, as set by `#[actor(..)]`. A message may override most of them.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How often a failed message is retried. Default: 20, which takes about three weeks with the
    /// default backoff.
    pub max_retries: u32,
    /// The longest wait before the first retry. Default: 15 s.
    pub min_backoff: Duration,
    /// The longest wait before any retry. Default: 7 days.
    pub max_backoff: Duration,
    /// How long a run may take; `None` for no limit. Default: 10 minutes.
    pub time_limit: Option<Duration>,
    /// How long after it was sent a message may still start; `None` for no limit. Default: `None`.
    pub max_age: Option<Duration>,
    /// Which of the queue's messages run first. Default: normal.
    pub priority: Priority,
    /// How messages of equal arguments exclude one another; `None` where they do not. Default: `None`.
    pub unique: Option<Uniqueness>,
    /// How long what a run returned, or why a message failed for good, is kept after its end; `None` where it is not.
    /// Default: `None`.
    pub results: Option<Duration>,
}

impl Options {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        max_retries: 20,
        min_backoff: Duration::from_secs(15),
        max_backoff: Duration::from_secs(7 * 24 * 60 * 60),
        time_limit: Some(Duration::from_secs(600)),
        max_age: None,
        priority: Priority::Normal,
        unique: None,
        results: None,
    };
}

/// A place in source code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Location {
    /// The crate's name.
    pub krate: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The module's path.
    pub module: &'static str,
    /// The file, as the compiler names it.
    pub file: &'static str,
    /// The line.
    pub line: u32,
}

impl Location {
    /// A place, as the macro gives it.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        krate: &'static str,
        version: &'static str,
        module: &'static str,
        file: &'static str,
        line: u32,
    ) -> Self {
        Self { krate, version, module, file, line }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} (crate {} {})", self.file, self.line, self.krate, self.version)
    }
}
