//! Why a worker does not start.

use std::sync::Arc;

use crate::actor::Location;
use crate::causes::debug_as_shown;
use crate::{BrokerError, QueueName, registry};

/// Why a worker did not start, or could not go on.
///
/// The text names everything that is wrong, a line each, and what to do about it.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct WorkerError(#[from] Kind);

debug_as_shown!(WorkerError);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("the worker cannot start:{}", .0.iter().map(|problem| format!("\n- {problem}")).collect::<String>())]
    Problems(Vec<Problem>),
    #[error("the broker refused the worker")]
    Refused(#[source] Arc<BrokerError>),
    #[error("the worker's heartbeat could not be started")]
    Heartbeat(#[source] std::io::Error),
}

/// One thing that is wrong with a worker's settings or actors.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error(transparent)]
    Registry(registry::Problem),
    #[error(
        "no actor is implemented in this program ({declared} declared): a crate that has only actors is linked only \
         where it is named, so write `use tasks as _;` for each such crate"
    )]
    NoActor { declared: usize },
    #[error(
        "no actor is found in this program, since this platform's linker drops their registry: name each actor that \
         runs here with `.register::<tasks::actor>()`"
    )]
    Dropped,
    #[error(
        "no actor of queue `{0}` is implemented here; where one was moved to another queue, serve what is left in \
         this one with `.also_serve(..)`"
    )]
    EmptyQueue(QueueName),
    #[error("there is no queue to serve: `.queues(..)` was given none; remove it to serve every queue")]
    NoQueue,
    #[error("the state `{0}` is given twice: wrap each in a type of its own")]
    StateTwice(&'static str),
    #[error(
        "actor `{actor}`, declared at {at}, has no implementation here, but its queue is served: implement it with \
         `#[actor(implements = ..)]`, or name the queues to serve with `.queues(..)`"
    )]
    Unimplemented { actor: &'static str, at: Location },
    #[error("actor `{actor}`, implemented at {at}, needs {state}")]
    MissingState { actor: &'static str, state: String, at: Location },
    #[error(
        "actor `{actor}`, declared at {at}, has a schedule (`cron`), and this broker keeps no schedules: use one that \
         does, or remove `cron`"
    )]
    NoSchedules { actor: &'static str, at: Location },
    #[error("not a queue: {0}")]
    QueueName(String),
    #[error("`.{0}(..)` allows 0 runs at once, so that nothing would run: give it 1 or more")]
    NoSlots(&'static str),
    #[error("the lease is shorter than 100 ms")]
    ShortLease,
    #[error("the lease is longer than a day")]
    LongLease,
}

impl WorkerError {
    pub(crate) fn of(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(Kind::Problems(problems))) }
    }

    /// Whether the program itself must change: an actor, a state or a setting is missing or wrong.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        matches!(self.0, Kind::Problems(_))
    }
}
