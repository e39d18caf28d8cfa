//! The scenarios, by name: which faults, among which processes.

use std::time::Duration;

use crate::fault::Fault;
use crate::judge;

/// A scenario.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Each with its weight.
    pub(crate) faults: Vec<(Fault, u32)>,
    /// Between two faults of one lane, in ms, at least and at most.
    pub(crate) gap_ms: (u64, u64),
    pub(crate) workers: usize,
    pub(crate) producers: usize,
    pub(crate) lease_ms: u64,
    pub(crate) slots: usize,
    pub(crate) threads: usize,
    /// Sends a second, of each producer.
    pub(crate) rate: f64,
    pub(crate) long_runs: bool,
    /// What workers are run under, the first one aside.
    pub(crate) under: &'static [&'static str],
    /// Rules that need not hold here, and why.
    pub(crate) excused: &'static [(&'static str, &'static str)],
}

impl Scenario {
    pub(crate) fn of(name: &'static str, about: &'static str, faults: &[Fault]) -> Self {
        Self {
            name,
            about,
            faults: faults.iter().map(|fault| (*fault, 1)).collect(),
            gap_ms: (500, 2_500),
            workers: 3,
            producers: 2,
            // The default: the bound of recovery is its promise.
            lease_ms: 6_000,
            slots: 32,
            threads: 2,
            rate: 100.0,
            long_runs: true,
            under: &[],
            excused: &[],
        }
    }

    /// With a short lease, so that more happens in the same time.
    pub(crate) fn dense(self) -> Self {
        Self { lease_ms: 1_500, ..self }
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(crate) fn under(&self, worker: usize) -> &'static [&'static str] {
        if worker == 0 { &[] } else { self.under }
    }
}

const UNKNOWN_HOLDERS: &[(&str, &str)] = &[
    (judge::EXCLUSION, "who held what was deleted: it is lent again while it may still run"),
    (judge::TOKENS, "how often it was lent was deleted"),
    (judge::BOUNDED, "how often it was lent was deleted"),
    (judge::REASONS, "a run that the ledger fences off spends a retry"),
];

/// All of them; the mixed one is the first.
#[allow(clippy::enum_glob_use)] // The table reads better without the name before each.
pub(crate) fn all() -> Vec<Scenario> {
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
            rate: 150.0,
            ..one("mixed", "everything at once", &[])
        },
        one("calm", "no fault at all", &[]),
        one("kill-worker", "SIGKILL of workers", &[KillWorker]),
        one("kill-producer", "SIGKILL of producers", &[KillProducer]),
        one("kill-all-workers", "SIGKILL of all workers at once", &[KillAllWorkers]),
        one("cycle-worker", "SIGTERM of workers, as a rolling deploy", &[CycleWorker]),
        one(
            "freeze-worker",
            "SIGSTOP past the lease, then SIGCONT: zombies that succeed, and that fail",
            &[FreezeWorker],
        )
        .dense(),
        one("kill-redis", "Redis SIGKILLed and restarted on its append-only file", &[KillRedis]),
        one("freeze-redis", "Redis frozen with SIGSTOP", &[FreezeRedis]),
        one("slow-loading", "Redis answers LOADING", &[SlowLoading]),
        one("out-of-memory", "Redis refuses writes with OOM", &[OutOfMemory]),
        one("read-only", "Redis refuses writes with READONLY", &[ReadOnly]),
        one("flush-scripts", "SCRIPT FLUSH", &[FlushScripts]),
        one("kill-clients", "CLIENT KILL of every client", &[KillClients]),
        one("lose-workers", "the index of leases is deleted", &[LoseWorkers]).dense(),
        Scenario {
            excused: &[(judge::WAITS, "the times were in the index: what had one starts early, rather than never")],
            ..one("lose-later", "the index of scheduled messages is deleted", &[LoseLater]).dense()
        },
        Scenario {
            excused: UNKNOWN_HOLDERS,
            ..one("lose-consumers", "the consumers of a stream are deleted", &[LoseConsumers]).dense()
        },
        Scenario {
            excused: UNKNOWN_HOLDERS,
            ..one("lose-groups", "the consumer group of a stream is deleted", &[LoseGroups]).dense()
        },
        one("cut", "connections are cut and refused", &[Cut]),
        one("one-way", "the network passes one way only", &[Mute, Deaf]),
        one("snap", "connections are reset in the middle of an answer", &[Snap]),
        one("lag", "the network delays by 1 to 500 ms", &[Lag]),
        one("drip", "the network passes a few bytes at a time", &[Drip]),
        Scenario { threads: 1, ..one("hog", "user code blocks the runtime for longer than the lease", &[Hog]) },
        one("poison", "messages that abort their worker, among innocent neighbours", &[Poison]).dense(),
        Scenario {
            // Of address space, which is what the limit counts.
            under: &["prlimit", "--as=1500000000"],
            ..one("leak", "runs that take memory until a limit kills their worker", &[Leak]).dense()
        },
    ]
}
