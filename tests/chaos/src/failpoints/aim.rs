//! The failpoints, each with who passes it, and what brings a process there.

use crate::fleet::Role;

/// A failpoint to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) point: &'static str,
    pub(crate) role: Role,
    pub(crate) stir: Stir,
    /// At which pass a process dies, at most.
    pub(crate) most_passes: u64,
}

/// What brings a process to a point.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// It is asked to stop.
    Stop,
    /// It is frozen.
    Freeze,
    Thaw,
    /// Hundreds of messages come at once, so that workers fetch ahead and settle several together.
    Burst,
    /// It hears nothing of what Redis answers.
    Deaf,
    /// Redis believes an entry in flight whose body is gone.
    LoseBody,
    /// Its connections end.
    Cut,
    Clear,
    /// A worker beside it is killed.
    KillAnother,
    /// The group of a stream that is always empty is deleted.
    LoseGroup,
    /// Redis forgets its scripts.
    FlushScripts,
    /// Messages are parked, as by a worker that cannot run them.
    Park,
}

/// Each act with the ms since the one before it, over and over, until the point is reached.
type Stir = &'static [(u64, Act)];

const LOAD: Stir = &[];
const STOP: Stir = &[(1_500, Act::Stop)];
const CROWD: Stir = &[(600, Act::Burst)];
/// While messages that were fetched ahead wait for their slots.
const STOP_IN_CROWD: Stir = &[(1_500, Act::Burst), (60, Act::Stop)];
/// For longer than the lease, which is 1.5 s.
const FREEZE: Stir = &[(1_000, Act::Freeze), (2_800, Act::Thaw)];
const NETWORK: Stir = &[(700, Act::Deaf), (0, Act::LoseBody), (200, Act::Cut), (60, Act::Clear)];
/// An answer that is lost then holds several messages.
const CROWDED_NETWORK: Stir = &[(700, Act::Burst), (30, Act::Deaf), (200, Act::Cut), (60, Act::Clear)];
/// Who is killed then holds enough for everybody to recover some.
const DEATH: Stir = &[(1_700, Act::Burst), (40, Act::KillAnother)];
const GROUP: Stir = &[(700, Act::LoseGroup)];
const PARKED: Stir = &[(300, Act::Park)];
const SCRIPTS: Stir = &[(400, Act::FlushScripts)];

/// By the beginning of the name: the first that fits holds.
const WAYS: &[(&str, Role, Stir, u64)] = &[
    ("enqueue_one", Role::Producer, LOAD, 40),
    ("enqueue", Role::Producer, LOAD, 10),
    ("schedule", Role::Producer, LOAD, 5),
    ("connect.former_closed", Role::Worker, NETWORK, 1),
    ("connect", Role::Worker, LOAD, 3),
    ("register", Role::Worker, LOAD, 1),
    ("renew", Role::Worker, LOAD, 4),
    ("stopping", Role::Worker, STOP, 1),
    ("deregister", Role::Worker, STOP, 1),
    ("look", Role::Worker, LOAD, 4),
    ("unblock", Role::Worker, STOP, 1),
    ("open", Role::Worker, GROUP, 1),
    ("reclaim", Role::Worker, NETWORK, 2),
    ("fetch", Role::Worker, CROWDED_NETWORK, 1),
    ("let_go", Role::Worker, NETWORK, 1),
    ("recover", Role::Worker, DEATH, 2),
    ("unpark", Role::Worker, PARKED, 2),
    ("reschedule.half", Role::Worker, CROWD, 1),
    ("reschedule", Role::Worker, LOAD, 3),
    ("dead_letter.half", Role::Worker, CROWD, 1),
    ("dead_letter", Role::Worker, LOAD, 2),
    ("release", Role::Worker, STOP_IN_CROWD, 1),
    ("script", Role::Worker, SCRIPTS, 1),
    ("worker.live", Role::Worker, LOAD, 1),
    ("worker.recovered", Role::Worker, DEATH, 1),
    ("worker.unparked", Role::Worker, PARKED, 2),
    ("worker.giving_back", Role::Worker, STOP, 1),
    ("worker.runs_over", Role::Worker, STOP, 1),
    ("worker.all_settled", Role::Worker, STOP, 1),
    ("worker.deregistered", Role::Worker, STOP, 1),
    ("worker.lease_lost", Role::Worker, FREEZE, 1),
    ("worker.abandoned", Role::Worker, FREEZE, 1),
    // What every message brings.
    ("", Role::Worker, LOAD, 30),
];

/// Every failpoint of the library.
pub(crate) fn all() -> Vec<Aim> {
    let points = actor_core::failpoint::POINTS.iter().chain(actor_redis::failpoint::POINTS);
    points.copied().map(aim).collect()
}

fn aim(point: &'static str) -> Aim {
    let way = WAYS.iter().find(|(beginning, ..)| point.starts_with(beginning));
    let (_, role, stir, most_passes) = *way.expect("the last one fits every name");
    Aim { point, role, stir, most_passes }
}
