//! A primary that clients, or the other members, cannot reach, and one whose answers are lost.

use std::io;
use std::time::{Duration, Instant};

use super::super::replica::{role, wait};
use super::Cluster;
use super::loss::{BETWEEN, Watch};
use super::member::Fronts;
use crate::proxy::Condition;

/// A primary that somebody cannot reach.
#[derive(Debug)]
pub(super) struct Partition {
    shard: usize,
    since: Instant,
    /// Where its replica should be promoted.
    watch: Option<Watch>,
}

/// How long a primary is isolated at most before its replica is promoted.
const REPLACED: Duration = Duration::from_secs(7);

/// A network that drops packets, or one that refuses.
fn gone(rng: u64) -> Condition {
    if (rng >> 8).is_multiple_of(2) { Condition::Hold } else { Condition::Cut }
}

impl Cluster {
    /// Resets connections of clients to a primary in the middle of its answers.
    pub(crate) fn snap(&mut self, rng: u64) -> io::Result<()> {
        let member = self.primaries[self.shard(rng)];
        self.fronts_of(member)?.set_for_clients(Condition::Snap);
        self.snapped = Some(member);
        Ok(())
    }

    /// Passes its answers on again.
    pub(crate) fn mend(&mut self) -> io::Result<()> {
        let Some(member) = self.snapped.take() else { return Ok(()) };
        self.fronts_of(member)?.set_for_clients(Condition::Clear);
        Ok(())
    }

    /// Keeps every client from a primary. Its replica and the other members reach it, and have no reason to replace it.
    pub(crate) fn hide(&mut self, rng: u64) -> io::Result<()> {
        self.check_calm()?;
        let shard = self.shard(rng);
        self.fronts_of(self.primaries[shard])?.set_for_clients(gone(rng));
        self.parted = Some(Partition { shard, since: Instant::now(), watch: None });
        Ok(())
    }

    /// Keeps a primary from all other members, in both directions. Clients reach both sides.
    pub(crate) fn isolate(&mut self, rng: u64) -> io::Result<()> {
        self.check_calm()?;
        let shard = self.shard(rng);
        let watch = self.watch(shard)?;
        self.set_for_members(self.primaries[shard], gone(rng))?;
        self.parted = Some(Partition { shard, since: Instant::now(), watch: Some(watch) });
        Ok(())
    }

    /// Lets everybody reach the primary again. Returns once the cluster has agreed on who serves its slots.
    pub(crate) fn reunite(&mut self) -> io::Result<()> {
        let Some(Partition { shard, since, watch }) = self.parted.take() else { return Ok(()) };
        let lasted = since.elapsed();
        let (before, replica) = (self.primaries[shard], self.replica_of(shard));
        self.fronts_of(before)?.set_for_clients(Condition::Clear);
        self.set_for_members(before, Condition::Clear)?;
        let (former, other) = (&self.members[before].server, &self.members[replica].server);
        // The vote that it began before may still promote the replica.
        let primary = wait("one primary of a shard", || {
            Ok(match (role(former)?.as_str(), role(other)?.as_str()) {
                ("master", "slave") if self.knows_all(&self.members[replica])? => Some(before),
                ("slave", "master") => Some(replica),
                _ => None,
            })
        })?;
        self.primaries[shard] = primary;
        match watch {
            Some(watch) if primary == replica => watch.noted(),
            Some(_) if lasted > REPLACED => {
                return Err(io::Error::other("an isolated primary was not replaced: nothing isolated it"));
            }
            _ => {}
        }
        self.wait_whole()?;
        std::thread::sleep(BETWEEN);
        Ok(())
    }

    fn set_for_members(&self, parted: usize, condition: Condition) -> io::Result<()> {
        let fronts = self.fronts_of(parted)?;
        fronts.set_for_members(condition);
        for other in (0..self.members.len()).filter(|other| *other != parted) {
            self.fronts_of(other)?.set_for(fronts.address, condition);
        }
        Ok(())
    }

    fn fronts_of(&self, member: usize) -> io::Result<&Fronts> {
        self.members[member].fronts.as_ref().ok_or_else(|| io::Error::other("nothing stands before the members"))
    }
}
