//! A primary that dies or freezes, and the replica that the cluster promotes.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::super::Loss;
use super::super::replica::{role, wait};
use super::Cluster;
use crate::history::{Journal, What};
use crate::server::Server;

/// Longer than a request waits for its answer.
const HANG: Duration = Duration::from_secs(6);
/// How long the program has between two failures, to recover from the first.
pub(super) const BETWEEN: Duration = Duration::from_secs(1);
/// How often a replica is asked whether it was promoted.
const ASKED: Duration = Duration::from_millis(5);

/// A primary that is lost, and not yet back as a replica.
#[derive(Debug)]
pub(super) struct Lost {
    shard: usize,
    member: usize,
    how: Loss,
    /// Whether a frozen one stays so until no request waits for it any more.
    hangs: bool,
    watch: Option<Watch>,
}

impl Cluster {
    /// The queues of the primary that `rng` chooses.
    pub(crate) fn chosen(&self, rng: u64) -> String {
        self.named(self.shard(rng))
    }

    /// Takes a primary away. What it had not replicated by now may be lost.
    pub(crate) fn lose_primary(&mut self, how: Loss, rng: u64) -> io::Result<()> {
        self.check_calm()?;
        let shard = self.shard(rng);
        let watch = self.watch(shard)?;
        self.journal.note(&What::Parted);
        self.journal.note(&What::Away);
        match how {
            Loss::Killed => {
                self.primary_mut(shard).kill();
                self.journal.note(&What::MasterLost);
            }
            Loss::Frozen => self.primary(shard).freeze(),
        }
        let hangs = (rng >> 8).is_multiple_of(2);
        self.lost = Some(Lost { shard, member: self.primaries[shard], how, hangs, watch: Some(watch) });
        Ok(())
    }

    /// Waits until the replica has taken the lost primary's place.
    pub(crate) fn wait_promoted(&mut self) -> io::Result<()> {
        let Some(shard) = self.lost.as_ref().map(|lost| lost.shard) else { return Ok(()) };
        let replica = self.replica_of(shard);
        let server = &self.members[replica].server;
        wait("a promotion", || Ok((role(server)? == "master").then_some(())))?;
        self.primaries[shard] = replica;
        if let Some(watch) = self.lost.as_mut().and_then(|lost| lost.watch.take()) {
            watch.noted();
        }
        self.journal.note(&What::Back);
        Ok(())
    }

    /// Brings the former primary back, and waits until it replicates the new one.
    pub(crate) fn bring_back(&mut self) -> io::Result<()> {
        let Some(Lost { member, how, hangs, .. }) = self.lost.take() else { return Ok(()) };
        match how {
            Loss::Killed => self.members[member].server.launch(&[])?,
            Loss::Frozen => {
                if hangs {
                    std::thread::sleep(HANG);
                }
                self.members[member].server.thaw();
            }
        }
        self.wait_whole()?;
        if how == Loss::Frozen {
            // Until it had learnt of the other it took writes that only it had.
            self.journal.note(&What::MasterLost);
        }
        std::thread::sleep(BETWEEN);
        Ok(())
    }

    /// Records when the replica of a shard is promoted.
    pub(super) fn watch(&self, shard: usize) -> io::Result<Watch> {
        Watch::start(&self.members[self.replica_of(shard)].server, &self.journal)
    }
}

/// Records the promotion of a replica, as soon as it says that it is a primary.
#[derive(Debug)]
pub(super) struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(replica: &Server, journal: &Arc<Journal>) -> io::Result<Self> {
        let (port, journal): (_, Weak<Journal>) = (replica.port, Arc::downgrade(journal));
        let mut connection = replica.connection().map_err(io::Error::other)?;
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::Builder::new().name("promotion".to_owned()).spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let Ok(role) = redis::cmd("ROLE").query::<Vec<redis::Value>>(&mut connection) else { return };
                if role.first() == Some(&redis::Value::BulkString(b"master".to_vec())) {
                    if let Some(journal) = journal.upgrade() {
                        journal.note(&What::Switched { sentinel: port, to: port });
                    }
                    return;
                }
                std::thread::sleep(ASKED);
            }
        })?;
        Ok(Self { over, thread: Some(thread) })
    }

    /// Returns once a promotion that has happened is recorded.
    pub(super) fn noted(mut self) {
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
