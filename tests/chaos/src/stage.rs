//! The environment of a run: a server, its processes, and the histories.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use actor_core::BrokerError;
use actor_core::broker::Broker;
use actor_redis::RedisBroker;

use crate::disk::Disk;
use crate::fault::Fault;
use crate::fleet::{Role, Slot};
use crate::history::{Journal, What};
use crate::ledger;
use crate::process::{NAMESPACE, Orders};
use crate::recorder::Recorder;
use crate::rotation::{Rotation, as_default};
use crate::scenario::{DiskSize, Scenario};
use crate::server::Server;
use crate::stall;
use crate::threads;
use crate::topology::{Cluster, SentinelSet, Servers, Way};

/// A server, its processes, and their histories.
pub(crate) struct Stage {
    pub(crate) journal: Arc<Journal>,
    pub(crate) servers: Servers,
    /// The queues that messages are sent to.
    pub(crate) queues: &'static [&'static str],
    /// Who may use them, where that changes.
    pub(crate) rotation: Option<Rotation>,
    pub(crate) disk: Option<Disk>,
    /// Workers come first, and the spared one before all others.
    pub(crate) slots: Vec<Slot>,
    /// The harness's broker for inspection.
    pub(crate) broker: RedisBroker,
    /// The harness's broker for sending.
    pub(crate) sender: Arc<dyn Broker>,
    /// The harness's own way to Redis, which no fault of a network hits.
    way: Way,
}

/// Why a scenario cannot be played here.
#[derive(Debug)]
pub(crate) struct NotArranged(String);

impl fmt::Display for NotArranged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotArranged {}

impl Stage {
    /// Prepares a run. Only Redis runs yet.
    pub(crate) async fn set(
        directory: &Path,
        scenario: &Scenario,
        seed: u64,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let journal = Arc::new(Journal::open(directory, "harness")?);
        stall::watch(&journal)?;
        let disk = match scenario.disk {
            DiskSize::Unlimited => None,
            DiskSize::Small => Some(Disk::mount(&directory.join("redis")).map_err(|error| {
                NotArranged(format!("a disk of its own, which can be filled, could not be mounted: {error}"))
            })?),
        };
        if scenario.faults.iter().any(|(fault, _)| *fault == Fault::FewThreads) {
            threads::can_be_refused()
                .map_err(|why| NotArranged(format!("the OS could not be made to refuse a thread: {why}")))?;
        }
        let queues = scenario.extra.queues();
        let servers = Servers::start(scenario.topology, directory, scenario.redis, queues, &journal).await?;
        let rotation = scenario.rotates().then(|| Rotation::start(directory, servers.primary())).transpose()?;
        let orders = Orders {
            name: String::new(),
            directory: directory.to_owned(),
            url: String::new(),
            seed,
            lease_ms: scenario.lease_ms,
            slots: scenario.slots,
            threads: scenario.threads,
            rate: scenario.rate,
            long_runs: scenario.long_runs,
            extra: scenario.extra,
            pauses: scenario.memory.is_some(),
            stop_ms: scenario.stop_ms,
            older: false,
            waits: scenario.waits,
            rotates: rotation.is_some(),
            failpoint: None,
        };
        ledger::serve(&orders.ledger(), Arc::clone(&journal))?;
        let mut slots = Vec::new();
        for (role, count) in [(Role::Worker, scenario.workers), (Role::Producer, scenario.producers)] {
            for number in 0..count {
                let under = (scenario.under)(role, number);
                let older = scenario.first_is_older && role == Role::Worker && number == 0;
                let orders = Orders { seed: seed ^ (number as u64 + 1) << 16, older, ..orders.clone() };
                let memory = scenario.memory.map(|memory| memory(role));
                slots.push(Slot::new(role, number, orders, under, &servers, memory, Arc::clone(&journal)).await?);
            }
        }
        let way = servers.own_way().await?;
        let broker = RedisBroker::builder(&way.url)?.namespace(NAMESPACE);
        let broker = if rotation.is_some() { broker.credentials(as_default)? } else { broker };
        let broker = broker.connect().await?;
        let sender = Arc::new(Recorder { broker: broker.clone(), journal: Arc::clone(&journal) });
        Ok(Self { journal, servers, queues, rotation, disk, slots, broker, sender, way })
    }

    /// The server that takes the writes.
    pub(crate) fn server(&self) -> &Server {
        self.servers.primary()
    }

    pub(crate) fn server_mut(&mut self) -> &mut Server {
        self.servers.primary_mut()
    }

    /// The servers that Sentinels watch.
    ///
    /// # Errors
    ///
    /// The scenario has none.
    pub(crate) fn set_of_sentinels(&mut self) -> io::Result<&mut SentinelSet> {
        match &mut self.servers {
            Servers::Sentinels(set) => Ok(set),
            _ => Err(io::Error::other("this fault is one of a Sentinel set")),
        }
    }

    /// The members of the cluster.
    ///
    /// # Errors
    ///
    /// The scenario has none.
    pub(crate) fn cluster(&mut self) -> io::Result<&mut Cluster> {
        match &mut self.servers {
            Servers::Cluster(cluster) => Ok(cluster),
            _ => Err(io::Error::other("this fault is one of a cluster")),
        }
    }

    /// Changes who may use the servers.
    pub(crate) fn with_rotation<T, E>(
        &mut self,
        change: impl FnOnce(&mut Rotation, &Server) -> Result<T, E>,
    ) -> Result<T, Box<dyn std::error::Error>>
    where
        Box<dyn std::error::Error>: From<E>,
    {
        let rotation = self.rotation.as_mut().ok_or("this fault is one of credentials")?;
        Ok(change(rotation, self.servers.primary())?)
    }

    /// Makes the master hand over to its standby.
    pub(crate) fn hand_over(&self) -> redis::RedisResult<()> {
        let Servers::Standby(standby) = &self.servers else { return Ok(()) };
        self.redis(&format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 5000", standby.replica.port))
    }

    /// Disconnects the standby from its master. Only the master has what it stores from here on.
    pub(crate) fn part(&self) -> redis::RedisResult<()> {
        self.journal.note(&What::Parted);
        // Replication keeps the order: once the standby has this, it has everything before it.
        let mut master = self.server().connection()?;
        let key = "chaos:parting";
        let (): () =
            redis::pipe().cmd("SET").arg(key).arg(1).ignore().cmd("DEL").arg(key).ignore().query(&mut master)?;
        let _: u64 = redis::cmd("WAIT").arg(1).arg(1_000).query(&mut master)?;
        self.redis("ACL SETUSER default -psync -sync")?;
        self.redis("CLIENT KILL TYPE replica")
    }

    /// Kills the master, and routes everybody to the server that Sentinel promotes.
    pub(crate) fn fail_over(&mut self) -> io::Result<()> {
        self.journal.note(&What::Away);
        self.server_mut().kill();
        self.journal.note(&What::MasterLost);
        self.follow_promoted()?;
        self.journal.note(&What::Back);
        Ok(())
    }

    /// Routes everybody to the standby once it is promoted, and makes the old master the standby.
    pub(crate) fn follow_promoted(&mut self) -> io::Result<()> {
        let Servers::Standby(standby) = &mut self.servers else { return Ok(()) };
        standby.wait_promoted()?;
        let ways = self.slots.iter().map(|slot| &slot.way).chain([&self.way]);
        ways.for_each(|way| way.point(standby.master.port));
        standby.follow()
    }

    /// Records dead processes, and restarts those that are wanted.
    pub(crate) fn tend(&mut self) -> io::Result<()> {
        if let Servers::Sentinels(set) = &mut self.servers {
            set.check_calm()?;
        }
        self.slots.iter_mut().try_for_each(Slot::tend)
    }

    pub(crate) fn of(&mut self, role: Role) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().filter(move |slot| slot.role() == role)
    }

    /// What the auditor finds.
    pub(crate) async fn audit(&self) -> Result<Vec<String>, BrokerError> {
        let mut violations = Vec::new();
        for queue in self.queues {
            let queue = queue.parse().expect("the queues have proper names");
            let audit = self.broker.audit(&queue, 1_000_000).await?;
            violations.extend(audit.violations.iter().map(ToString::to_string));
        }
        Ok(violations)
    }

    /// Runs a command on each server that takes writes, and ignores the answers.
    pub(crate) fn redis(&self, command: &str) -> redis::RedisResult<()> {
        self.servers.primaries().into_iter().try_for_each(|server| server.run::<redis::Value>(command).map(drop))
    }
}
