//! The scenarios, by name: which faults hit which processes.

use std::time::Duration;

use crate::excuses::{FAILED_OVER, UNKNOWN_HOLDERS};
use crate::fault::Fault;
use crate::fleet::{Role, Under};
use crate::process::Extra;
use crate::scenario::{DiskSize, Scenario};
use crate::topology::{Promoter, Topology};
use crate::{judge, rotation, threads};

mod replicated;

/// All workers are limited: otherwise the machine runs out of memory, not the worker.
fn limited(role: Role, _: usize) -> Under {
    match role {
        // The limit counts address space.
        Role::Worker => Under { program: &["prlimit", "--as=1500000000"], variables: &[] },
        Role::Producer => Under::default(),
    }
}

/// A producer's connection is dropped in each longer pause. Workers' connections are idle for a waiting read of up to
/// 15 s; no known network drops them sooner.
fn forgetful(role: Role) -> Duration {
    match role {
        Role::Worker => Duration::from_secs(20),
        Role::Producer => Duration::from_secs(3),
    }
}

/// All workers run as a user whose threads can be limited.
fn limited_in_threads(role: Role, _: usize) -> Under {
    match role {
        Role::Worker => Under { program: threads::PROGRAM, variables: &[] },
        Role::Producer => Under::default(),
    }
}

/// Of three hosts, one is an hour ahead and one an hour behind.
fn wrong_clock(_: Role, number: usize) -> Under {
    // Only the time of day is wrong; time passes at the same rate.
    let variables = &[("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    match number % 3 {
        1 => Under { program: &["faketime", "-f", "+3600s"], variables },
        2 => Under { program: &["faketime", "-f", "-3600s"], variables },
        _ => Under::default(),
    }
}

/// All scenarios; the mixed one comes first.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = alone();
    all.extend(replicated::all());
    all
}

/// Those of one server, and of one that stands by.
#[allow(clippy::enum_glob_use)] // The table reads better without prefixes.
fn alone() -> Vec<Scenario> {
    use Fault::*;
    let one = Scenario::of;
    vec![
        Scenario {
            faults: vec![
                (KillWorker, 6),
                (KillProducer, 3),
                (KillAllWorkers, 1),
                (CycleWorker, 3),
                (FreezeWorker, 3),
                (Poison, 1),
                (Hog, 1),
                (KillRedis, 3),
                (FreezeRedis, 2),
                (SlowLoading, 1),
                (OutOfMemory, 2),
                (ReadOnly, 2),
                (FlushScripts, 2),
                (KillClients, 3),
                (LoseWorkers, 1),
                (Cut, 3),
                (Mute, 2),
                (Deaf, 2),
                (Snap, 3),
                (Lag, 2),
                (Drip, 1),
            ],
            workers: 4,
            gap_ms: (1_000, 5_000),
            rate: 200.0,
            extra: Extra::Mixed,
            tunes: true,
            ..one("mixed", "everything at once", &[])
        },
        one("calm", "no fault at all", &[]),
        Scenario {
            extra: Extra::Unique,
            faults: vec![
                (KillWorker, 3),
                (KillProducer, 2),
                (CycleWorker, 2),
                (FreezeWorker, 4),
                (KillClients, 2),
                (Snap, 2),
                (Cut, 1),
                (FlushScripts, 1),
                (KillRedis, 1),
            ],
            ..one("unique", "messages of few unique keys and idempotency keys, while all else fails", &[]).dense()
        },
        Scenario {
            extra: Extra::Following,
            workers: 4,
            faults: vec![
                (KillWorker, 4),
                (KillAllWorkers, 1),
                (CycleWorker, 2),
                (FreezeWorker, 3),
                (KillRedis, 2),
                (OutOfMemory, 1),
                (FlushScripts, 1),
                (KillClients, 2),
                (Cut, 2),
                (Snap, 3),
            ],
            ..one("following", "runs that send after themselves, on workers that are killed, frozen and cut off", &[])
                .dense()
        },
        one("kill-worker", "SIGKILL of workers", &[KillWorker]),
        Scenario {
            workers: 4,
            extra: Extra::Ticks,
            faults: vec![
                (KillWorker, 6),
                (KillAllWorkers, 1),
                (CycleWorker, 2),
                (FreezeWorker, 2),
                (KillRedis, 1),
                (FlushScripts, 1),
                (KillClients, 2),
                (Cut, 2),
                (Snap, 2),
            ],
            ..one("schedules", "a schedule of every second, fired by workers that are killed, frozen and cut off", &[])
        },
        one("kill-producer", "SIGKILL of producers", &[KillProducer]),
        Scenario {
            // Some deaths apart, so that messages are recovered before the next: otherwise ever more would wait for the
            // last workers' slots.
            gap_ms: (1_000, 14_000),
            ..one("kill-all-workers", "SIGKILL of all workers at once", &[KillAllWorkers])
        },
        one("cycle-worker", "SIGTERM of workers, as a rolling deploy", &[CycleWorker]),
        Scenario {
            stop_ms: 2_500,
            extra: Extra::Long,
            faults: vec![(Deploy, 3), (HastyDeploy, 2)],
            workers: 4,
            gap_ms: (1_000, 4_000),
            ..one(
                "deploy",
                "SIGTERM of workers, then SIGKILL after a grace period longer or shorter than the shutdown timeout",
                &[],
            )
            .dense()
        },
        Scenario {
            extra: Extra::Cancel,
            faults: vec![(KillWorker, 3), (CycleWorker, 2), (KillProducer, 2), (KillRedis, 1), (Cut, 1)],
            ..one("cancel", "messages are cancelled while they wait, run, fail and are recovered", &[])
        },
        Scenario {
            first_is_older: true,
            extra: Extra::Newest,
            faults: vec![(RollBack, 3), (RollBackAll, 2)],
            workers: 4,
            gap_ms: (500, 2_500),
            ..one("rolling-deploy", "workers of two versions, of which one lacks an actor, replace each other", &[])
        },
        Scenario {
            under: limited_in_threads,
            extra: Extra::Sync,
            long_runs: false,
            gap_ms: (200, 1_500),
            ..one("few-threads", "the OS refuses a worker each new thread for a while", &[FewThreads])
        },
        Scenario {
            gap_ms: (200, 800),
            ..one(
                "freeze-worker",
                "SIGSTOP past the lease, then SIGCONT: zombies that succeed, and that fail",
                &[FreezeWorker],
            )
            .dense()
        },
        Scenario {
            faults: vec![
                (KillWorker, 4),
                (CycleWorker, 2),
                (FreezeWorker, 3),
                (KillRedis, 2),
                (FreezeRedis, 1),
                (FlushScripts, 1),
            ],
            extra: Extra::Gated,
            tunes: true,
            // Some time without faults, in which each free slot must be taken.
            gap_ms: (2_000, 6_000),
            rate: 150.0,
            ..one("limits", "workers and Redis killed, frozen and restarted while messages wait for limits", &[])
                .dense()
        },
        one("kill-redis", "Redis SIGKILLed and restarted on its append-only file", &[KillRedis]),
        one("long-outage", "Redis unavailable for about a lease, or longer: nobody is declared dead", &[LongOutage]),
        one("freeze-redis", "Redis frozen with SIGSTOP", &[FreezeRedis]),
        one("slow-loading", "Redis answers LOADING", &[SlowLoading]),
        one("out-of-memory", "Redis refuses writes with OOM", &[OutOfMemory]),
        one("read-only", "Redis refuses writes with READONLY", &[ReadOnly]),
        Scenario {
            topology: Topology::Standby(Promoter::Master),
            gap_ms: (3_000, 6_000),
            ..one(
                "hand-over",
                "a planned failover: a replica is promoted, its master refuses writes, clients follow",
                &[HandOver],
            )
        },
        Scenario {
            topology: Topology::Standby(Promoter::Sentinel),
            extra: Extra::Following,
            gap_ms: (4_000, 7_000),
            excused: FAILED_OVER,
            ..one(
                "failover",
                "the master dies while its replica is disconnected; Sentinel promotes the replica",
                &[FailOver],
            )
        },
        Scenario {
            topology: Topology::Standby(Promoter::Sentinel),
            extra: Extra::Following,
            gap_ms: (4_000, 7_000),
            waits: true,
            excused: FAILED_OVER,
            ..one(
                "failover-wait",
                "the same with messages that are sent as `Replicated(1)`: none may be lost",
                &[FailOver],
            )
        },
        Scenario {
            faults: vec![(RotateUser, 4), (RotatePassword, 2), (RevokeUser, 1), (HideCredentials, 1)],
            redis: rotation::GUARDED,
            extra: Extra::Even,
            ..one(
                "credentials-rotate",
                "users and passwords are replaced and revoked again and again, and the provider fails",
                &[],
            )
        },
        Scenario {
            disk: DiskSize::Small,
            ..one("disk-full", "the disk is full: Redis, which must write before it answers, exits", &[FillDisk])
        },
        Scenario {
            disk: DiskSize::Small,
            redis: &["--appendfsync", "everysec"],
            ..one(
                "disk-full-everysec",
                "the disk is full: Redis, which writes every second, refuses with MISCONF",
                &[FillDisk],
            )
        },
        Scenario {
            gap_ms: (200, 1_000),
            ..one(
                "formats",
                "messages of a newer format and others written by hand, among today's",
                &[Foreign, KillWorker],
            )
        },
        Scenario {
            under: wrong_clock,
            ..one("clocks", "hosts whose clocks are an hour off, while workers are killed", &[KillWorker, FreezeWorker])
        },
        one("flush-scripts", "SCRIPT FLUSH", &[FlushScripts]),
        one("kill-clients", "CLIENT KILL of every client", &[KillClients]),
        // Workers die too, so that others look for the dead while leases are missing.
        one("lose-workers", "the index of leases is deleted, while workers are killed", &[LoseWorkers, KillWorker])
            .dense(),
        Scenario {
            excused: &[(
                judge::WAITS,
                "the times were in the index: scheduled messages start early, rather than never",
            )],
            ..one("lose-scheduled", "the index of scheduled messages is deleted, and repaired", &[LoseScheduled])
                .dense()
        },
        Scenario {
            excused: UNKNOWN_HOLDERS,
            ..one("lose-consumers", "the consumers of a stream are deleted", &[LoseConsumers]).dense()
        },
        Scenario {
            excused: UNKNOWN_HOLDERS,
            ..one("lose-groups", "the consumer group of a stream is deleted", &[LoseGroups]).dense()
        },
        one("lose-dead", "the index of dead letters is deleted, and repaired", &[LoseDead]).dense(),
        Scenario {
            extra: Extra::Gated,
            faults: vec![(LoseCounts, 3), (KillWorker, 1)],
            ..one(
                "lose-counts",
                "slots are counted as taken that no message holds, and repaired, while workers are killed",
                &[],
            )
            .dense()
        },
        one("lose-queues", "the list of queues is deleted", &[LoseQueues]).dense(),
        one("cut", "connections are cut and refused", &[Cut]),
        one("one-way", "the network passes one way only", &[Mute, Deaf]),
        Scenario { memory: Some(forgetful), ..one("quiet-nat", "the network silently drops idle connections", &[]) },
        one("snap", "connections are reset in the middle of an answer", &[Snap]),
        one("lag", "the network delays by 1 to 500 ms", &[Lag]),
        one("drip", "the network passes a few bytes at a time", &[Drip]),
        Scenario { threads: 1, ..one("hog", "user code blocks the runtime for longer than the lease", &[Hog]) },
        one("poison", "messages that abort their worker, among innocent neighbours", &[Poison]).dense(),
        Scenario {
            extra: Extra::Batches,
            gap_ms: (1_000, 4_000),
            ..one(
                "batches",
                "batches of an actor whose workers die, freeze and stop, and messages in them that abort their worker",
                &[PoisonBatch, KillWorker, FreezeWorker, CycleWorker],
            )
            .dense()
        },
        Scenario {
            under: limited,
            ..one("leak", "runs that allocate until a limit kills their worker", &[Leak]).dense()
        },
    ]
}
