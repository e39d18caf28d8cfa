//! A typed task queue: declare an actor once, send from one service, work in another.
//!
//! A function is declared as an actor exactly once, in a crate that the producer and the worker
//! share. The producer calls `send` and never compiles or runs the work; the worker runs it at least
//! once, and retries it when it fails.
//!
//! ```
//! use std::time::Duration;
//! use actor_core::{Context, MemoryBroker, Worker, actor};
//!
//! #[actor(queue = "mail", max_retries = 3)]
//! async fn welcome(cx: &Context, address: String) {
//!     println!("{}: welcome, {address}", cx.id());
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = MemoryBroker::new();
//! actor_core::install(broker.clone())?;
//!
//! welcome.send("ada@example.com".to_owned()).await?;
//!
//! // `run()` would work until SIGTERM or SIGINT.
//! let worked = Worker::builder(broker).run_until(tokio::time::sleep(Duration::from_millis(50)));
//! worked.await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! - [`actor`](macro@actor): declaring and implementing, with every option.
//! - [`Message`]: delay, expiry, priority and the rest, message by message.
//! - [`Worker`] and [`Builder`]: running. [`Context`]: what a run knows of itself. [`Failure`]: an
//!   error that says what to do next.
//! - [`install`]: the broker that `send` uses. [`MemoryBroker`] is the one in this process; the crate
//!   `actor-redis` has the one for production.
//! - [`Inspect`]: counting, listing, replaying, purging and pausing.
//! - `testing` (feature `testing`): testing actors, and the suite for whoever writes a [`Broker`].
//!
//! # Cancel safety
//!
//! Dropping the future of a `send` leaves it open whether the message was sent. Dropping a worker's
//! future is the worker's death: what it held runs elsewhere once its lease has ended. Give it a
//! `shutdown` instead, with [`Builder::run_until`].
//!
//! # Platforms
//!
//! Actors are collected by the linker (with [`linkme`](https://docs.rs/linkme)): Linux, macOS and
//! Windows with MSVC work. Where a linker drops the registry (windows-gnu), start the worker with
//! [`Builder::register`]. A crate that has only actors is linked only where a program names it:
//! `use tasks as _;`.

pub mod actor;
mod args;
pub mod broker;
mod call;
mod causes;
mod context;
pub mod delivery;
#[doc(hidden)]
pub mod digest;
mod error;
#[doc(hidden)]
pub mod failpoint;
mod failure;
mod implements;
pub mod inspect;
mod install;
mod memory;
mod message;
mod name;
pub mod registry;
mod send;
mod send_many;
pub mod settlement;
mod size;
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
pub use send::{SendError, Sending, Sent};
pub use send_many::{SendManyError, SendingMany};
pub use trace::{Propagator, TraceParent, TraceParentError, set_propagator};
pub use worker::{Builder, Signals, Worker, WorkerError};

/// What `#[actor]` expands to. Not for people: it changes with every release.
#[doc(hidden)]
pub mod __private {
    pub use linkme;

    pub use crate::actor::{
        ActorDef, Handler, ImplementationDef, Location, Options, Running, StateDef, actor_future_must_be_send,
    };
    pub use crate::args::{ArgReader, ArgWriter};
    pub use crate::call::{Call, IntoOutcome, RunError};
    pub use crate::causes::{ErrorType, ShowError, ShowOther, ShowPointer};
    pub use crate::implements::{arguments_match, is_called, is_without_body, return_matches};
    pub use crate::registry::{ACTOR_CORE_DECLARATIONS, ACTOR_CORE_IMPLEMENTATIONS};
}
