//! A worker process.

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actor_core::Worker;

use crate::ledger::Client;
use crate::process::Orders;
use crate::tasks::Site;

/// Works until it is asked to stop, or killed.
pub(crate) fn run(orders: &Orders) -> Result<(), Box<dyn Error>> {
    let journal = orders.begin()?;
    let ledger = Arc::new(Client::connect(&orders.ledger())?);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(orders.threads.max(1)).enable_all().build()?;
    runtime.block_on(async {
        let broker = orders.broker(&journal)?;
        let slots = NonZeroUsize::new(orders.slots).unwrap_or(NonZeroUsize::MIN);
        Worker::builder(broker)
            .name(&orders.name)
            .lease(orders.lease())
            .concurrency(slots)
            .shutdown_timeout(Duration::from_secs(20))
            .state(Site { journal, ledger })
            .run()
            .await?;
        Ok(())
    })
}
