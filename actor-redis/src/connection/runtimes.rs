//! What each runtime has of a link to Redis, and which connections are given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime;

use crate::connect::{Live, Peer};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::presence::Away;

/// For how long it is remembered how often a runtime failed to connect.
const REMEMBERED: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) places: Vec<Place>,
    /// Connections that are given up. The next one that is made has the server close them.
    formers: Vec<Peer>,
}

/// What one runtime has of a link.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) runtime: runtime::Id,
    pub(super) live: Option<Arc<Live>>,
    pub(super) failure: Option<Failure>,
    // Held while connecting, so that only one caller of the runtime does.
    pub(super) connecting: Arc<tokio::sync::Mutex<()>>,
    _wanted: Arc<()>,
}

/// The attempts that failed since a connection last stood.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) attempts: u32,
    pub(super) error: Arc<Error>,
    pub(super) again_at: Instant,
    pub(super) away: Away,
}

impl State {
    /// The place of a runtime. Where it has none, those that nobody needs any more make way for it.
    pub(super) fn place(&mut self, runtime: runtime::Id, endpoint: &Arc<Endpoint>) -> &mut Place {
        let at = self.places.iter().position(|place| place.runtime == runtime).unwrap_or_else(|| {
            self.given_up();
            // A runtime that lives and has no connection comes to a place of its own again.
            self.places.retain(|place| place.live.is_some() || place.is_connecting() || place.has_just_failed());
            self.places.push(Place {
                runtime,
                live: None,
                failure: None,
                connecting: Arc::default(),
                _wanted: endpoint.want(),
            });
            self.places.len() - 1
        });
        &mut self.places[at]
    }

    /// The connections that are given up, whosever they were: those that broke, and those whose runtime ended.
    pub(super) fn given_up(&mut self) -> Vec<Peer> {
        let live = self.places.iter_mut().map(|place| &mut place.live);
        let given_up = live.filter_map(|live| live.take_if(|live| !live.is_alive()));
        self.formers.extend(given_up.map(|live| live.peer.clone()));
        self.formers.clone()
    }

    pub(super) fn are_closed(&mut self, formers: &[Peer]) {
        self.formers.retain(|former| !formers.contains(former));
    }
}

impl Place {
    fn is_connecting(&self) -> bool {
        Arc::strong_count(&self.connecting) > 1
    }

    fn has_just_failed(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| Instant::now() < failure.again_at + REMEMBERED)
    }
}
