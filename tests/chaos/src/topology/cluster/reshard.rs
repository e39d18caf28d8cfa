//! A slot that moves from one primary to another, key by key, as `redis-cli --cluster reshard` moves it.

use std::io;
use std::time::Duration;

use redis::RedisResult;

use super::super::replica::wait;
use super::{Cluster, SHARDS};
use crate::history;

/// How long each key may take.
const MIGRATE_MS: u64 = 5_000;

/// A slot on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moving {
    place: usize,
    to: usize,
    /// How long to wait between two keys.
    pause: Duration,
}

impl Cluster {
    /// The queue that `rng` chooses.
    pub(crate) fn chosen_slot(&self, rng: u64) -> String {
        history::queues(&[self.places[self.place(rng)].name])
    }

    fn place(&self, rng: u64) -> usize {
        (rng % self.places.len() as u64) as usize
    }

    /// Begins to move a slot, and moves some of its keys.
    pub(crate) fn begin_reshard(&mut self, rng: u64) -> io::Result<()> {
        self.check_calm()?;
        let place = self.place(rng);
        let from = self.places[place].shard;
        let to = (from + 1 + (rng >> 8) as usize % (SHARDS - 1)) % SHARDS;
        let pause = Duration::from_millis((rng >> 16) % 40);
        let moving = Moving { place, to, pause };
        self.moving = Some(moving);
        let slot = self.places[place].slot;
        let [source, target] = [from, to].map(|shard| self.members[self.primaries[shard]].id.clone());
        let begin = || {
            self.primary(to).run::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}"))?;
            self.primary(from).run::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}"))?;
            for _ in 0..(rng >> 24) % 12 {
                self.move_key(moving)?;
            }
            Ok(())
        };
        begin().map_err(|error: redis::RedisError| io::Error::other(error))
    }

    /// Moves the other keys, and has all members know who serves the slot.
    pub(crate) fn end_reshard(&mut self) -> io::Result<()> {
        let Some(moving) = self.moving.take() else { return Ok(()) };
        let Moving { place, to, .. } = moving;
        let (slot, from) = (self.places[place].slot, self.places[place].shard);
        let target = &self.members[self.primaries[to]].id;
        let finish = || {
            while self.move_key(moving)? {}
            // The target first: told of its loss too early, the source would redirect to who does not serve it yet.
            for shard in [to, from, SHARDS - to - from] {
                self.primary(shard).run::<()>(&format!("CLUSTER SETSLOT {slot} NODE {target}"))?;
            }
            Ok(())
        };
        finish().map_err(|error: redis::RedisError| io::Error::other(error))?;
        wait("members that agree on a slot", || {
            // Told of the next owner too early, one may take an older claim for a newer one.
            let mut epochs = Vec::new();
            for member in &self.members {
                if !serves(&member.nodes()?, target, slot) {
                    return Ok(None);
                }
                let info: String = member.server.run("CLUSTER INFO")?;
                epochs.push(info.lines().find(|line| line.starts_with("cluster_current_epoch")).map(str::to_owned));
            }
            Ok(epochs.iter().all(|epoch| *epoch == epochs[0]).then_some(()))
        })?;
        self.places[place].shard = to;
        Ok(())
    }

    /// Moves one key. Whether there was one.
    fn move_key(&self, Moving { place, to, pause }: Moving) -> RedisResult<bool> {
        let place = &self.places[place];
        let source = self.primary(place.shard);
        let keys: Vec<String> = source.run(&format!("CLUSTER GETKEYSINSLOT {} 1", place.slot))?;
        let Some(key) = keys.first() else { return Ok(false) };
        // Past what may stand before it.
        let target = self.primary(to).port;
        // The key may be gone by now.
        source.run::<String>(&format!("MIGRATE 127.0.0.1 {target} {key} 0 {MIGRATE_MS}"))?;
        std::thread::sleep(pause);
        Ok(true)
    }
}

/// Whether this member serves a slot, by what another knows.
fn serves(nodes: &str, id: &str, slot: u16) -> bool {
    let holds = |range: &str| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        matches!((from.parse::<u16>(), to.parse::<u16>()), (Ok(from), Ok(to)) if (from..=to).contains(&slot))
    };
    nodes.lines().filter(|line| line.starts_with(id)).any(|line| line.split(' ').skip(8).any(holds))
}
