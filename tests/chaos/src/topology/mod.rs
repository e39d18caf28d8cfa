//! The servers of a scenario, and how a process reaches them: one server, one that stands by behind it, a set that
//! Sentinels watch, or a cluster.

mod cluster;
mod liar;
mod replica;
mod sentinel;
mod sentinels;
mod standby;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::history::Journal;
use crate::memory::Memory;
use crate::proxy::{Condition, Proxy};
use crate::server::Server;
pub(crate) use cluster::Cluster;
pub(crate) use sentinels::SentinelSet;
pub(crate) use standby::{Promoter, Standby};

/// Which servers a scenario has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    One,
    /// A second one takes the place of the first, and the proxies lead everybody there.
    Standby(Promoter),
    /// Three Sentinels watch a primary and so many replicas. The program gets their URL and finds the primary itself.
    Sentinels {
        replicas: usize,
        access: Access,
    },
    /// Three primaries, each with a replica. The program gets the addresses of all.
    Cluster {
        access: Access,
    },
}

/// How a primary is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Killed,
    /// It comes back as it was, with its connections, and takes writes until it learns that another was promoted.
    Frozen,
}

/// What is between the program, the servers and the Sentinels of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    Direct,
    /// Before each Sentinel something that can lie.
    Liars,
    /// Before each server a proxy that is announced in its place, and that tells replicas from clients.
    Fronts,
}

impl Topology {
    /// Whether another server can take the first one's place.
    pub(crate) fn is_replicated(self) -> bool {
        self != Self::One
    }
}

/// The servers of a run.
#[derive(Debug)]
pub(crate) enum Servers {
    One(Server),
    Standby(Standby),
    Sentinels(SentinelSet),
    Cluster(Cluster),
}

impl Servers {
    pub(crate) async fn start(
        topology: Topology,
        directory: &Path,
        options: &[&str],
        queues: &[&'static str],
        journal: &Arc<Journal>,
    ) -> io::Result<Self> {
        let options: Vec<_> = options.iter().chain(replica::PAIRED).copied().collect();
        Ok(match topology {
            Topology::One => Self::One(Server::start(directory, "redis", &options)?),
            Topology::Standby(promoter) => Self::Standby(Standby::start(directory, &options, promoter)?),
            Topology::Sentinels { replicas, access } => {
                Self::Sentinels(SentinelSet::start(directory, &options, replicas, access, journal).await?)
            }
            Topology::Cluster { access } => {
                Self::Cluster(Cluster::start(directory, &options, access, queues, journal).await?)
            }
        })
    }

    /// The server that takes the writes, in a cluster those of the first queue.
    pub(crate) fn primary(&self) -> &Server {
        match self {
            Self::One(server) => server,
            Self::Standby(standby) => &standby.master,
            Self::Sentinels(set) => set.primary(),
            Self::Cluster(cluster) => cluster.primary(0),
        }
    }

    /// All servers that take writes.
    pub(crate) fn primaries(&self) -> Vec<&Server> {
        match self {
            Self::Cluster(cluster) => cluster.primaries(),
            _ => vec![self.primary()],
        }
    }

    /// The server that has a queue.
    pub(crate) fn holding(&self, queue: &str) -> &Server {
        match self {
            Self::Cluster(cluster) => cluster.holding(queue),
            _ => self.primary(),
        }
    }

    /// Takes a primary away that others watch. What it had not replicated by now may be lost.
    pub(crate) fn lose_primary(&mut self, how: Loss, rng: u64) -> io::Result<()> {
        match self {
            Self::Sentinels(set) => {
                set.lose_primary(how, rng);
                Ok(())
            }
            Self::Cluster(cluster) => cluster.lose_primary(how, rng),
            _ => Err(io::Error::other("nobody watches this server")),
        }
    }

    /// Waits until another server has taken its place.
    pub(crate) fn wait_promoted(&mut self) -> io::Result<()> {
        match self {
            Self::Sentinels(set) => set.wait_promoted(),
            Self::Cluster(cluster) => cluster.wait_promoted(),
            _ => Ok(()),
        }
    }

    /// Brings the former primary back, and waits until it replicates the new one.
    pub(crate) fn bring_back(&mut self) -> io::Result<()> {
        match self {
            Self::Sentinels(set) => set.bring_back(),
            Self::Cluster(cluster) => cluster.bring_back(),
            _ => Ok(()),
        }
    }

    /// That no server was promoted while its primary was there.
    pub(crate) fn check_calm(&self) -> io::Result<()> {
        match self {
            Self::Sentinels(set) => set.check_calm(),
            Self::Cluster(cluster) => cluster.check_calm(),
            _ => Ok(()),
        }
    }

    pub(crate) fn primary_mut(&mut self) -> &mut Server {
        match self {
            Self::One(server) => server,
            Self::Standby(standby) => &mut standby.master,
            Self::Sentinels(set) => set.primary_mut(),
            Self::Cluster(cluster) => cluster.primary_mut(0),
        }
    }

    /// A way of its own for one process.
    pub(crate) async fn way(&self, memory: Option<Memory>) -> io::Result<Way> {
        match self {
            Self::Sentinels(set) => Ok(Way { url: set.url(), proxy: None }),
            Self::Cluster(cluster) => Ok(Way { url: cluster.url(), proxy: None }),
            _ => self.proxied(memory).await,
        }
    }

    /// The harness's own way, which no fault of a network hits.
    pub(crate) async fn own_way(&self) -> io::Result<Way> {
        match self {
            Self::Sentinels(set) => Ok(Way { url: set.own_url(), proxy: None }),
            _ => self.way(None).await,
        }
    }

    async fn proxied(&self, memory: Option<Memory>) -> io::Result<Way> {
        let proxy = Proxy::start(self.primary().port, memory).await?;
        Ok(Way { url: format!("redis://127.0.0.1:{}", proxy.port), proxy: Some(proxy) })
    }
}

/// How one process reaches the servers.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) url: String,
    /// None where the process is told of the servers' own addresses.
    proxy: Option<Proxy>,
}

impl Way {
    pub(crate) fn set(&self, condition: Condition) {
        if let Some(proxy) = &self.proxy {
            proxy.set(condition);
        }
    }

    /// Leads to this port from now on, and resets connections to the old one.
    pub(crate) fn point(&self, port: u16) {
        if let Some(proxy) = &self.proxy {
            proxy.point(port);
        }
    }
}
