//! A scenario: which faults hit which processes and servers.

use std::time::Duration;

use crate::fault::Fault;
use crate::fleet::{Role, Under};
use crate::judge;
use crate::process::Extra;
use crate::topology::Topology;

/// The server's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskSize {
    Unlimited,
    /// A small disk of its own.
    Small,
}

/// A scenario.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// The faults with their weights.
    pub(crate) faults: Vec<(Fault, u32)>,
    /// Minimum and maximum time between two faults of one track, in ms.
    pub(crate) gap_ms: (u64, u64),
    pub(crate) workers: usize,
    pub(crate) producers: usize,
    pub(crate) lease_ms: u64,
    pub(crate) slots: usize,
    pub(crate) threads: usize,
    /// Sends per second of each producer.
    pub(crate) rate: f64,
    pub(crate) long_runs: bool,
    /// What producers send besides the usual.
    pub(crate) extra: Extra,
    /// Whether the limits of the queue that has some are changed while it runs.
    pub(crate) tunes: bool,
    /// Of each worker, in ms.
    pub(crate) stop_ms: u64,
    /// Whether the first worker runs the older version, which lacks the newest actor.
    pub(crate) first_is_older: bool,
    /// After which idle time the network drops a connection. Producers then pause for longer.
    pub(crate) memory: Option<fn(Role) -> Duration>,
    /// How each process is launched.
    pub(crate) under: fn(Role, usize) -> Under,
    /// Further options of the server.
    pub(crate) redis: &'static [&'static str],
    pub(crate) disk: DiskSize,
    /// Which servers there are.
    pub(crate) topology: Topology,
    /// Whether producers count only what a replica has as stored.
    pub(crate) waits: bool,
    /// Whether time rules apply.
    pub(crate) timed: bool,
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
            // The default, for which the bound of recovery is promised.
            lease_ms: 6_000,
            slots: 32,
            threads: 2,
            rate: 100.0,
            long_runs: true,
            extra: Extra::Nothing,
            tunes: false,
            stop_ms: 20_000,
            first_is_older: false,
            memory: None,
            under: |_, _| Under::default(),
            redis: &[],
            disk: DiskSize::Unlimited,
            topology: Topology::One,
            waits: false,
            timed: true,
            excused: &[],
        }
    }

    /// Whether there are no faults at all.
    pub(crate) fn is_calm(&self) -> bool {
        self.faults.is_empty() && self.memory.is_none()
    }

    /// Why a rule need not hold here, or `None`.
    pub(crate) fn excuse(&self, rule: &str) -> Option<&'static str> {
        if !self.timed && judge::TIMES.contains(&rule) {
            return Some("--untimed: other work on this machine may have made it late");
        }
        self.excused.iter().find(|(excused, _)| *excused == rule).map(|(_, why)| *why)
    }

    /// Sets a short lease, so that more happens in the same time.
    pub(crate) fn dense(self) -> Self {
        Self { lease_ms: 1_500, ..self }
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// Whether users and passwords change.
    pub(crate) fn rotates(&self) -> bool {
        self.faults.iter().any(|(fault, _)| fault.is_of_credentials())
    }

    /// Whether it is reported for how long there was no service.
    pub(crate) fn measures_service(&self) -> bool {
        matches!(self.topology, Topology::Sentinels { .. } | Topology::Cluster { .. }) || self.rotates()
    }

    /// Whether faults spare workers, their network, and Redis's indexes.
    pub(crate) fn disrupts_only_redis(&self) -> bool {
        (!self.topology.is_replicated() || matches!(self.topology, Topology::Cluster { .. }))
            && !self.faults.is_empty()
            && self.faults.iter().all(|(fault, _)| fault.spares_workers())
    }
}
