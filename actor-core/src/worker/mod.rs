//! The worker: fetch, run, decide, settle, and keep the lease until the last delivery is settled.

mod ability;
mod arrange;
mod batch;
pub(crate) mod begin;
pub(crate) mod builder;
#[cfg(feature = "cron")]
mod cron;
mod demand;
mod engine;
mod error;
pub(crate) mod executor;
mod fetch;
pub(crate) mod gather;
mod grace;
mod heartbeat;
mod message;
mod on_dead_letter;
pub(crate) mod outage;
mod outcome;
pub(crate) mod panic;
pub(crate) mod plan;
pub(crate) mod progress;
mod queue_session;
mod recover;
mod relay;
pub(crate) mod repeats;
mod report;
mod result;
mod run;
mod service;
mod session;
mod settle;
mod signal;
mod slots;
mod stall;
pub(crate) mod suspects;
pub(crate) mod threads;
mod unpark;

pub use builder::WorkerBuilder;
pub use error::WorkerError;
pub use signal::Signals;

use crate::Broker;

/// A process that runs messages.
///
/// ```no_run
/// use actor_core::{MemoryBroker, Worker, actor};
///
/// #[actor(queue = "mail")]
/// async fn welcome(to: String) {
///     println!("welcome, {to}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), actor_core::WorkerError> {
/// Worker::builder(MemoryBroker::new()).run().await
/// # }
/// ```
#[derive(Debug)]
pub struct Worker(());

impl Worker {
    /// A worker of `broker`'s messages, with every default.
    pub fn builder(broker: impl Broker) -> WorkerBuilder {
        WorkerBuilder::new(broker)
    }
}
