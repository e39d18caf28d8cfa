//! The settings of a broker.

use std::num::NonZeroU64;
use std::time::Duration;

use crate::broker::RedisBroker;
use crate::cluster::{Address, AddressMap, Seeds};
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind};
use crate::script::Retention;

/// Makes a [`RedisBroker`]. Every setting has a default.
#[derive(Debug)]
#[must_use = "a builder does nothing until it connects"]
pub struct RedisBrokerBuilder {
    pub(crate) endpoint: Endpoint,
    /// All members that the URL names, where it is that of a cluster.
    pub(crate) seeds: Option<Vec<Address>>,
    pub(crate) addresses: AddressMap,
    pub(crate) namespace: String,
    pub(crate) max_message_bytes: usize,
    pub(crate) retention: Retention,
    pub(crate) weighted: bool,
}

impl RedisBrokerBuilder {
    pub(crate) fn new(url: &str) -> Result<Self, Error> {
        let (endpoint, seeds) = match Seeds::parse(url).transpose()? {
            Some(seeds) => (seeds.first, Some(seeds.all)),
            None => (Endpoint::parse(url)?, None),
        };
        Ok(Self {
            endpoint,
            seeds,
            addresses: AddressMap::default(),
            namespace: "actor".to_owned(),
            max_message_bytes: 1 << 20,
            // A week, so that what broke on a weekend is still there for whoever comes back.
            retention: Retention { age: Duration::from_secs(7 * 24 * 3600), count: 10_000 },
            weighted: false,
        })
    }

    /// What the names of all keys begin with, so that several programs can share a server: 1 to 64 of
    /// the characters `A-Z a-z 0-9 _ - .` Default: `actor`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Where the members of a cluster are from here, by the host and port that they announce: for a NAT, a tunnel or
    /// containers. It is called often, and must not block. Default: where they say. A member that announces no host
    /// is at the host of the member that named it.
    ///
    /// ```no_run
    /// # fn example() -> Result<(), actor_redis::Error> {
    /// let builder = actor_redis::RedisBroker::builder("redis+cluster://localhost:7000")?
    ///     .address_map(|_host, port| ("localhost".to_owned(), port));
    /// # Ok(())
    /// # }
    /// ```
    pub fn address_map(mut self, map: impl Fn(&str, u16) -> (String, u16) + Send + Sync + 'static) -> Self {
        self.addresses = AddressMap::new(map);
        self
    }

    /// The largest message that is taken, in bytes of its whole JSON. Default: 1 MiB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// How long and how many dead letters each queue keeps. What is over goes, the oldest first, when
    /// another message is dead-lettered. Default: 7 days and 10,000.
    pub fn dead_letters(mut self, age: Duration, count: NonZeroU64) -> Self {
        self.retention = Retention { age, count: count.get() };
        self
    }

    /// Lets low priorities have a share where high ones never end: one claim in eight takes the lowest priority
    /// first. Default: strict, a lower priority waits as long as there is anything of a higher one.
    ///
    /// Each worker goes by the setting of its own broker.
    pub fn weighted_priorities(mut self) -> Self {
        self.weighted = true;
        self
    }

    /// The authority that vouches for the server, in PEM form: for a private one. Default: the
    /// authorities that browsers know.
    ///
    /// # Errors
    ///
    /// It is no certificate, or the URL does not begin with `rediss://`.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Result<Self, Error> {
        self.endpoint.trust(pem.into())?;
        Ok(self)
    }

    /// Connects, and checks the server, or some member of the cluster.
    ///
    /// # Errors
    ///
    /// The namespace is wrong, or the server cannot be reached or used. See the predicates of
    /// [`Error`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect but on the connection that was being made.
    pub async fn connect(self) -> Result<RedisBroker, Error> {
        let broker = self.connect_lazy()?;
        broker.inner().commands.ready().await.map_err(|error| (*error).clone())?;
        Ok(broker)
    }

    /// Makes the broker without connecting: its first use does. What [`connect`](Self::connect) would
    /// refuse is then the error of every use.
    ///
    /// # Errors
    ///
    /// The namespace is wrong.
    pub fn connect_lazy(self) -> Result<RedisBroker, Error> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if self.namespace.is_empty() || self.namespace.len() > 64 || !self.namespace.chars().all(fits) {
            return Err(Kind::Namespace(self.namespace).into());
        }
        Ok(RedisBroker::new(self))
    }
}
