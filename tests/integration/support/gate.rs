//! Holds runs back until the test lets them go on.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// A gate that runs wait at, as a state of the worker. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// No run passes until the test allows it.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Every run passes.
    pub fn opened() -> Self {
        let gate = Self::closed();
        gate.open();
        gate
    }

    /// Waits until this run may pass.
    pub async fn pass(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }

    /// The same for a sync actor.
    pub fn pass_blocking(&self) {
        Handle::current().block_on(self.pass());
    }

    /// Lets so many runs pass, waiting or yet to come.
    pub fn let_pass(&self, runs: usize) {
        self.0.add_permits(runs);
    }

    /// Whether all runs pass.
    pub fn is_open(&self) -> bool {
        self.0.is_closed()
    }

    /// Lets all runs pass, from now on.
    pub fn open(&self) {
        self.0.close();
    }
}
