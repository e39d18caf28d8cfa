//! The Redis broker of `actor-core`: streams, leases and real acknowledgements.

mod audit;
mod broker;
mod builder;
mod claim;
mod clock;
mod connection;
mod endpoint;
mod enqueue;
mod entry;
mod error;
mod inspect;
mod keys;
mod lane;
mod lease;
mod queue;
mod reclaim;
mod request;
mod script;
mod server;
mod settle;

pub use audit::{Audit, Violation};
pub use broker::RedisBroker;
pub use builder::Builder;
pub use error::Error;
