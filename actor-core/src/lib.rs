//! A typed task queue. Declare a function as an actor; producers send it messages without compiling
//! its body, and workers run each message at least once and retry failures.
//!
//! An *actor* here is a task, as in Dramatiq. This is not the actor model: there are no mailboxes,
//! addresses or supervisors. It is declared once, in a crate that producer and worker share.
//!
//! ```
//! use std::time::Duration;
//! use actor_core::{Context, MemoryBroker, Worker, actor};
//!
//! #[actor(queue = "mail", max_retries = 3)]
//! async fn welcome(cx: &Context, address: &str) {
//!     println!("{}: welcome, {address}", cx.id());
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = MemoryBroker::new();
//! actor_core::install(broker.clone())?;
//! welcome.send("ada@example.com").await?;
//! Worker::builder(broker).run_until(tokio::time::sleep(Duration::from_millis(50))).await?; // Or `run()`.
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//!
//! - [`actor`](macro@actor): declaring and implementing, with every option. [`Message`]: settings by message.
//! - [`Worker`], [`WorkerBuilder`], [`layer`]: running. [`Context`]: of a run. [`Failure`]: what to do after an error.
//! - [`install`] and [`on_send`]: sending. [`MemoryBroker`] runs in this process; `actor-redis` has the one for production.
//! - [`Inspect`]: counting, listing, pausing. [`Control`]: cancelling, deleting. [`schedule`]: cron. [`results`]: results.
//! - Features: `testing`, for tests and authors of brokers. A crate that only sends does without `worker`, a default.
//!
//! # Cancel safety
//!
//! Dropping the future of a `send` leaves it open whether the message was sent. Dropping a worker's future is
//! the worker's death: what it held runs elsewhere once its lease has ended. Use [`WorkerBuilder::run_until`].
//!
//! # Platforms
//!
//! The linker collects actors (with [`linkme`](https://docs.rs/linkme)) on Linux, macOS and Windows with MSVC.
//! Where it drops the registry (windows-gnu), start the worker with [`WorkerBuilder::register`]. A crate that has only
//! actors is linked only where a program names it: `use tasks as _;`.

#![cfg_attr(not(feature = "worker"), allow(dead_code, unreachable_pub))]

pub mod actor;
mod args;
pub mod broker;
mod call;
mod causes;
mod context;
pub mod control;
mod dead_lettered;
pub mod delivery;
#[doc(hidden)]
pub mod digest;
mod durability;
mod error;
#[doc(hidden)]
pub mod failpoint;
mod failure;
mod forward;
mod headers;
mod implements;
pub mod inspect;
mod install;
mod lane;
#[cfg(feature = "worker")]
pub mod layer;
pub mod limiter;
#[cfg(feature = "worker")]
mod memory;
mod message;
mod name;
mod on_send;
pub mod outbox;
mod queue;
pub mod registry;
pub mod results;
pub mod schedule;
mod send;
mod send_many;
pub mod settlement;
mod signature;
mod size;
pub mod state;
mod strict;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
mod unique;
pub mod wire;
#[cfg(feature = "worker")]
mod worker;

#[cfg(feature = "cron")]
pub use schedule::{Schedule, ScheduleError};
pub use {actor::Actor, actor_macros::actor, broker::Broker, failure::Failure, inspect::Inspect};
pub use {context::BatchContext, context::Cancellation, context::Context, control::Control, durability::Durability};
pub use {dead_lettered::DeadLettered, lane::Key, lane::KeyError, lane::Lane, limiter::Limiter, queue::Limit};
pub use {error::BrokerError, install::InstallError, install::install, name::NameError, name::QueueName};
#[cfg(feature = "worker")]
pub use {memory::MemoryBroker, worker::Signals, worker::Worker, worker::WorkerBuilder, worker::WorkerError};
pub use {message::Message, message::MessageId, message::Priority, message::When};
pub use {on_send::OutgoingMessage, on_send::on_send, send::SendError, send::Sending, send::Sent};
pub use {queue::Limits, queue::Queue, queue::Rate, trace::Propagator, trace::TraceParent, trace::TraceParentError};
pub use {send_many::SendManyError, send_many::SendingMany, trace::set_propagator, unique::Idempotency};
pub use {unique::OnConflict, unique::Unique, unique::Uniqueness, unique::Until};

#[doc(hidden)] // What `#[actor]` expands to: it changes with every release.
pub mod __private {
    pub use crate::actor::{ActorDef, Handler, ImplementationDef, Location, Options, Running, StateDef};
    pub use crate::args::{ArgReader, ArgWriter, Borrowed};
    pub use crate::call::{BatchDef, Call, IntoBatchOutcome, IntoOutcome, Item, RunError};
    pub use crate::dead_lettered::{FollowUp, OnDeadLetter};
    pub use crate::registry::{ACTOR_CORE_DECLARATIONS, ACTOR_CORE_IMPLEMENTATIONS};
    pub use crate::schedule::{CatchUp, CronDef, Overlap};
    pub use {crate::actor::actor_future_must_be_send, crate::implements::*, linkme};
}
