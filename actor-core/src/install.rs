//! The one global: the broker that `send` uses.

use std::sync::{Arc, OnceLock};

use crate::broker::Broker;
use crate::causes::debug_as_shown;
use crate::registry::{self, RegistryError};

static INSTALLED: OnceLock<Arc<dyn Broker>> = OnceLock::new();

/// Makes `broker` the one that `send` uses, once for the whole process, when the program starts.
///
/// A worker's runs need it only to send through another broker than the worker's: without it, what an actor
/// sends goes through the broker of the worker that runs it. A task that an actor spawns is not part of its run.
///
/// # Errors
///
/// A broker is installed already, or two linked crates declare the same actor.
///
/// ```
/// use actor_core::MemoryBroker;
///
/// actor_core::install(MemoryBroker::new())?;
/// # Ok::<(), actor_core::InstallError>(())
/// ```
pub fn install(broker: impl Broker) -> Result<(), InstallError> {
    registry::check()?;
    INSTALLED.set(Arc::new(broker)).map_err(|_| InstallError::Twice)
}

/// Why a broker was not installed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// `install` was called before. The first broker stays.
    #[error("a broker is installed already: call `actor_core::install` once, when the program starts")]
    Twice,
    /// The linked crates' actors contradict each other.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

debug_as_shown!(InstallError);

tokio::task_local! {
    // The broker of the worker whose run the current task is.
    static WORKERS: Arc<dyn Broker>;
}

/// Drives a worker's run, so that what it sends goes through the worker's broker.
#[cfg(feature = "worker")]
pub(crate) fn within<F: Future>(broker: Arc<dyn Broker>, run: F) -> impl Future<Output = F::Output> {
    WORKERS.scope(broker, run)
}

/// Has what `run` sends go where the current task's would, on whatever thread it runs.
#[cfg(feature = "worker")]
pub(crate) fn carry<T>(run: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let broker = WORKERS.try_with(Arc::clone).ok();
    #[cfg(feature = "testing")]
    let run = crate::testing::carry(run);
    move || match broker {
        Some(broker) => WORKERS.sync_scope(broker, run),
        None => run(),
    }
}

/// The broker that `send` uses here: a test's own on its thread, else the process's, else that of the worker
/// whose run this is.
pub(crate) fn installed() -> Option<Arc<dyn Broker>> {
    #[cfg(feature = "testing")]
    if let Some(broker) = crate::testing::installed() {
        return Some(broker);
    }
    INSTALLED.get().cloned().or_else(|| WORKERS.try_with(Arc::clone).ok())
}

/// Whether a test installed a broker on another thread, in place of a process's.
pub(crate) fn installed_elsewhere() -> bool {
    #[cfg(feature = "testing")]
    return crate::testing::installed_elsewhere();
    #[cfg(not(feature = "testing"))]
    false
}
