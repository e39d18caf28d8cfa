//! The Redis broker at its seam: each test on a `redis-server` of its own, but for the suite of the seam, whose tests
//! share one.
#![allow(clippy::unwrap_used)] // A test ends where something is not as it should be.

/// Cargo, called by a test.
#[path = "../../../benches/support/src/cargo.rs"]
#[allow(unreachable_pub)] // The benchmarks use it too.
mod cargo;
/// Every promise of the seam.
mod conformance;
/// Two ways to the server that a test can spoil: a wire that swallows answers, and a server that is none.
mod fake;
mod proxy;
/// The server, and the worker that a test plays.
mod server;
/// Servers of several tests.
mod shared;

/// What the auditor finds, and what mends itself.
mod audit;
/// Callers that send at once.
mod batcher;
/// Servers that have no room.
mod busy;
/// Clusters.
mod cluster;
/// How many connections a worker has.
mod connections;
/// Cancelling, deleting and rescheduling.
mod control;
/// What it costs.
mod cost;
/// Passwords that change, and connections that are authenticated again.
mod credentials;
/// Dead letters.
mod dead;
/// Messages that have to be more than stored.
mod durable;
/// The program of the README, by each form of URL.
mod first_program;
/// Messages and hands that are not this library's.
mod foreign;
/// Messages as large as they may be.
mod heavy;
/// Reading and repairing.
mod inspect;
/// Messages that wait in lanes, and what is counted of them.
mod lanes;
/// Workers that live, die and come back.
mod leases;
/// A message's life: stored, in flight, and settled in each of the four ways.
mod lifecycle;
/// Limits that code asks for.
mod limiters;
/// Answers that never arrive.
mod lost;
/// Hosts that have names.
mod names;
/// What answers and is no Redis.
mod not_redis;
/// Which message goes first.
mod order;
/// Servers that go away and come back.
mod outage;
/// What follows from runs, on its way to other queues.
mod outboxes;
/// Connections on which nothing was said for a while.
mod quiet;
/// What dead workers held.
mod recovery;
/// Servers that refuse, and what is said then.
mod refusals;
/// Callers in several runtimes.
mod runtimes;
/// Messages that wait for their time.
mod scheduled;
/// Schedules.
mod schedules;
/// Servers that Sentinels watch.
mod sentinel;
/// What a server's settings risk.
mod settings;
/// Servers that are spoken to in secret.
#[cfg(feature = "tls")]
mod tls;
/// Unique messages and idempotency keys.
mod unique;
/// Primaries that are replaced on purpose.
mod upgrade;
/// What is warned of.
mod warnings;
