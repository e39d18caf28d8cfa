//! Behaviours of the whole: actors, a worker and a broker, each on every broker.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)] // A test's name is its document.

mod support;

/// Hosts whose clocks differ.
mod clocks;
/// Numbers: how many at once, how many at all, and who gets them.
mod concurrency;
/// What a worker asks of Redis while there is nothing to do.
mod costs;
/// How long a run may take, and what a sync actor makes of it.
mod limits;
/// Actors that were moved to another queue.
mod moved_queues;
/// Redis that is away: killed, cut off, not there yet.
mod outages;
/// How a run ends, and what becomes of its message.
mod outcomes;
/// Redis that refuses for a while, or forgets.
mod pressure;
/// Order, delay and age.
mod queues;
/// Workers that die, and what they held.
mod recovery;
/// Reading and repairing what is stored.
mod repairs;
/// Old and new workers side by side, while a deploy is under way.
mod rolling;
/// What an actor is given, and what its message may ask for.
mod running;
/// Random calls of the seam, compared with what it promises.
mod sequences;
/// What asks a process to stop.
#[cfg(unix)]
mod signals;
/// What a worker refuses to start with.
mod starting;
/// Stopping in good order.
mod stopping;
/// The threads of sync actors.
mod threads;
/// What a run tells, and whose trace it continues.
mod traces;
/// Messages that cannot be run here, or at all.
mod unrunnable;
