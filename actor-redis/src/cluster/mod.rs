//! A Redis Cluster: which member serves which slot, and how a queue's requests find it.
//!
//! The client's own cluster connection is not used, because it sends again what it got no answer for.

mod address;
mod learn;
mod map;
mod members;
mod redirect;
mod route;
mod seeds;
mod silence;
pub(crate) mod slot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

pub(crate) use self::address::{Address, AddressMap};
use self::learn::Learning;
use self::map::{Announced, SlotMap};
pub(crate) use self::members::{Members, Reach};
pub(crate) use self::route::SlotRoute;
pub(crate) use self::seeds::Seeds;
use crate::clock::Clock;
use crate::connection::Connections;
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind};

/// How long a member is remembered that is no more: longer than the system tries to deliver what was sent to it, so
/// that its former connections are closed where it comes back before.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A cluster, as far as this process knows it.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Itself, for what is learnt in a task of its own.
    this: Weak<Self>,
    /// How each member is reached: with which user, password and TLS.
    template: Endpoint,
    is_tls: bool,
    seeds: Vec<Address>,
    addresses: AddressMap,
    /// The slot whose primary's clock is the broker's.
    clock_of: u16,
    // Locked for moments only: by every request for reading, and by whoever learns.
    state: RwLock<State>,
    // Locked for moments only, by whoever is to learn.
    learning: Mutex<Learning>,
    /// Tells whoever waits for an answer that the map was written.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// None where nothing was learnt yet.
    map: Option<SlotMap>,
    known: HashMap<Address, Member>,
    /// All members that were announced last.
    announced: Vec<Address>,
}

#[derive(Debug)]
struct Member {
    endpoint: Arc<Endpoint>,
    /// When it was last announced, or named by another.
    named: Instant,
}

impl Cluster {
    pub(crate) fn new(seeds: Seeds, addresses: AddressMap, clock_of: u16) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            is_tls: seeds.first.is_tls(),
            template: seeds.first,
            seeds: seeds.all,
            addresses,
            clock_of,
            state: RwLock::default(),
            learning: Mutex::default(),
            changed: watch::Sender::new(()),
        })
    }

    /// Makes sure that it is known who serves what.
    pub(crate) async fn ready(&self) -> Result<(), Arc<Error>> {
        self.known().await
    }

    /// The primary of a slot.
    async fn serves(&self, slot: u16) -> Result<Arc<Endpoint>, Arc<Error>> {
        self.known().await?;
        if let Some(server) = self.server(slot) {
            self.refresh();
            return Ok(server);
        }
        self.learn_again().await;
        self.server(slot).ok_or_else(|| {
            let address = self.template.address.to_string();
            Arc::new(Kind::Unserved { address, slot }.into())
        })
    }

    /// The primary of a slot, as far as it is known.
    fn server(&self, slot: u16) -> Option<Arc<Endpoint>> {
        self.state().map.as_ref()?.get(slot).cloned()
    }

    /// The primary of a slot. Where the connection to it was lost, another may have taken its place.
    async fn reached(&self, members: &Members, slot: u16) -> Result<Arc<Endpoint>, Arc<Error>> {
        let server = self.serves(slot).await?;
        if !members.at(self, &server).is_lost() {
            return Ok(server);
        }
        self.learn_again().await;
        self.serves(slot).await
    }

    /// The connections to the primary of a slot.
    pub(crate) async fn connections(&self, members: &Members, slot: u16) -> Result<Arc<Connections>, Arc<Error>> {
        let server = self.reached(members, slot).await?;
        Ok(members.at(self, &server))
    }

    /// The connections to each primary that serves slots.
    pub(crate) async fn all(&self, members: &Members) -> Result<Vec<Arc<Connections>>, Arc<Error>> {
        self.known().await?;
        self.refresh();
        let primaries = self.state().map.as_ref().map_or_else(Vec::new, SlotMap::serving);
        Ok(primaries.iter().map(|server| members.beside(self, server)).collect())
    }

    /// Which of these slots are served by one primary, each by its place among them. One that nobody serves is alone.
    pub(crate) fn parts(&self, slots: impl Iterator<Item = u16>) -> Vec<Vec<usize>> {
        let state = self.state();
        let mut parts: Vec<(Option<&Arc<Endpoint>>, Vec<usize>)> = Vec::new();
        for (place, slot) in slots.enumerate() {
            let server = state.map.as_ref().and_then(|map| map.get(slot));
            let is_same = |known: &Arc<Endpoint>| server.is_some_and(|server| Arc::ptr_eq(server, known));
            match parts.iter_mut().find(|(known, _)| known.is_some_and(is_same)) {
                Some((_, part)) => part.push(place),
                None => parts.push((server, vec![place])),
            }
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// Tells when the map is written.
    fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The address by which the cluster was given.
    pub(crate) fn address(&self) -> Arc<str> {
        Arc::clone(&self.template.address)
    }

    /// The time of the primary that serves the namespace's own slot, so that all its senders and workers go by one
    /// clock; that of another one until it is met.
    pub(crate) fn now(&self) -> SystemTime {
        let state = self.state();
        let Some(map) = &state.map else { return SystemTime::now() };
        let mut clocks = map.get(self.clock_of).into_iter().chain(map.primaries()).map(|server| &server.clock);
        clocks.find(|clock| clock.now_ms().is_some()).map_or_else(SystemTime::now, Clock::now)
    }

    /// Takes what a member said when it redirected commands.
    fn moved(&self, slots: impl Iterator<Item = u16>, server: &Arc<Endpoint>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let map = state.map.get_or_insert_with(SlotMap::new);
        slots.for_each(|slot| map.set(slot, slot, server));
        drop(state);
        self.changed.send_replace(());
        self.doubt();
    }

    /// Takes what was learnt from a member.
    fn learnt(&self, announced: Announced) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let mut map = SlotMap::new();
        for (from, to, primary) in announced.ranges {
            // One that cannot be reached from here by any address serves nothing from here.
            if let Ok(primary) = state.endpoint(&primary, &self.template) {
                map.set(from, to, &primary);
            }
        }
        state.map = Some(map);
        let now = Instant::now();
        for address in &announced.members {
            if let Some(member) = state.known.get_mut(address) {
                member.named = now;
            }
        }
        state.known.retain(|_, member| now.duration_since(member.named) < REMEMBERED);
        state.announced = announced.members;
        drop(state);
        self.changed.send_replace(());
        self.learning().failed = None;
    }

    /// Those that can be asked for what the cluster knows, the best first.
    fn members(&self) -> Vec<Arc<Endpoint>> {
        let state = self.state();
        let mut members: Vec<_> = state.map.iter().flat_map(|map| map.primaries().to_vec()).collect();
        // Not all processes the same one.
        fastrand::shuffle(&mut members);
        let others: Vec<_> = state.announced.iter().chain(&self.seeds).cloned().collect();
        drop(state);
        self.add(&mut members, &others);
        members
    }

    /// Adds the members at these addresses that are not among them.
    fn add(&self, members: &mut Vec<Arc<Endpoint>>, addresses: &[Address]) {
        for address in addresses {
            let Ok(other) = self.endpoint(address) else { continue };
            if !members.iter().any(|known| Arc::ptr_eq(known, &other)) {
                members.push(other);
            }
        }
    }

    /// The member at an address.
    fn endpoint(&self, address: &Address) -> Result<Arc<Endpoint>, Error> {
        self.state.write().unwrap_or_else(PoisonError::into_inner).endpoint(address, &self.template)
    }

    /// Whether this is still a member, or was until a moment ago.
    fn is_known(&self, server: &Arc<Endpoint>) -> bool {
        self.state().known.values().any(|member| Arc::ptr_eq(&member.endpoint, server))
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn learning(&self) -> MutexGuard<'_, Learning> {
        self.learning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn endpoint(&mut self, address: &Address, template: &Endpoint) -> Result<Arc<Endpoint>, Error> {
        if let Some(member) = self.known.get_mut(address) {
            member.named = Instant::now();
            return Ok(Arc::clone(&member.endpoint));
        }
        let endpoint = Arc::new(template.beside(address)?);
        self.known.insert(address.clone(), Member { endpoint: Arc::clone(&endpoint), named: Instant::now() });
        Ok(endpoint)
    }
}
