//! What a run is played on: a server, its processes, and the histories.

use std::io;
use std::path::Path;
use std::sync::Arc;

use actor_core::BrokerError;
use actor_core::broker::Broker;
use actor_redis::RedisBroker;

use crate::crew::{Role, Slot};
use crate::history::Journal;
use crate::ledger;
use crate::process::{NAMESPACE, Orders, QUEUES};
use crate::scenario::Scenario;
use crate::server::Server;
use crate::witness::Witness;

/// A server, its processes, and where they write.
pub(crate) struct Stage {
    pub(crate) journal: Arc<Journal>,
    pub(crate) server: Server,
    /// Workers first: the one that is spared stands before all others.
    pub(crate) slots: Vec<Slot>,
    /// The harness's own way to look.
    pub(crate) broker: RedisBroker,
    /// The harness's own way to send.
    pub(crate) sender: Arc<dyn Broker>,
}

impl Stage {
    /// Sets the stage. No process runs yet but Redis.
    pub(crate) async fn set(
        directory: &Path,
        scenario: &Scenario,
        seed: u64,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let journal = Arc::new(Journal::open(directory, "harness")?);
        let server = Server::start(directory, "redis", &[])?;
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
            fate: None,
        };
        ledger::serve(&orders.ledger(), Arc::clone(&journal))?;
        let mut slots = Vec::new();
        for (role, count) in [(Role::Worker, scenario.workers), (Role::Producer, scenario.producers)] {
            for number in 0..count {
                let under = if role == Role::Worker { scenario.under(number) } else { &[] };
                let orders = Orders { seed: seed ^ (number as u64 + 1) << 16, ..orders.clone() };
                slots.push(Slot::new(role, number, orders, under, server.port, Arc::clone(&journal)).await?);
            }
        }
        let broker = RedisBroker::builder(&format!("redis://127.0.0.1:{}", server.port))?;
        let broker = broker.namespace(NAMESPACE).connect().await?;
        let sender = Arc::new(Witness { broker: broker.clone(), journal: Arc::clone(&journal) });
        Ok(Self { journal, server, slots, broker, sender })
    }

    /// Looks after the processes: notes who died, and starts whom is wanted.
    pub(crate) fn tend(&mut self) -> io::Result<()> {
        self.slots.iter_mut().try_for_each(Slot::tend)
    }

    pub(crate) fn of(&mut self, role: Role) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().filter(move |slot| slot.role() == role)
    }

    /// What the auditor finds.
    pub(crate) async fn audit(&self) -> Result<Vec<String>, BrokerError> {
        let mut violations = Vec::new();
        for queue in QUEUES {
            let queue = queue.parse().expect("the queues have proper names");
            let audit = self.broker.audit(&queue, 1_000_000).await?;
            violations.extend(audit.violations.iter().map(ToString::to_string));
        }
        Ok(violations)
    }

    /// Runs a command whose answer does not matter.
    pub(crate) fn redis(&self, command: &str) -> redis::RedisResult<()> {
        self.server.run::<redis::Value>(command).map(drop)
    }
}
