//! The Redis broker of `actor-core`: streams, leases and real acknowledgements.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use actor_redis::RedisBroker;
//!
//! let broker = RedisBroker::connect("redis://localhost:6379").await?;
//! actor_core::install(broker)?;
//! # Ok(())
//! # }
//! ```
//!
//! A message is an entry of a stream with a consumer group, so that Redis itself keeps what is delivered to
//! whom. What may happen to a message is decided in Redis, in one step each: no message is lost where
//! a process dies between two steps, and no two workers settle one delivery differently. The names of
//! all keys, the scripts, and the permissions that a user needs are in `docs/redis-keys.md`.
//!
//! Redis 6.2 or newer is needed. At connect an older one is refused, and one warning names the settings that put
//! messages at risk, each with the line to write. [`RedisBroker::check`] reports the same, and
//! [`strict`](RedisBrokerBuilder::strict) refuses a server that may lose acknowledged messages.
//!
//! # Features
//!
//! - `tls`: `rediss://` URLs, by rustls. Where the program has not chosen a cryptography for its process,
//!   the first such URL chooses `ring`.
//! - `failpoints`: named points between two commands at which a process can be made to die, for this
//!   project's own proof. Not for production; without the feature there are none.
//!
//! # Connection loss
//!
//! A broker connects again by itself at its next use, with pauses of at most half a second between
//! attempts; between them every call fails at once. What was under way when the connection broke has an
//! error whose [`is_unknown`](actor_core::BrokerError::is_unknown) is true: it may have happened. The broker
//! never sends such a request again on its own. A connection that was quiet for a second is asked whether it
//! still stands before a request is sent on it: one that was given up elsewhere is replaced first.
//!
//! # Sentinel and Cluster
//!
//! With `redis+sentinel://s1:26379,s2:26379,s3:26379/mymaster`, each connection asks the Sentinels for the primary, and
//! checks that it is one. A thread of the broker listens for promotions: they end what waits on the former primary.
//! With `redis+cluster://n1:7000,n2:7001`, each queue is served by the primary of its hash slot, and a primary that is
//! away is an outage of its queues alone. `docs/redis-keys.md` says what both mean for connections and failovers.
//!
//! # Credentials
//!
//! The URL may hold a user and a password. Those that change or end come from a [`CredentialsProvider`], which is asked
//! before each connection is made. A connection whose credentials end is authenticated again before, by a task that ends
//! with it. `docs/credentials.md` shows providers for AWS, Entra and secrets in files.
//!
//! # Runtimes
//!
//! Clones of a broker may be used in any number of tokio runtimes at once, and by code that has its own
//! `block_on`. Each has a connection of its own, made at its first use.

mod announce;
mod audit;
mod batcher;
mod begin;
mod broker;
mod builder;
#[cfg(feature = "tls")]
mod client_certificate;
mod clock;
mod cluster;
mod confirm;
mod connect;
mod connection;
mod consumer;
mod credentials;
mod durable;
mod endpoint;
mod enqueue;
mod entry;
mod error;
mod exchange;
#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub mod failpoint;
mod inspect;
mod keys;
mod lease;
mod limiters;
mod link;
mod node;
mod outbox;
#[cfg(doctest)]
mod pages;
mod place;
mod presence;
mod provider;
mod queue;
mod reauthenticate;
mod report;
mod request;
mod request_error;
mod resolve;
mod results;
mod schedules;
mod script;
mod sentinel;
mod server;
mod settle;
mod slot;
mod spread;
mod state;
mod ticks;

pub use audit::{Audit, Repair, Violation};
pub use broker::RedisBroker;
pub use builder::RedisBrokerBuilder;
pub use credentials::{Credentials, CredentialsProvider};
pub use error::Error;
pub use report::{Finding, FindingKind, Risk, ServerReport};
