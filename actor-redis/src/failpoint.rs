//! The points of this crate at which a process can be made to die: around every request to Redis, and
//! in the middle of one.
//!
//! Every `Request` but those of limiters, which hold no message, and those that read and repair for a person passes up to
//! three, named after it: `unsent`, before anything of it was sent; `half`, when Redis has run a first part of its
//! commands and never hears of the rest; and `answered`, when Redis has run all of it and nobody here knows. What goes
//! another way than by a request passes points of its own, by name; only the command by which a claim wakes another worker
//! has none: to die there is to die after the read.

use actor_core::failpoint::{fire, is_due, pass};
use redis::Pipeline;
use redis::aio::MultiplexedConnection;

use crate::request::Request;

/// All of them, in the order of a message's life. `tests/tidy.rs` holds each against the place where
/// it is passed.
pub const POINTS: &[&str] = &[
    // A connection is made. The last one: and it has closed the one before it on the server.
    "connect.made",
    "connect.introduced",
    "connect.former_closed",
    // A message that is ready, alone.
    "enqueue_one.unsent",
    "enqueue_one.answered",
    // Several, or the first of a queue.
    "enqueue.unsent",
    "enqueue.half",
    "enqueue.answered",
    // Some of which are for later.
    "schedule.unsent",
    "schedule.answered",
    // Of some of which another message may stand for one.
    "unique.unsent",
    "unique.answered",
    // The run of one that is unique until then begins.
    "begin.unsent",
    "begin.answered",
    // Some of which go to lanes.
    "enter.unsent",
    "enter.half",
    "enter.answered",
    // A lease begins, is prolonged, and ends in good order.
    "register.unsent",
    "register.half",
    "register.answered",
    "renew.unsent",
    "renew.half",
    "renew.answered",
    "stopping.unsent",
    "stopping.half",
    "stopping.answered",
    "deregister.unsent",
    "deregister.half",
    "deregister.answered",
    // What a program declares of a queue's limits is kept.
    "limits.unsent",
    "limits.answered",
    // The slots that messages hold are counted again.
    "recount.unsent",
    "recount.answered",
    // A claim: it reads, perhaps after it checked what is due or let messages go from their lanes; a read that waits is
    // ended; a group that is missing is made.
    "read.unsent",
    "read.answered",
    "check.unsent",
    "check.half",
    "check.answered",
    "grant.unsent",
    "grant.half",
    "grant.answered",
    "unblock.unsent",
    "unblock.half",
    "unblock.answered",
    "open.unsent",
    "open.answered",
    // What a lost answer held is listed, fetched, and dropped where it is gone.
    "reclaim.unsent",
    "reclaim.answered",
    "fetch.unsent",
    "fetch.half",
    "fetch.answered",
    "let_go.unsent",
    "let_go.half",
    "let_go.answered",
    // What a dead worker held is recovered.
    "recover.unsent",
    "recover.answered",
    // What is parked is delivered to a worker that can run it.
    "unpark.unsent",
    "unpark.answered",
    // Schedules are stored, declared, found to be due, and fired.
    "upsert.unsent",
    "upsert.answered",
    "declare.unsent",
    "declare.answered",
    "due.unsent",
    "due.answered",
    "fire.unsent",
    "fire.answered",
    // What is kept of a message beside it is set, while its run goes on.
    "set_state.unsent",
    "set_state.answered",
    // Settlements: of successes alone, or with the rarest kind among them. A claim releases what it was delivered too
    // much.
    "done.unsent",
    "done.half",
    "done.answered",
    "free.unsent",
    "free.half",
    "free.answered",
    "limit.unsent",
    "limit.half",
    "limit.answered",
    "reschedule.unsent",
    "reschedule.half",
    "reschedule.answered",
    "dead_letter.unsent",
    "dead_letter.half",
    "dead_letter.answered",
    "release.unsent",
    "release.half",
    "release.answered",
    // What follows from a run and belongs to another queue is read from the outbox, stored there, and removed here.
    "outbox.unsent",
    "outbox.answered",
    "arrive.unsent",
    "arrive.half",
    "arrive.answered",
    "sent.unsent",
    "sent.answered",
    // A message is cancelled: what is scheduled is removed, else it is noted as cancelled, found, and removed.
    "cancel.unsent",
    "cancel.answered",
    // Redis did not know a script, and was not sent its text yet.
    "script.unknown",
];

/// Passes the points before a request is sent.
pub(crate) async fn before(request: &Request, connection: &MultiplexedConnection) {
    let name = request.name();
    debug_assert!(
        matches!(name, "inspect" | "limiter") || POINTS.contains(&&*format!("{name}.unsent")),
        "{name} is not in POINTS"
    );
    pass(&format!("{name}.unsent"));
    let all = request.pipeline();
    if all.len() > 1 && is_due(&format!("{name}.half")) {
        let mut part = Pipeline::new();
        for command in all.cmd_iter().take(fastrand::usize(1..all.len())) {
            part.add_command(command.clone());
        }
        // Answered or not: what is sent here is all that Redis ever hears of the request.
        let _ = connection.clone().send_packed_commands(&part, 0, part.len()).await;
        fire();
    }
}

/// Passes the point after a request was answered.
pub(crate) fn after(request: &Request) {
    pass(&format!("{}.answered", request.name()));
}
