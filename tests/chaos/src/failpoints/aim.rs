//! The failpoints, with the role that passes each and the acts that lead a process there.

use crate::fleet::Role;

/// A failpoint to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) point: &'static str,
    pub(crate) role: Role,
    pub(crate) acts: Acts,
    /// A process dies at this pass at the latest.
    pub(crate) most_passes: u64,
}

/// An act that leads a process to a point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// The process is asked to stop.
    Stop,
    /// The process is frozen.
    Freeze,
    Thaw,
    /// Hundreds of messages arrive at once, so that workers fetch ahead and settle several together.
    Burst,
    /// Messages with a lane, without one, and of lanes that a limit elsewhere closes, all at once.
    GatedBurst,
    /// The process receives no answers from Redis.
    Deaf,
    /// Redis believes an entry in flight whose body is gone.
    LoseBody,
    /// The process's connections are cut.
    Cut,
    Clear,
    /// Another worker is killed.
    KillAnother,
    /// The group of an always empty stream is deleted.
    LoseGroup,
    /// Redis forgets its scripts.
    FlushScripts,
    /// Messages are parked, as by a worker that cannot run them.
    Park,
}

/// Acts, each with the ms since the one before. They repeat until the point is reached.
type Acts = &'static [(u64, Act)];

const LOAD: Acts = &[];
const STOP: Acts = &[(1_500, Act::Stop)];
const BURST: Acts = &[(600, Act::Burst)];
/// Different kinds are then settled together.
const GATED_BURST: Acts = &[(900, Act::GatedBurst)];
/// Messages fetched ahead wait for slots.
const STOP_IN_BURST: Acts = &[(1_500, Act::Burst), (60, Act::Stop)];
/// Longer than the lease of 1.5 s.
const FREEZE: Acts = &[(1_000, Act::Freeze), (2_800, Act::Thaw)];
const NETWORK: Acts = &[(700, Act::Deaf), (0, Act::LoseBody), (200, Act::Cut), (60, Act::Clear)];
/// The lost answer then holds several messages.
const BURST_AND_NETWORK: Acts = &[(700, Act::Burst), (30, Act::Deaf), (200, Act::Cut), (60, Act::Clear)];
/// The killed worker then holds enough for all others to recover some.
const DEATH: Acts = &[(1_700, Act::Burst), (40, Act::KillAnother)];
const GROUP: Acts = &[(700, Act::LoseGroup)];
const PARKED: Acts = &[(300, Act::Park)];
const SCRIPTS: Acts = &[(400, Act::FlushScripts)];

/// Found by prefix of the name: the first match counts.
const WAYS: &[(&str, Role, Acts, u64)] = &[
    ("enqueue_one", Role::Producer, LOAD, 40),
    ("enqueue", Role::Producer, LOAD, 10),
    // With the announcement of the queue, which is the first request of a process.
    ("enter.half", Role::Producer, LOAD, 1),
    ("enter", Role::Producer, LOAD, 5),
    ("schedule", Role::Producer, LOAD, 5),
    ("cancel", Role::Producer, LOAD, 5),
    ("upsert", Role::Producer, LOAD, 1),
    ("declare", Role::Worker, LOAD, 1),
    ("due", Role::Worker, LOAD, 3),
    ("fire", Role::Worker, LOAD, 2),
    ("worker.tick_fired", Role::Worker, LOAD, 3),
    ("worker.tick_due", Role::Worker, LOAD, 3),
    ("unique", Role::Producer, LOAD, 10),
    // Only what is unique until it starts.
    ("begin", Role::Worker, LOAD, 2),
    ("worker.begun", Role::Worker, LOAD, 2),
    ("worker.batch", Role::Worker, LOAD, 5),
    ("connect.former_closed", Role::Worker, NETWORK, 1),
    ("connect", Role::Worker, LOAD, 3),
    ("register", Role::Worker, LOAD, 1),
    ("renew", Role::Worker, LOAD, 4),
    ("stopping", Role::Worker, STOP, 1),
    ("deregister", Role::Worker, STOP, 1),
    ("limits", Role::Worker, LOAD, 1),
    ("recount", Role::Worker, LOAD, 1),
    ("grant", Role::Worker, LOAD, 10),
    ("free.half", Role::Worker, GATED_BURST, 1),
    ("free", Role::Worker, LOAD, 5),
    ("limit", Role::Worker, GATED_BURST, 1),
    ("check", Role::Worker, LOAD, 4),
    ("unblock", Role::Worker, STOP, 1),
    ("open", Role::Worker, GROUP, 1),
    ("reclaim", Role::Worker, NETWORK, 2),
    ("fetch", Role::Worker, BURST_AND_NETWORK, 1),
    ("let_go", Role::Worker, NETWORK, 1),
    ("recover", Role::Worker, DEATH, 2),
    ("unpark", Role::Worker, PARKED, 2),
    ("reschedule.half", Role::Worker, BURST, 1),
    ("reschedule", Role::Worker, LOAD, 3),
    ("dead_letter.half", Role::Worker, BURST, 1),
    ("dead_letter", Role::Worker, LOAD, 2),
    ("release", Role::Worker, STOP_IN_BURST, 1),
    ("set_state", Role::Worker, LOAD, 3),
    ("script", Role::Worker, SCRIPTS, 1),
    ("worker.live", Role::Worker, LOAD, 1),
    ("worker.told", Role::Worker, LOAD, 1),
    ("worker.recovered", Role::Worker, DEATH, 1),
    ("worker.unparked", Role::Worker, PARKED, 2),
    ("worker.releasing", Role::Worker, STOP, 1),
    ("worker.runs_over", Role::Worker, STOP, 1),
    ("worker.all_settled", Role::Worker, STOP, 1),
    ("worker.deregistered", Role::Worker, STOP, 1),
    ("worker.lease_lost", Role::Worker, FREEZE, 1),
    ("worker.abandoned", Role::Worker, FREEZE, 1),
    // Also what others left, when it starts.
    ("outbox", Role::Worker, LOAD, 10),
    // With the announcement of the other queue, which is the first request of a process to it.
    ("arrive.half", Role::Worker, LOAD, 1),
    ("arrive", Role::Worker, LOAD, 10),
    ("sent", Role::Worker, LOAD, 10),
    ("worker.relaying", Role::Worker, LOAD, 10),
    // Every message passes these.
    ("", Role::Worker, LOAD, 30),
];

/// Every failpoint of the library.
pub(crate) fn all() -> Vec<Aim> {
    let points = actor_core::failpoint::POINTS.iter().chain(actor_redis::failpoint::POINTS);
    points.copied().map(aim).collect()
}

fn aim(point: &'static str) -> Aim {
    let way = WAYS.iter().find(|(beginning, ..)| point.starts_with(beginning));
    let (_, role, acts, most_passes) = *way.expect("the last one fits every name");
    Aim { point, role, acts, most_passes }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each message passes.
    const PASSED: [&str; 6] =
        ["worker.claimed", "worker.starting", "worker.run_ended", "worker.settled", "read.", "done."];

    #[test]
    fn each_point_that_not_every_message_passes_has_a_way_of_its_own_and_each_way_leads_to_a_point() {
        let way = |point: &str| WAYS.iter().position(|(beginning, ..)| point.starts_with(beginning));
        let ways: Vec<_> = all().iter().map(|aim| (aim.point, way(aim.point))).collect();
        for (at, (beginning, ..)) in WAYS.iter().enumerate() {
            assert!(
                ways.iter().any(|(_, way)| *way == Some(at)),
                "no point begins with {beginning:?}, or an earlier way takes it"
            );
        }
        let strays = ways.iter().filter(|(point, way)| {
            *way == Some(WAYS.len() - 1) && !PASSED.iter().any(|passed| point.starts_with(passed))
        });
        assert_eq!(strays.map(|(point, _)| *point).collect::<Vec<_>>(), [] as [&str; 0]);
    }
}
