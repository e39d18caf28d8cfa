//! A second server that replicates the first, and the Sentinel that promotes it when the first dies. Neither is known
//! to the program, whose proxies lead to the one that is the master.

use std::io;
use std::path::Path;

use super::replica::{PAIRED, follow, role, wait};
use super::sentinel::{NAME, Sentinel};
use crate::server::{Server, free_ports};

/// How long a master must be silent before Sentinel considers it dead. With much less, a busy machine would be taken
/// for a dead master; then there are two masters, and writes to the first are lost.
const DOWN_AFTER_MS: u32 = 3_000;

/// Who promotes the second server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promoter {
    /// Sentinel does, when the first is dead.
    Sentinel,
    /// The first does, when it is to hand over. A Sentinel would undo that.
    Master,
}

/// Two servers, of which one is the master, and who promotes the other.
#[derive(Debug)]
pub(crate) struct Standby {
    pub(crate) master: Server,
    pub(crate) replica: Server,
    sentinel: Option<Sentinel>,
}

impl Standby {
    /// Starts both, and waits until the replica has all data.
    pub(crate) fn start(directory: &Path, options: &[&str], promoter: Promoter) -> io::Result<Self> {
        let master = Server::start(directory, "redis", options)?;
        let mut replica = Server::start(directory, "standby", PAIRED)?;
        follow(&mut replica, master.port)?;
        let sentinel = match promoter {
            Promoter::Sentinel => Some(watch(directory, master.port)?),
            Promoter::Master => None,
        };
        if let Some(sentinel) = &sentinel {
            wait("a Sentinel that knows the replica", || Ok((!sentinel.replicas()?.is_empty()).then_some(())))?;
        }
        Ok(Self { master, replica, sentinel })
    }

    /// Waits until the replica is promoted and its master is none any more. The two have then changed places.
    pub(crate) fn wait_promoted(&mut self) -> io::Result<()> {
        let former = self.master.port;
        match &self.sentinel {
            Some(sentinel) => {
                wait("a promotion", || Ok((sentinel.master()? != former).then_some(())))?;
            }
            None => wait("a promotion", || {
                if !self.replica.is_running() || !self.master.is_running() {
                    return Ok(Some(Err(io::Error::other(
                        "a redis-server ended by itself while one was promoting the other",
                    ))));
                }
                Ok((role(&self.replica)? == "master" && role(&self.master)? == "slave").then_some(Ok(())))
            })??,
        }
        std::mem::swap(&mut self.replica, &mut self.master);
        Ok(())
    }

    /// Makes the one that is no master any more replicate it, and waits until it has all data.
    pub(crate) fn follow(&mut self) -> io::Result<()> {
        follow(&mut self.replica, self.master.port)
    }
}

fn watch(directory: &Path, master: u16) -> io::Result<Sentinel> {
    let port = free_ports(1)?[0];
    let lines = format!(
        "sentinel monitor {NAME} 127.0.0.1 {master} 1\nsentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n\
         sentinel failover-timeout {NAME} 3000\n"
    );
    Sentinel::start(&directory.join("sentinel"), port, &lines)
}
