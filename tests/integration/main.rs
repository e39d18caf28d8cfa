//! End-to-end behaviour: actors, a worker and a broker. Most tests run on every broker.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // A test's name is its document.

mod support;

/// Actors that take several messages at once.
mod batches;
/// Hosts whose clocks differ.
mod clocks;
/// Clusters of which a part is away.
mod clusters;
/// Limits: how many at once, how many at all, and on which queue.
mod concurrency;
/// Cancelling, rescheduling and snoozing.
mod control;
/// What an idle worker asks of Redis.
mod costs;
/// What follows from a run: messages that it sends after itself.
mod following;
/// Limits of queues and keys, over all workers, and fairness.
mod lanes;
/// Middleware, headers, and messages that an actor sends.
mod layers;
/// Limits that runs ask for, and processes that die with their permits.
mod limiters;
/// Time limits, and how sync actors handle them.
mod limits;
/// Actors that were moved to another queue.
mod moved_queues;
/// Redis that is unreachable: killed, cut off, or not started yet.
mod outages;
/// How a run ends, and what becomes of its message.
mod outcomes;
/// Redis that refuses for a while, or loses its data.
mod pressure;
/// Order, delay and age.
mod queues;
/// Workers that die, and what they held.
mod recovery;
/// Listing and repairing what is stored.
mod repairs;
/// What runs return, where messages stand, and how far runs have come.
mod results;
/// Old and new workers side by side, during a deploy.
mod rolling;
/// What an actor receives, and what its message may set.
mod running;
/// Schedules, and the workers that fire them.
#[cfg(feature = "cron")]
mod schedules;
/// Random calls of `Broker`, compared with a reference.
mod sequences;
/// Signals that stop a process.
#[cfg(unix)]
mod signals;
mod signatures;
/// What makes a worker refuse to start.
mod starting;
/// Orderly stops.
mod stopping;
/// How whoever waits for results hears of them on Redis.
mod subscriptions;
/// The threads of sync actors.
mod threads;
/// What a run logs, and which trace it continues.
mod traces;
/// Messages that cannot be run, here or anywhere.
mod unrunnable;
