//! A typed task queue: declare an actor once, send from one service, work in another.
//!
//! A function is declared as an actor exactly once, in a crate that the producer and the worker
//! share. The producer calls `send` and never compiles or runs the work; the worker runs it at least
//! once, and retries it when it fails.

pub mod actor;
mod args;
pub mod broker;
mod call;
mod context;
pub mod delivery;
mod error;
mod failure;
mod implements;
pub mod inspect;
mod install;
mod memory;
mod message;
mod name;
pub mod registry;
mod send;
pub mod settlement;
mod strict;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
pub mod wire;
mod worker;

pub use actor::Actor;
pub use actor_macros::actor;
pub use broker::Broker;
pub use context::{Cancellation, Context};
pub use error::BrokerError;
pub use failure::Failure;
pub use inspect::Inspect;
pub use install::{InstallError, install};
pub use memory::MemoryBroker;
pub use message::{Message, MessageId, Priority};
pub use name::{NameError, QueueName};
pub use send::{SendError, SendManyError, Sending, SendingMany};
pub use trace::{Propagator, TraceParent, TraceParentError, set_propagator};
pub use worker::{Builder, Worker, WorkerError};

/// What `#[actor]` expands to. Not for people: it changes with every release.
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub use crate::actor::{ActorDef, Handler, ImplementationDef, Location, Options, Running, StateDef, actor_future_must_be_send};
    pub use crate::args::{ArgReader, ArgWriter};
    pub use crate::call::{Call, IntoOutcome, RunError};
    pub use crate::implements::{arguments_match, is_called, is_without_body, return_matches};
    pub use crate::registry::{ACTOR_CORE_DECLARATIONS, ACTOR_CORE_IMPLEMENTATIONS};
}
