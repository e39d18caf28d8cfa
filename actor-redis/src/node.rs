//! One server, and what a connection to it is opened with.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo};
use tokio::sync::Notify;

use crate::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::resolve::Resolver;

/// A server at one address. It shows the address, and never the user or the password.
pub(crate) struct Node {
    /// As errors and logs show it.
    pub(crate) address: Arc<str>,
    pub(crate) client: Client,
    /// None where it has an address, and no name.
    resolver: Option<Resolver>,
    /// For a server that Sentinels name as the primary.
    pub(crate) demotion: Option<Demotion>,
}

/// Whether Sentinels have promoted another server. Once they have, it stays so for every connection that was
/// made before.
#[derive(Debug, Default)]
pub(crate) struct Demotion {
    is_announced: AtomicBool,
    wake: Notify,
}

impl Node {
    pub(crate) fn new(info: ConnectionInfo) -> Result<Self, Error> {
        let resolver = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }
                if host.parse::<IpAddr>().is_err() =>
            {
                Some(Resolver::new(host, *port))
            }
            _ => None,
        };
        let address = shown(info.addr()).into();
        let client = Client::open(info).map_err(|error| Kind::unreadable(&error))?;
        Ok(Self { address, client, resolver, demotion: None })
    }

    /// A server that Sentinels name as the primary called `name`.
    pub(crate) fn named(info: ConnectionInfo, name: &str) -> Result<Self, Error> {
        let node = Self::new(info)?;
        let address = format!("{} ({name})", node.address).into();
        Ok(Self { address, demotion: Some(Demotion::default()), ..node })
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        self.client.get_connection_info()
    }

    /// What makes a connection with these credentials.
    pub(crate) fn authenticated(&self, credentials: &Credentials) -> Result<Client, Error> {
        let info = self.info().clone();
        let mut settings = info.redis_settings().clone().set_password(credentials.secret());
        if let Some(username) = credentials.username() {
            settings = settings.set_username(username);
        }
        let client = Client::open(info.set_redis_settings(settings));
        client.map_err(|error| Kind::unreadable(&error).into())
    }

    /// Has its name resolved off the runtime, where it has one.
    ///
    /// # Errors
    ///
    /// The thread for it cannot be started.
    pub(crate) fn resolving(&self, config: AsyncConnectionConfig) -> io::Result<AsyncConnectionConfig> {
        Ok(match &self.resolver {
            Some(resolver) => config.set_dns_resolver(resolver.ready()?),
            None => config,
        })
    }

    pub(crate) fn is_demoted(&self) -> bool {
        self.demotion.as_ref().is_some_and(Demotion::is_announced)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Demotion {
    /// Ends what waits for this server, and has its connections given up.
    pub(crate) fn announce(&self) {
        self.is_announced.store(true, Ordering::Release);
        self.wake.notify_waiters();
    }

    fn is_announced(&self) -> bool {
        self.is_announced.load(Ordering::Acquire)
    }

    pub(crate) async fn announced(&self) {
        // Made before the look, so that no announcement between the two is missed.
        let woken = self.wake.notified();
        if !self.is_announced() {
            woken.await;
        }
    }
}

/// An address as errors show it.
fn shown(address: &ConnectionAddr) -> String {
    match address {
        // So that an error shows that TLS was asked for, which the server may not support.
        address @ ConnectionAddr::TcpTls { .. } => format!("rediss://{address}"),
        address => address.to_string(),
    }
}
