//! Which messages may run beside one another, once their workers have died.
//!
//! A message whose worker died is a suspect. Suspects run beside one another, so that what a killed
//! worker held runs elsewhere soon; but one whose next crash would bury it runs with no other suspect
//! beside it. So a poison message takes its neighbours along until then, and no further: in the end it
//! dies alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All permits together: a suspect that runs alone takes them all.
const ALL: u32 = 1 << 20;

/// The suspects that run on a worker, over all its queues.
#[derive(Debug)]
pub(crate) struct Suspects(Arc<Semaphore>);

/// The right to run a message, until it is dropped. No suspect needs no permit.
pub(crate) type Admitted = Option<OwnedSemaphorePermit>;

impl Suspects {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ALL as usize)))
    }

    /// Admits a message whose workers died `crashes` times; `None` where it may not run now. It does not
    /// wait: a message that waits in the hands of a worker is blamed for that worker's death.
    pub(crate) fn admit(&self, crashes: u32, max_crashes: u32) -> Option<Admitted> {
        let permits = match crashes {
            0 => return Some(None),
            crashes if crashes + 1 >= max_crashes => ALL,
            _ => 1,
        };
        Arc::clone(&self.0).try_acquire_many_owned(permits).ok().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_run_together_and_the_one_on_its_last_chance_alone() {
        let suspects = Suspects::new();
        let first = suspects.admit(1, 3).unwrap();
        let second = suspects.admit(1, 3).unwrap();
        assert!(suspects.admit(2, 3).is_none(), "a last chance beside two suspects");
        drop((first, second));
        let last = suspects.admit(2, 3).unwrap();
        assert!(suspects.admit(1, 3).is_none(), "a suspect beside a last chance");
        assert!(suspects.admit(2, 3).is_none(), "two last chances at once");
        assert!(suspects.admit(0, 3).is_some(), "what never crashed is no suspect");
        drop(last);
        assert!(suspects.admit(2, 3).is_some());
    }
}
