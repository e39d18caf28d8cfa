//! The settings of a broker.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use actor_core::Durability;

use crate::broker::RedisBroker;
use crate::cluster::{Address, AddressMap, Seeds};
use crate::credentials::CredentialsProvider;
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
    pub(crate) durability: Durability,
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
            durability: Durability::Stored,
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

    /// What every send waits for, unless [its message](actor_core::Message::durability) says otherwise. Default:
    /// [`Durability::Stored`].
    ///
    /// [`Replicated`](Durability::Replicated) waits for replicas at most a second (`WAIT`), and
    /// [`Synced`](Durability::Synced) for the server's disk at most three (`WAITAOF`, from Redis 7.2, with
    /// `appendonly yes`). What is not confirmed by then is an error that
    /// [`is_stored`](actor_core::SendError::is_stored). Such sends have a connection of their own to each server, and
    /// share waits; other sends, and workers, do not wait with them. `docs/guarantees.md` says what a confirmation is
    /// worth.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Refuses a server that may lose acknowledged messages, with an error ([`Error::is_lossy`]) that names each reason
    /// and the line to write. Default: such a server is used, and a warning names the same.
    ///
    /// Refused are the findings of [`check`](RedisBroker::check) that
    /// [`is_refused_by_strict`](crate::Finding::is_refused_by_strict): losses without a bound, and what the server does
    /// not say.
    ///
    /// - An eviction policy that may remove messages (`allkeys-*`).
    /// - No append-only file: a crash loses all, or minutes. `appendfsync no`, and `no-appendfsync-on-rewrite yes`: a
    ///   power cut loses about half a minute.
    /// - Replicas without `min-replicas-to-write`: a failover loses what a primary acknowledged by itself.
    /// - Settings that decide on these and cannot be read. Whoever is strict wants to know, and an assumption is no
    ///   knowledge. Allow the user `INFO` and `CONFIG GET`. With a provider who hides them, look there, and connect
    ///   without `strict`.
    ///
    /// `appendfsync everysec` is taken: it loses at most the last second or two, and only if the machine or the system
    /// dies, at a small part of the cost of `always`. To refuse it too, look for
    /// [`FindingKind::FsyncEverySecond`](crate::FindingKind::FsyncEverySecond) in the report of `check`.
    ///
    /// Settings are read at the first connection to each run of the server: a server that comes back with worse ones is
    /// then refused, and asked again at each attempt to connect. A change by `CONFIG SET` while it runs is not noticed.
    /// Of a cluster, [`connect`](Self::connect) asks each primary that it can reach, and the others are asked when they
    /// can be.
    pub fn strict(mut self) -> Self {
        self.endpoint.inspection.strict = true;
        self
    }

    /// The authority that vouches for the server, for all members of a cluster, and for Sentinels, in PEM form: for a
    /// private one. Default: the authorities that browsers know.
    ///
    /// # Errors
    ///
    /// It is no certificate, or the URL does not begin with `rediss://`.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Result<Self, Error> {
        self.endpoint.trust(pem.into())?;
        Ok(self)
    }

    /// The user and the password of the Sentinels themselves, if they want any. An empty `user` is the default user.
    /// Those in the URL are the servers'. Default: none.
    ///
    /// # Errors
    ///
    /// The URL names no Sentinels.
    pub fn sentinel_credentials(mut self, user: &str, password: &str) -> Result<Self, Error> {
        self.endpoint.ask_sentinels_as(user, password)?;
        Ok(self)
    }

    /// The certificate by which this program identifies itself to the server, with the others of its chain behind it,
    /// and its private key: both in PEM form. Default: none.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use actor_redis::RedisBroker;
    ///
    /// let broker = RedisBroker::builder("rediss://redis.internal")?
    ///     .root_certificate(std::fs::read("authority.pem")?)?
    ///     .client_certificate(std::fs::read("client.pem")?, std::fs::read("client.key")?)?
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The certificate or the key cannot be read, they do not belong together, or the URL does not begin with
    /// `rediss://`.
    #[cfg(feature = "tls")]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Result<Self, Error> {
        self.endpoint.identify(certificate.into(), key.into())?;
        Ok(self)
    }

    /// Takes the user and the password of each connection from a provider, for those that change or end. Default:
    /// those of the URL.
    ///
    /// [`CredentialsProvider`] says when it is asked.
    ///
    /// # Errors
    ///
    /// The URL has a user or a password.
    pub fn credentials(mut self, provider: impl CredentialsProvider + 'static) -> Result<Self, Error> {
        self.endpoint.authenticate(Arc::new(provider))?;
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
        let is_strict = self.endpoint.inspection.strict;
        let broker = self.connect_lazy()?;
        let inner = broker.inner();
        inner.commands.ready().await.map_err(|error| (*error).clone())?;
        if is_strict {
            inner.commands.each_live().await.map_err(|error| (*error).clone())?;
        }
        inner.durable.ready().await.map_err(|error| (*error).clone())?;
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
