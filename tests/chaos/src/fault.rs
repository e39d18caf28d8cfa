//! The faults: how each begins and ends.

use std::sync::Arc;
use std::time::Duration;

use actor_core::broker::Broker;
use serde::Serialize;

use crate::disk::Disk;
use crate::fleet::{Role, Slot};
use crate::history::What;
use crate::process::NAMESPACE;
use crate::proxy::Condition;
use crate::rotation::{GRACE_MS, Rotation};
use crate::stage::Stage;
use crate::topology::Loss;
use crate::victim::Victim;
use crate::{foreign, index, tasks, threads};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    KillWorker,
    KillProducer,
    KillAllWorkers,
    CycleWorker,
    Deploy,
    HastyDeploy,
    RollBack,
    RollBackAll,
    FewThreads,
    FreezeWorker,
    KillRedis,
    FreezeRedis,
    SlowLoading,
    OutOfMemory,
    ReadOnly,
    FlushScripts,
    KillClients,
    LoseWorkers,
    LoseScheduled,
    LoseConsumers,
    LoseGroups,
    LoseDead,
    LoseQueues,
    LoseCounts,
    LongOutage,
    HandOver,
    FailOver,
    FillDisk,
    Foreign,
    Cut,
    Mute,
    Deaf,
    Snap,
    Lag,
    Drip,
    KillPrimary,
    FreezePrimary,
    SentinelsLie,
    SentinelsAway,
    LagReplica,
    HoldReplica,
    FreezeReplica,
    LoseLagging,
    Reshard,
    SnapPrimary,
    HidePrimary,
    IsolatePrimary,
    RotateUser,
    RotatePassword,
    RevokeUser,
    HideCredentials,
    Poison,
    /// The same in a batch.
    PoisonBatch,
    Hog,
    Leak,
}

/// Faults of one track follow one another; those of different tracks overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Track {
    Process,
    Redis,
    Network,
    /// Beside the others.
    Beside,
}

impl Fault {
    pub(crate) fn track(self) -> Track {
        match self {
            Self::KillWorker
            | Self::KillProducer
            | Self::KillAllWorkers
            | Self::CycleWorker
            | Self::Deploy
            | Self::HastyDeploy
            | Self::RollBack
            | Self::RollBackAll
            | Self::FewThreads
            | Self::FreezeWorker
            | Self::Poison
            | Self::PoisonBatch
            | Self::Hog
            | Self::Leak => Track::Process,
            Self::Cut | Self::Mute | Self::Deaf | Self::Snap | Self::Lag | Self::Drip => Track::Network,
            // So that they lie while another server is promoted, too, and answers are lost while a slot moves.
            Self::SentinelsLie | Self::SnapPrimary => Track::Beside,
            _ => Track::Redis,
        }
    }

    /// Its minimum and maximum duration in ms; zero for an instant.
    pub(crate) fn hold_ms(self, lease: Duration) -> (u64, u64) {
        let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        match self {
            // Long enough for the others to declare it dead.
            Self::FreezeWorker => (lease * 4 / 3 + 500, lease * 2 + 2_000),
            // The grace period: longer, and shorter, than the scenario's shutdown timeout of 2.5 s.
            Self::Deploy => (3_000, 3_000),
            Self::HastyDeploy => (800, 2_000),
            Self::RollBack => (1_000, 5_000),
            // Long enough for several deliveries of a message that is parked again and again.
            Self::RollBackAll => (3_000, 8_000),
            Self::FewThreads => (500, 8_000),
            Self::KillRedis => (50, 2_000),
            // Up to longer than any lease, so that none can be kept. In shorter outages some leases end and others do
            // not.
            Self::LongOutage => (lease * 2 / 3, lease + 3_000),
            Self::FreezeRedis => (300, 3_500),
            Self::HandOver | Self::FailOver => (300, 1_000),
            Self::SlowLoading => (1_000, 4_000),
            Self::OutOfMemory | Self::ReadOnly | Self::FillDisk => (500, 3_000),
            Self::Cut | Self::Mute | Self::Deaf => (200, 8_000),
            Self::Snap => (100, 1_500),
            // Shorter than Sentinels wait before they act.
            Self::KillPrimary | Self::FreezePrimary => (200, 1_000),
            // Mostly there while another fault has a server promoted.
            Self::SentinelsLie => (2_000, 12_000),
            Self::SentinelsAway => (500, 6_000),
            Self::LagReplica | Self::HoldReplica | Self::FreezeReplica => (500, 4_000),
            Self::LoseLagging => (500, 4_000),
            Self::Reshard => (50, 4_000),
            Self::SnapPrimary => (20, 300),
            Self::HidePrimary => (500, 6_000),
            // Shorter and longer than the cluster waits before it acts.
            Self::IsolatePrimary => (1_000, 8_000),
            Self::RotateUser | Self::RotatePassword => GRACE_MS,
            Self::HideCredentials => (500, 3_000),
            Self::Lag | Self::Drip => (1_000, 4_000),
            _ => (0, 0),
        }
    }

    fn condition(self) -> Condition {
        match self {
            Self::Cut => Condition::Cut,
            Self::Mute => Condition::Mute,
            Self::Deaf => Condition::Deaf,
            Self::Snap => Condition::Snap,
            Self::Lag => Condition::Lag,
            Self::Drip => Condition::Drip,
            _ => Condition::Clear,
        }
    }

    /// Whether it spares workers, their network and their leases.
    pub(crate) fn spares_workers(self) -> bool {
        let loses_leases = matches!(
            self,
            Self::LoseWorkers
                | Self::HandOver
                | Self::FailOver
                | Self::KillPrimary
                | Self::FreezePrimary
                | Self::IsolatePrimary
        );
        (self.track() == Track::Redis || self == Self::SnapPrimary) && !loses_leases
    }

    /// Whether nobody should notice it, or only whoever waits for a replica.
    pub(crate) fn spares_service(self) -> bool {
        matches!(
            self,
            Self::RotateUser
                | Self::RotatePassword
                | Self::SentinelsAway
                | Self::LagReplica
                | Self::HoldReplica
                | Self::FreezeReplica
        )
    }

    /// Whether it hits one primary of a cluster, and leaves the others as they are.
    pub(crate) fn is_partial(self) -> bool {
        matches!(self, Self::Reshard | Self::HidePrimary | Self::IsolatePrimary)
    }

    /// Whether it hits a primary that `rng` chooses.
    pub(crate) fn is_of_a_primary(self) -> bool {
        self.is_partial() || matches!(self, Self::KillPrimary | Self::FreezePrimary | Self::SnapPrimary)
    }

    /// Whether it changes who may use Redis.
    pub(crate) fn is_of_credentials(self) -> bool {
        matches!(self, Self::RotateUser | Self::RotatePassword | Self::RevokeUser | Self::HideCredentials)
    }

    /// Whether nobody can use Redis meanwhile.
    fn takes_redis_away(self) -> bool {
        matches!(
            self,
            Self::KillRedis
                | Self::LongOutage
                | Self::FreezeRedis
                | Self::SlowLoading
                | Self::ReadOnly
                | Self::HandOver
                | Self::FillDisk
        )
    }

    /// Begins the fault. `dice` chooses the victim.
    pub(crate) fn begin(self, stage: &mut Stage, rng: u64) -> Result<Victim, Box<dyn std::error::Error>> {
        let victim = Victim::of(self, stage, rng);
        stage.journal.note(&What::Fault { name: self.name(), on: victim.on.clone() });
        if self.takes_redis_away() {
            stage.journal.note(&What::Away);
        }
        let slot = victim.slot.map(|slot| &mut stage.slots[slot]);
        match (self, slot) {
            (Self::KillWorker | Self::KillProducer, Some(slot)) => slot.kill(),
            (Self::CycleWorker, Some(slot)) => slot.cycle(),
            (Self::RollBack, Some(slot)) => slot.replace(true),
            (Self::FewThreads, Some(slot)) => slot.pid().map_or(Ok(()), |pid| threads::refuse(pid, true))?,
            (Self::Deploy, _) => stage.of(Role::Worker).skip(1).for_each(Slot::cycle),
            // No worker is spared, so that a message can lose several workers.
            (Self::HastyDeploy, _) => stage.of(Role::Worker).for_each(Slot::cycle),
            (Self::RollBackAll, _) => stage.of(Role::Worker).for_each(|slot| slot.replace(true)),
            (Self::FreezeWorker, Some(slot)) => slot.freeze(),
            (Self::KillAllWorkers, _) => {
                for slot in stage.slots.iter_mut().filter(|slot| slot.role() == Role::Worker) {
                    slot.kill();
                }
            }
            (Self::KillRedis | Self::LongOutage, _) => stage.server_mut().kill(),
            (Self::FreezeRedis, _) => stage.server().freeze(),
            (Self::SlowLoading, _) => {
                stage.server_mut().kill();
                stage.server_mut().launch(&["--key-load-delay", "100"])?;
            }
            (Self::OutOfMemory, _) => stage.redis("CONFIG SET maxmemory 1")?,
            // A replica without a master keeps its data and refuses writes.
            (Self::ReadOnly, _) => stage.redis("REPLICAOF 127.0.0.1 1")?,
            (Self::FlushScripts, _) => stage.redis("SCRIPT FLUSH")?,
            (Self::KillClients, _) => stage.redis("CLIENT KILL TYPE normal")?,
            (Self::LoseWorkers, _) => stage.redis(&format!("DEL {}", index::key(rng, "workers")))?,
            (Self::LoseScheduled, _) => index::lose(stage, rng, "scheduled")?,
            (Self::LoseConsumers, _) => index::lose_consumers(stage, rng)?,
            (Self::LoseGroups, _) => stage.redis(&format!("XGROUP DESTROY {} workers", index::stream(rng)))?,
            (Self::LoseDead, _) => index::lose(stage, 0, "dead")?,
            (Self::LoseQueues, _) => stage.redis(&format!("DEL {{{NAMESPACE}}}:queues"))?,
            (Self::LoseCounts, _) => index::miscount(stage, rng)?,
            (Self::HandOver, _) => stage.hand_over()?,
            (Self::FailOver, _) => stage.part()?,
            (Self::KillPrimary, _) => stage.servers.lose_primary(Loss::Killed, rng)?,
            (Self::FreezePrimary, _) => stage.servers.lose_primary(Loss::Frozen, rng)?,
            (Self::Reshard, _) => stage.cluster()?.begin_reshard(rng)?,
            (Self::SnapPrimary, _) => stage.cluster()?.snap(rng)?,
            (Self::HidePrimary, _) => stage.cluster()?.hide(rng)?,
            (Self::IsolatePrimary, _) => stage.cluster()?.isolate(rng)?,
            (Self::SentinelsLie, _) => stage.set_of_sentinels()?.lie(rng),
            (Self::SentinelsAway, _) => stage.set_of_sentinels()?.go_away(),
            (Self::LagReplica, _) => stage.set_of_sentinels()?.set_for_replicas(Condition::Lag),
            // What it sent, or what it is to be sent, is held back.
            (Self::HoldReplica, _) if rng.is_multiple_of(2) => {
                stage.set_of_sentinels()?.set_for_replicas(Condition::Mute);
            }
            (Self::HoldReplica | Self::LoseLagging, _) => stage.set_of_sentinels()?.set_for_replicas(Condition::Deaf),
            (Self::FreezeReplica, _) => stage.set_of_sentinels()?.freeze_replicas(true),
            (fault, _) if fault.is_of_credentials() => fault.rotate(stage)?,
            (Self::FillDisk, _) => stage.disk.as_ref().map_or(Ok(()), Disk::fill)?,
            (Self::Foreign, _) => foreign::send(stage, rng)?,
            (Self::Poison | Self::PoisonBatch | Self::Hog | Self::Leak, _) => self.send(stage),
            (fault, Some(slot)) => slot.way.set(fault.condition()),
            // A fault of single processes, without a process to hit.
            (_, None) => {}
        }
        Ok(victim)
    }

    /// Ends the fault.
    pub(crate) fn end(self, stage: &mut Stage, victim: &Victim) -> Result<(), Box<dyn std::error::Error>> {
        if let Some(slot) = victim.slot.map(|slot| &mut stage.slots[slot]) {
            slot.thaw();
            slot.way.set(Condition::Clear);
        }
        match self {
            Self::KillRedis | Self::LongOutage => {
                stage.server_mut().launch(&[])?;
                stage.server().wait_ready()?;
            }
            Self::Deploy | Self::HastyDeploy => stage.of(Role::Worker).for_each(Slot::end_grace),
            // The first worker runs the older version to the end.
            Self::RollBack | Self::RollBackAll => stage.of(Role::Worker).skip(1).for_each(|slot| slot.replace(false)),
            Self::FewThreads => {
                let pid = victim.slot.and_then(|slot| stage.slots[slot].pid());
                pid.map_or(Ok(()), |pid| threads::refuse(pid, false))?;
            }
            Self::HandOver => stage.follow_promoted()?,
            Self::FailOver => stage.fail_over()?,
            Self::FillDisk => {
                stage.disk.as_ref().map_or(Ok(()), Disk::free)?;
                // A Redis that must write before it answers exits if it cannot.
                if !stage.server_mut().is_running() {
                    stage.server_mut().launch(&[])?;
                }
                stage.server().wait_ready()?;
            }
            Self::FreezeRedis => stage.server().thaw(),
            Self::KillPrimary | Self::FreezePrimary => stage.servers.wait_promoted()?,
            Self::Reshard => stage.cluster()?.end_reshard()?,
            Self::SnapPrimary => stage.cluster()?.mend()?,
            Self::HidePrimary | Self::IsolatePrimary => stage.cluster()?.reunite()?,
            Self::LoseLagging => stage.set_of_sentinels()?.lose_lagging()?,
            Self::SentinelsLie | Self::SentinelsAway => stage.set_of_sentinels()?.be_honest(),
            Self::LagReplica | Self::HoldReplica => stage.set_of_sentinels()?.set_for_replicas(Condition::Clear),
            Self::FreezeReplica => stage.set_of_sentinels()?.freeze_replicas(false),
            Self::RotateUser | Self::RotatePassword => {
                let keepers = stage.with_rotation(|rotation, server| rotation.keepers(server))?;
                if let Some((user, connections)) = keepers {
                    stage.journal.note(&What::Replaced { user, connections });
                }
                stage.with_rotation(Rotation::revoke)?;
            }
            Self::HideCredentials => stage.with_rotation(|rotation, _| rotation.publish())?,
            Self::SlowLoading => {
                stage.redis("CONFIG SET key-load-delay 0")?;
                stage.server().wait_ready()?;
            }
            Self::OutOfMemory => stage.redis("CONFIG SET maxmemory 0")?,
            Self::ReadOnly => stage.redis("REPLICAOF NO ONE")?,
            _ => {}
        }
        if self.takes_redis_away() {
            stage.journal.note(&What::Back);
        }
        stage.journal.note(&What::Healed { name: self.name(), on: victim.on.clone() });
        // There is service again; the next fault waits until there is a replica for each again.
        if matches!(self, Self::KillPrimary | Self::FreezePrimary | Self::LoseLagging) {
            stage.servers.bring_back()?;
        }
        Ok(())
    }

    fn rotate(self, stage: &mut Stage) -> Result<(), Box<dyn std::error::Error>> {
        stage.with_rotation(|rotation, server| match self {
            Self::RotatePassword => rotation.another_password(server),
            Self::HideCredentials => Ok(rotation.hide()?),
            Self::RevokeUser => {
                rotation.another_user(server)?;
                Ok(rotation.revoke(server)?)
            }
            _ => rotation.another_user(server),
        })
    }

    /// Sends a message that is a fault itself. Redis may be unavailable, so nothing waits for the answer.
    fn send(self, stage: &Stage) {
        let broker: Arc<dyn Broker> = Arc::clone(&stage.sender);
        tokio::spawn(async move {
            match self {
                Self::Poison => drop(tasks::poison.message().send_with(&*broker).await),
                Self::PoisonBatch => {
                    let item = tasks::Item { ms: 0, fails: 0, kills: true };
                    drop(tasks::batched.send_with(&*broker, item).await);
                }
                Self::Hog => drop(tasks::hog.message(9_000).send_with(&*broker).await),
                _ => drop(tasks::leaky.message().send_with(&*broker).await),
            }
        });
    }

    pub(crate) fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}
