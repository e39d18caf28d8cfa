//! The one global: the broker that `send` uses.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::broker::Broker;
use crate::causes::chain;
use crate::registry::{self, RegistryError};

static INSTALLED: OnceLock<Arc<dyn Broker>> = OnceLock::new();

/// Makes `broker` the one that `send` uses, once for the whole process, when the program starts.
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

// Shown as people read it, also where `main` returns it.
impl fmt::Debug for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self))
    }
}

/// The broker that `send` uses here: a test's own on its thread, else the process's.
pub(crate) fn installed() -> Option<Arc<dyn Broker>> {
    #[cfg(feature = "testing")]
    if let Some(broker) = crate::testing::installed() {
        return Some(broker);
    }
    INSTALLED.get().cloned()
}

/// Whether a test installed a broker on another thread, in place of a process's.
pub(crate) fn installed_elsewhere() -> bool {
    #[cfg(feature = "testing")]
    return crate::testing::installed_elsewhere();
    #[cfg(not(feature = "testing"))]
    false
}
