//! The scenarios of servers that replicate each other: of a Sentinel set, and of a cluster.

use crate::excuses::FAILED_OVER;
use crate::process::Extra;
use crate::scenario::Scenario;
use crate::topology::{Access, Topology};

/// A scenario of three Sentinels that watch a primary and so many replicas.
fn sentinels(name: &'static str, about: &'static str, replicas: usize) -> Scenario {
    Scenario {
        topology: Topology::Sentinels { replicas, access: Access::Direct },
        gap_ms: (1_000, 3_000),
        extra: Extra::Even,
        tunes: true,
        excused: FAILED_OVER,
        ..Scenario::of(name, about, &[])
    }
}

/// A scenario of a cluster, with queues on each of its primaries.
fn cluster(name: &'static str, about: &'static str, access: Access) -> Scenario {
    Scenario {
        topology: Topology::Cluster { access },
        gap_ms: (1_000, 3_000),
        extra: Extra::Spread,
        tunes: true,
        ..Scenario::of(name, about, &[])
    }
}

/// All of them.
#[allow(clippy::enum_glob_use)] // The table reads better without prefixes.
pub(super) fn all() -> Vec<Scenario> {
    use crate::fault::Fault::*;
    vec![
        Scenario {
            faults: vec![(KillPrimary, 3), (FreezePrimary, 2)],
            ..sentinels(
                "sentinel-failover",
                "a primary dies or freezes; Sentinels promote a replica, which all find",
                2,
            )
        },
        Scenario {
            faults: vec![(KillPrimary, 3), (FreezePrimary, 2)],
            waits: true,
            ..sentinels(
                "sentinel-failover-wait",
                "the same with messages that are sent as `Replicated(1)`: none may be lost",
                2,
            )
        },
        Scenario {
            faults: vec![(KillPrimary, 3), (SentinelsAway, 1), (SentinelsLie, 1)],
            topology: Topology::Sentinels { replicas: 2, access: Access::Liars },
            waits: true,
            ..sentinels(
                "sentinel-lies",
                "Sentinels name an old primary, know none, are silent or away, while another server is promoted too",
                2,
            )
        },
        Scenario {
            faults: vec![(LagReplica, 2), (HoldReplica, 2), (FreezeReplica, 2), (LoseLagging, 4)],
            topology: Topology::Sentinels { replicas: 1, access: Access::Fronts },
            waits: true,
            ..sentinels(
                "replica-lag",
                "the only replica lags, and is promoted behind a primary that dies: nothing sent as `Replicated(1)` is lost",
                1,
            )
        },
        Scenario {
            faults: vec![(KillPrimary, 3), (FreezePrimary, 2)],
            excused: FAILED_OVER,
            ..cluster(
                "cluster-failover",
                "a primary of a cluster dies or freezes; its replica is promoted, which all find",
                Access::Direct,
            )
        },
        Scenario {
            faults: vec![(KillPrimary, 3), (FreezePrimary, 2)],
            waits: true,
            excused: FAILED_OVER,
            ..cluster(
                "cluster-failover-wait",
                "the same with messages that are sent as `Replicated(1)`: none may be lost",
                Access::Direct,
            )
        },
        Scenario {
            faults: vec![(Reshard, 1), (SnapPrimary, 1)],
            gap_ms: (200, 1_500),
            ..cluster(
                "cluster-reshard",
                "the slots of busy queues move from primary to primary, key by key, while answers are lost",
                Access::Fronts,
            )
        },
        Scenario {
            faults: vec![(HidePrimary, 2), (IsolatePrimary, 3)],
            waits: true,
            excused: FAILED_OVER,
            ..cluster(
                "cluster-partition",
                "clients, or the other members, cannot reach a primary: nothing sent as `Replicated(1)` is lost",
                Access::Fronts,
            )
        },
        Scenario {
            faults: vec![
                (KillWorker, 6),
                (KillProducer, 3),
                (KillAllWorkers, 1),
                (CycleWorker, 3),
                (FreezeWorker, 3),
                (Poison, 1),
                (Hog, 1),
                (KillPrimary, 3),
                (FreezePrimary, 2),
                (Reshard, 4),
                (FlushScripts, 2),
                (KillClients, 3),
            ],
            workers: 4,
            gap_ms: (1_000, 5_000),
            rate: 200.0,
            excused: FAILED_OVER,
            ..cluster(
                "mixed-cluster",
                "everything at once on a cluster: processes and primaries die and freeze, while slots move",
                Access::Direct,
            )
        },
    ]
}
