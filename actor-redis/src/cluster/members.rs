//! One purpose's connections to the members of a cluster, made as they are needed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Cluster;
use crate::connection::{Connections, Quiet};
use crate::endpoint::Endpoint;

/// How many members a purpose is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// As many as serve its queues.
    All,
    /// The one that serves its queue, which others may come to serve.
    One,
}

/// One purpose's connections.
#[derive(Debug)]
pub(crate) struct Members {
    quiet: Quiet,
    reach: Reach,
    // Locked for moments only, by every request.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    places: Vec<Arc<Connections>>,
    /// Those of the last request.
    last: Option<Arc<Connections>>,
}

impl Members {
    pub(crate) fn new(quiet: Quiet, reach: Reach) -> Self {
        Self { quiet, reach, known: Mutex::default() }
    }

    /// The connections to the member that serves what is to be asked.
    ///
    /// What was sent to the member that served it before can no longer happen unseen. There the slot is refused; and
    /// before it is asked again, because it serves the slot again, its new connection has closed the former.
    pub(super) fn at(&self, cluster: &Cluster, server: &Arc<Endpoint>) -> Arc<Connections> {
        let mut known = self.lock();
        let connections = known.at(cluster, server, self.quiet);
        let before = known.last.replace(Arc::clone(&connections));
        drop(known);
        if let Some(before) = before.filter(|before| self.reach == Reach::One && !Arc::ptr_eq(before, &connections)) {
            before.leave();
        }
        connections
    }

    /// The connections to a member that is asked while the one that serves the slot hands it over.
    pub(super) fn beside(&self, cluster: &Cluster, server: &Arc<Endpoint>) -> Arc<Connections> {
        let mut known = self.lock();
        let connections = known.at(cluster, server, self.quiet);
        known.last = Some(Arc::clone(&connections));
        connections
    }

    /// The connections of the last request.
    pub(super) fn last(&self) -> Option<Arc<Connections>> {
        self.lock().last.clone()
    }

    /// Takes a new connection for the next request, wherever that goes.
    pub(super) fn give_up(&self) {
        self.lock().places.iter().for_each(|connections| connections.give_up());
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn at(&mut self, cluster: &Cluster, server: &Arc<Endpoint>, quiet: Quiet) -> Arc<Connections> {
        if let Some(known) = self.places.iter().find(|known| Arc::ptr_eq(known.endpoint(), server)) {
            return Arc::clone(known);
        }
        self.places.retain(|known| cluster.is_known(known.endpoint()));
        let new = Arc::new(Connections::new(Arc::clone(server), quiet));
        self.places.push(Arc::clone(&new));
        new
    }
}
