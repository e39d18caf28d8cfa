//! A server that Sentinels watch. Each connection asks them anew where the primary is, and checks that what they
//! name is one: they learn of a failover one after the other, and may be wrong.

mod ask;
mod listen;
mod unfound;
mod url;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use self::ask::{Address, Votes};
use self::listen::{Asker, Want};
pub(crate) use self::unfound::Unfound;
use self::unfound::list;
use self::url::Listed;
use crate::connect::{self, Live};
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind};
use crate::node::Node;

/// For how long a server from which Sentinels have moved on is tried last. By then all of them know.
const LEFT: Duration = Duration::from_secs(10);
/// How many servers are remembered that no connection leads to.
const REMEMBERED: usize = 8;

/// The Sentinels of one primary, and the thread that asks them: whatever user code does to the runtimes, answers
/// and promotions are heard. It starts at the first question, and ends when this is dropped.
pub(crate) struct Sentinels {
    watched: Arc<Watched>,
    // Locked for moments only, by whoever connects.
    asks: Mutex<Option<mpsc::UnboundedSender<Asker>>>,
}

/// What the thread and those who connect share.
struct Watched {
    listed: Listed,
    sentinels: Vec<Node>,
    // Locked for moments only, by whoever connects and by the thread.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The servers that were named lately.
    nodes: Vec<(Address, Arc<Node>)>,
    /// The primary before the last promotion that was heard of, and when that was.
    left: Option<(Address, Instant)>,
}

impl Sentinels {
    /// Reads a URL; `None` where it is not about Sentinels.
    pub(crate) fn parse(url: &str) -> Result<Option<Self>, Error> {
        Listed::read(url)?.map(Self::new).transpose()
    }

    fn new(listed: Listed) -> Result<Self, Error> {
        let sentinels = listed.sentinels.iter().map(|info| Node::new(info.clone())).collect::<Result<_, _>>()?;
        let watched = Arc::new(Watched { listed, sentinels, known: Mutex::default() });
        Ok(Self { watched, asks: Mutex::default() })
    }

    /// Has the servers and the Sentinels trusted, and shown a certificate, as `secured` says.
    #[cfg(feature = "tls")]
    pub(crate) fn secure(
        &mut self,
        secured: impl Fn(&redis::ConnectionInfo) -> Result<redis::ConnectionInfo, Error>,
    ) -> Result<(), Error> {
        let Listed { sentinels, name, server } = &self.watched.listed;
        let sentinels = sentinels.iter().map(&secured).collect::<Result<_, _>>()?;
        *self = Self::new(Listed { sentinels, name: name.clone(), server: secured(server)? })?;
        Ok(())
    }

    /// Asks the Sentinels as this user. An empty one is the default user.
    pub(crate) fn ask_as(&mut self, user: &str, password: &str) -> Result<(), Error> {
        *self = Self::new(self.watched.listed.clone().with_credentials(user, password))?;
        Ok(())
    }

    /// What stands for the address of the primary while that is not known.
    pub(crate) fn address(&self) -> Arc<str> {
        format!("{} (Sentinels {})", self.watched.name(), self.watched.all()).into()
    }

    pub(crate) fn database(&self) -> i64 {
        self.server().redis_settings().db()
    }

    /// What each server is connected to with, but for its address.
    pub(crate) fn server(&self) -> &redis::ConnectionInfo {
        &self.watched.listed.server
    }

    /// Connects to the primary.
    pub(crate) async fn connect(&self, endpoint: &Endpoint, number: u64) -> Result<Live, Error> {
        let mut tried = Vec::<(Address, Error)>::new();
        let mut votes = Votes::default();
        // Those who did not agree, or were slower, are heard too where the others led to no primary.
        for want in [Want::Majority, Want::All] {
            votes = self.ask(want).await?;
            for address in votes.candidates(self.watched.left().as_ref()) {
                if tried.iter().any(|(other, _)| *other == address) {
                    continue;
                }
                let node = self.watched.node(&address)?;
                match reach(endpoint, &node, number).await {
                    Ok(live) => return Ok(live),
                    Err(error) => tried.push((address, error)),
                }
            }
            if votes.are_complete() {
                break;
            }
        }
        Err(self.watched.unfound(&votes, tried))
    }

    async fn ask(&self, want: Want) -> Result<Votes, Error> {
        let no_thread = |source: io::Error| {
            Error::from(Kind::Unfound(Unfound::NoThread { sentinels: self.watched.all(), source: source.into() }))
        };
        let (answer, answered) = oneshot::channel();
        // An error means that the thread has ended, and drops the answer too.
        let _ = self.asks().map_err(no_thread)?.send(Asker { want, answer });
        answered.await.map_err(|_| no_thread(io::Error::other("it has ended")))
    }

    /// Makes sure that there is a thread.
    fn asks(&self) -> io::Result<mpsc::UnboundedSender<Asker>> {
        // Nothing panics while it is held.
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asks) = asks.as_ref().filter(|asks| !asks.is_closed()) {
            return Ok(asks.clone());
        }
        let (asker, asked) = mpsc::unbounded_channel();
        listen::start(Arc::clone(&self.watched), asked)?;
        *asks = Some(asker.clone());
        Ok(asker)
    }
}

/// Connects to a server that was named, unless the Sentinels move on meanwhile.
async fn reach(endpoint: &Endpoint, node: &Arc<Node>, number: u64) -> Result<Live, Error> {
    let Some(demotion) = &node.demotion else { return connect::open(endpoint, node, number).await };
    tokio::select! {
        biased;
        made = connect::open(endpoint, node, number) => made,
        () = demotion.announced() => Err(Kind::Replica { address: node.address.to_string() }.into()),
    }
}

impl Watched {
    fn name(&self) -> &str {
        &self.listed.name
    }

    /// The Sentinels' addresses.
    fn all(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|sentinel| &*sentinel.address).collect();
        list(&addresses)
    }

    /// What is known of a server; its connections are ended together.
    fn node(&self, address: &Address) -> Result<Arc<Node>, Error> {
        let mut known = self.known();
        if let Some((_, node)) = known.nodes.iter().find(|(other, _)| other == address) {
            return Ok(Arc::clone(node));
        }
        let info = self.listed.server_at(&address.host, address.port);
        let node = Arc::new(Node::named(info, self.name())?);
        if known.nodes.len() >= REMEMBERED {
            known.nodes.retain(|(_, node)| Arc::strong_count(node) > 1);
        }
        known.nodes.push((address.clone(), Arc::clone(&node)));
        Ok(node)
    }

    /// Takes note of a promotion.
    fn switched(&self, from: Address) {
        self.demote(|address| *address == from);
        self.known().left = Some((from, Instant::now()));
    }

    /// Gives up what all Sentinels have moved on from, where a promotion may have been missed.
    fn catch_up(&self, votes: &Votes) {
        if votes.majority().is_some() {
            self.demote(|address| votes.count(address) == 0);
        }
    }

    fn demote(&self, is_former: impl Fn(&Address) -> bool) {
        let mut known = self.known();
        let demoted: Vec<_> = known.nodes.extract_if(.., |(address, _)| is_former(address)).collect();
        drop(known);
        for (_, node) in demoted {
            if let Some(demotion) = &node.demotion {
                demotion.announce();
            }
            tracing::info!(address = &*node.address, "redis has another primary");
        }
    }

    /// The primary before, where a promotion was heard of just now.
    fn left(&self) -> Option<Address> {
        let known = self.known();
        known.left.as_ref().filter(|(_, at)| at.elapsed() < LEFT).map(|(address, _)| address.clone())
    }

    /// Whether the votes decide. A majority for the primary before a promotion has not heard of that.
    fn is_decided(&self, votes: &Votes) -> bool {
        votes.majority().is_some_and(|address| self.left() != Some(address))
    }

    /// Why none of the servers that were named was taken.
    fn unfound(&self, votes: &Votes, mut tried: Vec<(Address, Error)>) -> Error {
        if tried.is_empty() {
            return Kind::Unfound(Unfound::unnamed(self.name(), &self.sentinels, votes)).into();
        }
        // What a server says against this program is to be mended there, whatever else the Sentinels name.
        if let Some(at) = tried.iter().position(|(_, error)| !error.is_of_no_primary()) {
            return tried.swap_remove(at).1;
        }
        let fate = |address: &Address| {
            let error = tried.iter().find(|(other, _)| other == address).map(|(_, error)| error);
            match error.map(|error| (error, error.cause())) {
                Some((error, _)) if error.is_of_replica() => "a replica".to_owned(),
                Some((_, Some(cause))) => format!("which cannot be reached ({cause})"),
                Some((_, None)) => "which is no Redis".to_owned(),
                None => "which was not tried".to_owned(),
            }
        };
        let said = votes.tell(&self.sentinels, fate);
        let source = tried.iter().find_map(|(_, error)| error.cause().cloned());
        Kind::Unfound(Unfound::NoPrimary { name: self.name().to_owned(), said, source }).into()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
