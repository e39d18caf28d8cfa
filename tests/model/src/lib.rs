//! The delivery protocol as a state machine, explored by a model checker.
//!
//! Workers claim, run, die, are paused and come back, lose answers, renew, recover from the dead, stop
//! and settle. Each command and each script is one step, and any step of anyone may come between two of
//! them. Every state that can be reached is visited, within bounds on how much goes wrong, and must keep
//! the [promises]. Each rule of the protocol can be [broken](rules::Broken): then the shortest way
//! to a broken promise is shown, which says what the rule is for.
//!
//! # How time passes
//!
//! A lease that nobody renews may end at any moment, and a scheduled message's time may come at any
//! moment. A worker is *sure* of its lease while its last renewal is less than a lease ago by its own
//! clock.
//!
//! # What is left out
//!
//! - Redis keeps what it acknowledged, but for messages whose unique key stays. What else it loses by itself, without a disk or at a
//!   failover, is lost.
//! - Of limits, all but one of each key: rates, costs, fairness, the limit of the queue, and a limit elsewhere that closes a lane.
//!   Whose turn it is stays open, and each message has one slot.
//! - Of unique keys, all but one that every message has: what takes the place of a message that waits, keys that are given up when the run
//!   begins, windows, idempotency keys, and replays of dead letters.
//! - Several messages in one call are several calls; priorities and the order of messages, pausing,
//!   listings, repairs and what hands delete.
//! - Messages that this worker cannot read or does not know, and suspects that wait for one another. What is parked
//!   is a scheduled message; unparking it is that its time comes and a claim reads it, in one step.
//! - An index of workers that is lost. Whoever renews first may then take what another still runs.
//! - A synchronous actor that outlives its worker's session. To the storage it is a paused worker's run that
//!   ends before its worker hears that it was declared dead, which is modelled.
//! - What bounds cut off: a hole that needs more faults, messages or workers at once than the tests
//!   allow is not found.

pub mod rules;

pub mod gate;
pub mod storage;
pub mod unique;
pub mod worker;

mod machine;
pub mod protocol;
mod settle;

pub mod following;

pub mod history;
pub mod promises;

pub mod check;
pub mod trace;
