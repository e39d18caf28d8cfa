//! Where Redis is, and what every connection to it shares.

pub(crate) mod url;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
#[cfg(feature = "tls")]
use redis::{ClientTlsConfig, TlsCertificates};
use redis::{ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisError, Value};

#[cfg(feature = "tls")]
use crate::client_certificate;
use crate::clock::Clock;
use crate::cluster::Address;
use crate::credentials::CredentialsProvider;
use crate::error::{Error, Kind};
use crate::node::Node;
use crate::presence::Presence;
use crate::provider::{Given, Provider};
use crate::report::Inspection;
use crate::sentinel::Sentinels;
use crate::server::Warned;

/// After which quiet the system asks whether the other side is still there, and how often then. NATs and
/// balancers forget what is quiet for longer: the shortest that are common after a minute, most after 4.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// How long what was sent may stay without any sign from the other side. Longer than any answer may take, so
/// that it ends only what nobody waits for.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const UNHEARD: Duration = Duration::from_secs(30);

/// How a certificate in PEM form begins.
#[cfg(feature = "tls")]
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// One logical server. It shows its address, and never a user or a password.
pub(crate) struct Endpoint {
    pub(crate) source: Source,
    /// What its servers are trusted by, and shown.
    #[cfg(feature = "tls")]
    certificates: TlsCertificates,
    /// None where the URL has the user and the password, or there are none.
    provider: Option<Provider>,
    pub(crate) address: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) warned: Warned,
    pub(crate) inspection: Inspection,
    pub(crate) presence: Arc<Presence>,
    /// Shared with each connection that this broker has, or would have.
    wanted: Arc<()>,
    database: i64,
}

/// Where the next connection leads.
pub(crate) enum Source {
    /// Always to the same address.
    Server(Arc<Node>),
    /// To the server that Sentinels name then.
    Sentinels(Sentinels),
}

impl Source {
    /// What each server is connected to with; of Sentinels' servers, the address is none.
    fn server(&self) -> &ConnectionInfo {
        match self {
            Self::Server(node) => node.info(),
            Self::Sentinels(sentinels) => sentinels.server(),
        }
    }
}

impl Endpoint {
    /// Reads a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        #[cfg(feature = "tls")]
        choose_cryptography();
        if let Some(sentinels) = Sentinels::parse(url)? {
            let (address, database) = (sentinels.address(), sentinels.database());
            return Ok(Self::of(Source::Sentinels(sentinels), address, database));
        }
        let info = prepared(url::read(url)?);
        let database = info.redis_settings().db();
        let node = Node::new(info)?;
        let address = Arc::clone(&node.address);
        Ok(Self::of(Source::Server(Arc::new(node)), address, database))
    }

    fn of(source: Source, address: Arc<str>, database: i64) -> Self {
        Self {
            source,
            #[cfg(feature = "tls")]
            certificates: TlsCertificates { client_tls: None, root_cert: None },
            provider: None,
            address,
            clock: Clock::default(),
            warned: Warned::default(),
            inspection: Inspection::default(),
            presence: Arc::default(),
            wanted: Arc::default(),
            database,
        }
    }

    /// A member of a cluster that is reached as this one is: with the same user, password, provider and TLS. What is
    /// asked of its settings is the same.
    pub(crate) fn beside(&self, member: &Address) -> Result<Self, Error> {
        let Address { host, port } = member.clone();
        let info = self.source.server();
        let addr = match info.addr() {
            ConnectionAddr::TcpTls { tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        let node = Node::new(info.clone().set_addr(addr))?;
        let address = Arc::clone(&node.address);
        Ok(Self {
            #[cfg(feature = "tls")]
            certificates: self.certificates.clone(),
            provider: self.provider.as_ref().map(Provider::beside),
            warned: Warned::of_a_member(),
            inspection: self.inspection.beside(),
            ..Self::of(Source::Server(Arc::new(node)), address, self.database)
        })
    }

    /// Its host and port; `None` where it is a socket, or what Sentinels name.
    pub(crate) fn host(&self) -> Option<Address> {
        let Source::Server(node) = &self.source else { return None };
        match node.info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Address::new(host, *port))
            }
            _ => None,
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.source.server().addr(), ConnectionAddr::TcpTls { .. })
    }

    pub(crate) fn database(&self) -> i64 {
        self.database
    }

    /// Counts one more connection, until what it returns is dropped.
    pub(crate) fn want(&self) -> Arc<()> {
        Arc::clone(&self.wanted)
    }

    /// Why a connection to the server at `address` could not be made.
    pub(crate) fn unconnected(&self, address: &str, source: RedisError) -> Error {
        let error = Error::connecting(address, Arc::strong_count(&self.wanted) - 1, source);
        if self.provider.is_some() { error.with_provider() } else { error }
    }

    /// Takes the user and the password of each connection from a provider.
    pub(crate) fn authenticate(&mut self, provider: Arc<dyn CredentialsProvider>) -> Result<(), Error> {
        let settings = self.source.server().redis_settings();
        if settings.username().is_some() || settings.password().is_some() {
            let twice = "the redis URL has a user or a password, which the credentials provider gives: take them out of \
                         the URL";
            return Err(Kind::Url(twice.to_owned()).into());
        }
        self.provider = Some(Provider::new(provider));
        Ok(())
    }

    pub(crate) fn provider(&self) -> Option<&Provider> {
        self.provider.as_ref()
    }

    /// The credentials of the next connection, where a provider gives them.
    pub(crate) async fn credentials(&self, address: &str) -> Result<Option<Given>, Error> {
        match &self.provider {
            Some(provider) => provider.ask(address).await.map(Some),
            None => Ok(None),
        }
    }

    /// Takes an answer to `TIME`.
    pub(crate) fn learn_time(&self, asked: Instant, time: &Value) {
        if let Ok((seconds, micros)) = redis::from_redis_value_ref::<(i64, i64)>(time) {
            self.clock.measure(asked, seconds.saturating_mul(1_000_000).saturating_add(micros));
        }
    }

    /// Asks the Sentinels as a user of their own.
    pub(crate) fn ask_sentinels_as(&mut self, user: &str, password: &str) -> Result<(), Error> {
        match &mut self.source {
            Source::Sentinels(sentinels) => sentinels.ask_as(user, password),
            Source::Server(_) => {
                Err(Kind::Url("the redis URL names no Sentinels, to which to give credentials".to_owned()).into())
            }
        }
    }

    /// Trusts the servers that this authority vouches for, in place of the well-known ones.
    #[cfg(feature = "tls")]
    pub(crate) fn trust(&mut self, authority: Vec<u8>) -> Result<(), Error> {
        // The client would take a text without one, and then trust nobody.
        if !authority.windows(PEM.len()).any(|window| window == PEM) {
            return Err(Kind::Certificate.into());
        }
        let certificates = TlsCertificates { root_cert: Some(authority), ..self.certificates.clone() };
        self.secure(certificates, &Kind::Certificate)
    }

    /// Shows servers this certificate.
    #[cfg(feature = "tls")]
    pub(crate) fn identify(&mut self, certificate: Vec<u8>, key: Vec<u8>) -> Result<(), Error> {
        client_certificate::check(self.source.server().addr(), &certificate, &key)?;
        let client_tls = Some(ClientTlsConfig { client_cert: certificate, client_key: key });
        let certificates = TlsCertificates { client_tls, ..self.certificates.clone() };
        self.secure(certificates, &Kind::ClientCertificate("its PEM cannot be read"))
    }

    #[cfg(feature = "tls")]
    fn secure(&mut self, certificates: TlsCertificates, unusable: &Kind) -> Result<(), Error> {
        let secured = |info: &ConnectionInfo| {
            let client = redis::Client::build_with_tls(info.clone(), certificates.clone());
            client.map(|client| client.get_connection_info().clone()).map_err(|_| unusable.clone().into())
        };
        match &mut self.source {
            Source::Server(node) => *node = Arc::new(Node::new(secured(node.info())?)?),
            Source::Sentinels(sentinels) => sentinels.secure(secured)?,
        }
        self.certificates = certificates;
        Ok(())
    }
}

/// What every connection is made with, beyond what its URL says.
pub(crate) fn prepared(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info
        .redis_settings()
        .clone()
        // Its disconnect notices are how a dead connection is known before it is used.
        .set_protocol(ProtocolVersion::RESP3)
        // A user with few permissions would find a refusal in the server's log for each connection.
        .set_skip_set_lib_name();
    let tcp = kept_alive(info.tcp_settings().clone().set_nodelay(true));
    info.set_redis_settings(settings).set_tcp_settings(tcp)
}

/// Has the system find out what nothing else would: a connection on which a side waits, and that leads nowhere.
fn kept_alive(tcp: TcpSettings) -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE.0);
    #[cfg(any(unix, windows))]
    let keepalive = keepalive.with_interval(KEEPALIVE.1);
    let tcp = tcp.set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let tcp = tcp.set_user_timeout(UNHEARD);
    tcp
}

/// The client takes the process's cryptography, and would panic where none was chosen or the program
/// links two. A choice that the program made stays.
#[cfg(feature = "tls")]
fn choose_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.address).field("database", &self.database).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_server_has_no_password() -> Result<(), Error> {
        let shown = format!("{:?}", Endpoint::parse("redis://ada:hunter2@host/3")?);
        assert!(shown.contains("host:6379") && !shown.contains("hunter2"), "{shown}");
        Ok(())
    }
}
