//! The orders of a child process, and how it starts.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actor_core::{Durability, failpoint};
use actor_redis::RedisBroker;
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use crate::history::{Journal, What};
use crate::recorder::Recorder;
use crate::rotation;
use crate::tasks::gated;

/// The namespace of all keys of a run.
pub(crate) const NAMESPACE: &str = "chaos";
/// The queues of the actors.
pub(crate) const QUEUES: [&str; 2] = ["work", "threads"];
/// These, and those of further actors: of three primaries of a cluster, each serves two of them. One more has limits.
const SPREAD: [&str; 7] = [QUEUES[0], QUEUES[1], "mail", "billing", "reports", "search", gated::QUEUE];

/// The usual ones, and one with limits.
const GATED: [&str; 3] = [QUEUES[0], QUEUES[1], gated::QUEUE];

/// Orders for a worker or producer process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The name of the process and its history.
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) url: String,
    pub(crate) seed: u64,
    /// Workers: ms of the lease.
    pub(crate) lease_ms: u64,
    /// Workers: slots for each queue.
    pub(crate) slots: usize,
    /// Workers: threads of the runtime.
    pub(crate) threads: usize,
    /// Producers: messages a second.
    pub(crate) rate: f64,
    /// Whether actors take long.
    pub(crate) long_runs: bool,
    /// What producers send besides the usual.
    pub(crate) extra: Extra,
    /// Producers: whether they pause for some seconds again and again.
    pub(crate) pauses: bool,
    /// Workers: ms of the shutdown timeout.
    pub(crate) stop_ms: u64,
    /// Workers: whether they run the older version, which lacks the newest actor.
    pub(crate) older: bool,
    /// Whether a message is sent only once a replica has it.
    pub(crate) waits: bool,
    /// Whether it has its user and password from the file in `directory`.
    pub(crate) rotates: bool,
    /// The failpoint it dies at, if it gets there.
    pub(crate) failpoint: Option<Failpoint>,
}

/// What producers send besides the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Extra {
    Nothing,
    /// Runs that outlast a shutdown timeout of a few seconds.
    Long,
    /// Short runs of the actor that holds a thread.
    Sync,
    /// Messages of the newest actor.
    Newest,
    /// Many messages of an actor that takes several at once.
    Batches,
    /// About as many to each of the usual queues, many that have not run at any time, and some that wait for limits.
    Even,
    /// Messages that wait for limits.
    Gated,
    /// Half of them unique, or with an idempotency key.
    Unique,
    /// As many to each of more queues, none of which waits for another.
    Spread,
    /// Messages that are cancelled.
    Cancel,
    /// A schedule of every second.
    Ticks,
    /// Half of them with something that follows from their runs.
    Following,
    /// Messages that wait for limits, and some with something that follows from their runs.
    Mixed,
    /// Messages that are cancelled or unique, a schedule, a queue with limits, and what follows from runs: what passes each
    /// failpoint.
    Each,
}

impl Extra {
    /// Whether messages of this kind are among it.
    pub(crate) fn has(self, kind: Self) -> bool {
        match self {
            Self::Each => {
                matches!(kind, Self::Each | Self::Cancel | Self::Ticks | Self::Gated | Self::Unique | Self::Following)
            }
            Self::Even | Self::Mixed => kind == self || matches!(kind, Self::Gated | Self::Following),
            Self::Spread => matches!(kind, Self::Spread | Self::Following),
            _ => self == kind,
        }
    }

    /// The queues that messages are sent to.
    pub(crate) fn queues(self) -> &'static [&'static str] {
        match self {
            Self::Spread => &SPREAD,
            Self::Gated | Self::Even | Self::Mixed | Self::Each => &GATED,
            _ => &QUEUES,
        }
    }
}

/// A failpoint, and the pass at which a process dies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failpoint {
    pub(crate) point: String,
    pub(crate) passes: u64,
}

impl Failpoint {
    /// Makes this process die there.
    fn accept(&self, journal: &Arc<Journal>) {
        let journal = Arc::clone(journal);
        failpoint::arm(&self.point, self.passes, move |point| {
            journal.note(&What::Reached { point: point.to_owned() });
            let _ = kill_process(getpid(), Signal::KILL);
            // Nothing may happen after the point until the kill arrives.
            loop {
                std::thread::park();
            }
        });
    }
}

impl Orders {
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// How long a stopping worker waits for its runs.
    pub(crate) fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.stop_ms)
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.directory.join("ledger.sock")
    }

    /// Begins a child process: it dies with the harness, writes its log, and has a history.
    pub(crate) fn begin(&self) -> io::Result<Arc<Journal>> {
        die_with_the_harness()?;
        let log = File::create(self.directory.join(format!("{}.log", self.name)))?;
        tracing_subscriber::fmt().with_ansi(false).with_writer(log).init();
        let journal = Arc::new(Journal::open(&self.directory, &self.name)?);
        if let Some(failpoint) = &self.failpoint {
            failpoint.accept(&journal);
        }
        Ok(journal)
    }

    /// The broker of this process. It need not be reachable yet.
    pub(crate) fn broker(&self, journal: &Arc<Journal>) -> Result<Recorder<RedisBroker>, actor_redis::Error> {
        let durability = if self.waits { Durability::Replicated(1) } else { Durability::Stored };
        let mut broker = RedisBroker::builder(&self.url)?.namespace(NAMESPACE).durability(durability);
        if self.rotates {
            let file = rotation::file(&self.directory);
            broker = broker.credentials(move || std::future::ready(rotation::read(&file)))?;
        }
        Ok(Recorder { broker: broker.connect_lazy()?, journal: Arc::clone(journal) })
    }
}

/// Makes the kernel kill this process when the harness ends. On other systems than Linux it is left behind.
pub(crate) fn die_with_the_harness() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}
