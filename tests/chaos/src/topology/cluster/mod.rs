//! Three primaries, each with a replica, as one Redis Cluster. The program gets the addresses of all.

mod loss;
mod member;
mod partition;
mod reshard;

use std::io;
use std::path::Path;
use std::sync::Arc;

use redis::RedisResult;

use self::loss::Lost;
use self::member::Member;
use self::partition::Partition;
use self::reshard::Moving;
use super::Access;
use super::replica::wait;
use crate::history::Journal;
use crate::process::NAMESPACE;
use crate::server::Server;

const SHARDS: usize = 3;
const SLOTS: usize = 16_384;
/// What the set of queues is called where queues are named.
const SET: &str = "(the set of queues)";

/// The members of a cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Those of one shard are as many apart as there are shards.
    members: Vec<Member>,
    /// Which member is the primary of each shard.
    primaries: [usize; SHARDS],
    /// The slots that are used.
    places: Vec<Place>,
    lost: Option<Lost>,
    moving: Option<Moving>,
    parted: Option<Partition>,
    /// Whose answers are lost.
    snapped: Option<usize>,
    journal: Arc<Journal>,
}

/// A slot that is used, and where it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The queue that has it.
    name: &'static str,
    slot: u16,
    shard: usize,
}

impl Cluster {
    /// Starts all, and waits until every member knows every other.
    pub(super) async fn start(
        directory: &Path,
        options: &[&str],
        access: Access,
        queues: &[&'static str],
        journal: &Arc<Journal>,
    ) -> io::Result<Self> {
        let mut members = Vec::new();
        for number in 0..2 * SHARDS {
            members.push(Member::start(directory, number, options, access).await?);
        }
        let mut cluster = Self {
            members,
            primaries: [0, 1, 2],
            places: Vec::new(),
            lost: None,
            moving: None,
            parted: None,
            snapped: None,
            journal: Arc::clone(journal),
        };
        cluster.meet().map_err(io::Error::other)?;
        cluster.wait_whole()?;
        cluster.find_places(queues).map_err(io::Error::other)?;
        Ok(cluster)
    }

    /// Makes one cluster of the members.
    fn meet(&self) -> RedisResult<()> {
        for (shard, member) in self.members.iter().take(SHARDS).enumerate() {
            let (from, to) = (shard * SLOTS / SHARDS, (shard + 1) * SLOTS / SHARDS - 1);
            member.server.run::<()>(&format!("CLUSTER ADDSLOTSRANGE {from} {to}"))?;
        }
        for (at, member) in self.members.iter().enumerate() {
            member.server.run::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1))?;
        }
        let (port, bus) = self.members[0].ports();
        for member in &self.members[1..] {
            member.server.run::<()>(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"))?;
        }
        let all = self.members.len();
        wait("members that know each other", || {
            for member in &self.members {
                let nodes = member.nodes()?;
                if nodes.lines().count() != all || nodes.contains("handshake") || nodes.contains("noaddr") {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .map_err(redis::RedisError::from)?;
        for (shard, replica) in self.members[SHARDS..].iter().enumerate() {
            replica.server.run::<()>(&format!("CLUSTER REPLICATE {}", self.members[shard].id))?;
        }
        Ok(())
    }

    /// Finds out which slot each queue has.
    fn find_places(&mut self, queues: &[&'static str]) -> RedisResult<()> {
        let tags = queues.iter().map(|queue| (*queue, format!("{NAMESPACE}:{queue}")));
        for (name, tag) in tags.chain([(SET, NAMESPACE.to_owned())]) {
            let slot: u16 = self.members[0].server.run(&format!("CLUSTER KEYSLOT {{{tag}}}"))?;
            self.places.push(Place { name, slot, shard: usize::from(slot) * SHARDS / SLOTS });
        }
        Ok(())
    }

    pub(super) fn primary(&self, shard: usize) -> &Server {
        &self.members[self.primaries[shard]].server
    }

    pub(super) fn primary_mut(&mut self, shard: usize) -> &mut Server {
        &mut self.members[self.primaries[shard]].server
    }

    pub(super) fn primaries(&self) -> Vec<&Server> {
        (0..SHARDS).map(|shard| self.primary(shard)).collect()
    }

    /// The member that has a queue.
    pub(super) fn holding(&self, queue: &str) -> &Server {
        let place = self.places.iter().find(|place| place.name == queue);
        self.primary(place.map_or(0, |place| place.shard))
    }

    /// The other member of a shard.
    fn replica_of(&self, shard: usize) -> usize {
        (self.primaries[shard] + SHARDS) % self.members.len()
    }

    /// The URL of all members.
    pub(super) fn url(&self) -> String {
        let members: Vec<_> = self.members.iter().map(|member| format!("127.0.0.1:{}", member.ports().0)).collect();
        format!("redis+cluster://{}", members.join(","))
    }

    /// One of the shards that have queues.
    fn shard(&self, rng: u64) -> usize {
        let mut used: Vec<_> = self.queues().map(|place| place.shard).collect();
        used.sort_unstable();
        used.dedup();
        used[(rng % used.len() as u64) as usize]
    }

    fn queues(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.name != SET)
    }

    /// The queues of a shard, as a history names what a fault hits.
    fn named(&self, shard: usize) -> String {
        let queues: Vec<_> = self.queues().filter(|place| place.shard == shard).map(|place| place.name).collect();
        crate::history::queues(&queues)
    }

    /// That no replica was promoted while its primary was there. A machine that stands still for too long looks like a
    /// dead primary, and then nothing is said about what it had not replicated.
    pub(super) fn check_calm(&self) -> io::Result<()> {
        for primary in self.primaries() {
            if super::replica::role(primary).map_err(io::Error::other)? != "master" {
                return Err(io::Error::other(
                    "the cluster took a primary for dead that was only slow: the machine is too busy",
                ));
            }
        }
        Ok(())
    }

    /// Waits until each replica follows its primary, and all members agree on that.
    fn wait_whole(&self) -> io::Result<()> {
        wait("a cluster with all its members", || {
            for (at, member) in self.members.iter().enumerate() {
                let shard = at % SHARDS;
                let primary = &self.members[self.primaries[shard]];
                let in_step = if at == self.primaries[shard] {
                    super::replica::role(&member.server)? == "master"
                } else {
                    super::replica::follows(&member.server, primary.ports().0)?
                };
                if !in_step || !self.knows_all(member)? {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    /// Whether a member knows the part that each plays, and of nothing wrong.
    fn knows_all(&self, member: &Member) -> RedisResult<bool> {
        let nodes = member.nodes()?;
        let is_primary = |at: &usize| self.primaries.contains(at);
        let as_expected = self.members.iter().enumerate().all(|(at, other)| {
            let flags = nodes.lines().find_map(|line| line.strip_prefix(&other.id)?.split(' ').nth(2));
            let part = if is_primary(&at) { "master" } else { "slave" };
            flags.is_some_and(|flags| flags.trim_start_matches("myself,") == part)
        });
        let info: String = member.server.run("CLUSTER INFO")?;
        Ok(as_expected && info.contains("cluster_state:ok"))
    }
}
