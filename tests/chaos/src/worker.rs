//! A worker process.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use actor_core::Worker;

use crate::ledger::Client;
use crate::process::{Extra, Orders};
use crate::tasks::{NewestState, Site};

/// How soon an idle thread ends, where the pool must often be empty.
const THREADS_END: Duration = Duration::from_millis(20);
/// How long a run of the newest actor takes.
const NEWEST_RUN: Duration = Duration::from_millis(5);

/// Works until it is asked to stop, or killed.
pub(crate) fn run(orders: &Orders) -> Result<(), Box<dyn Error>> {
    let journal = orders.begin()?;
    let ledger = Arc::new(Client::connect(&orders.ledger())?);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(orders.threads.max(1)).enable_all();
    if orders.extra == Extra::Sync {
        runtime.thread_keep_alive(THREADS_END);
    }
    runtime.build()?.block_on(async {
        let broker = orders.broker(&journal)?;
        let slots = orders.slots.max(1);
        let worker = Worker::builder(broker)
            .name(&orders.name)
            .lease(orders.lease())
            .concurrency(slots)
            .shutdown_timeout(orders.shutdown_timeout())
            .queues(orders.extra.queues().iter().copied())
            .state(Site { journal, ledger });
        let worker = if orders.older { worker } else { worker.state(NewestState(NEWEST_RUN)) };
        worker.run().await?;
        Ok(())
    })
}
