//! Where Redis is, read from a URL, and what every connection to it shares.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisError, Value};

use crate::clock::Clock;
use crate::cluster::Address;
use crate::error::{Error, Kind};
use crate::presence::Presence;
use crate::resolve::{Asked, Resolver};
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

/// A Redis server. It shows its address, and never the user or the password.
pub(crate) struct Endpoint {
    pub(crate) client: Client,
    pub(crate) address: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) warned: Warned,
    pub(crate) presence: Arc<Presence>,
    /// None where the URL has an address, and no name.
    resolver: Option<Resolver>,
    /// Shared with each connection that this broker has, or would have.
    wanted: Arc<()>,
    database: i64,
}

impl Endpoint {
    /// Reads a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        Self::of(read(url)?)
    }

    fn of(info: ConnectionInfo) -> Result<Self, Error> {
        let address: Arc<str> = match info.addr() {
            // So that an error shows that TLS was asked for, which the server may not support.
            addr @ ConnectionAddr::TcpTls { .. } => format!("rediss://{addr}").into(),
            addr => addr.to_string().into(),
        };
        let database = info.redis_settings().db();
        let settings = info
            .redis_settings()
            .clone()
            // Its disconnect notices are how a dead connection is known before it is used.
            .set_protocol(ProtocolVersion::RESP3)
            // A user with few permissions would find a refusal in the server's log for each connection.
            .set_skip_set_lib_name();
        let resolver = match info.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }
                if host.parse::<IpAddr>().is_err() =>
            {
                Some(Resolver::new(host, *port))
            }
            _ => None,
        };
        let tcp = kept_alive(info.tcp_settings().clone().set_nodelay(true));
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
        #[cfg(feature = "tls")]
        choose_cryptography();
        let client = Client::open(info).map_err(|error| Kind::Url(unreadable(&error)))?;
        Ok(Self {
            client,
            address,
            clock: Clock::default(),
            warned: Warned::default(),
            presence: Arc::default(),
            resolver,
            wanted: Arc::default(),
            database,
        })
    }

    /// A member of a cluster that is reached as this one is, with the same user, password and TLS.
    pub(crate) fn beside(&self, member: &Address) -> Result<Self, Error> {
        let Address { host, port } = member.clone();
        let info = self.client.get_connection_info();
        let addr = match info.addr() {
            ConnectionAddr::TcpTls { tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Ok(Self { warned: Warned::of_a_member(), ..Self::of(info.clone().set_addr(addr))? })
    }

    /// Its host and port; `None` where it is a socket.
    pub(crate) fn host(&self) -> Option<Address> {
        match self.client.get_connection_info().addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                Some(Address::new(host, *port))
            }
            _ => None,
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. })
    }

    pub(crate) fn database(&self) -> i64 {
        self.database
    }

    /// What finds the addresses of the host, where it has a name.
    ///
    /// # Errors
    ///
    /// Its thread cannot be started.
    pub(crate) fn resolver(&self) -> Result<Option<Asked>, Error> {
        let ready = self.resolver.as_ref().map(Resolver::ready).transpose();
        ready.map_err(|source| Kind::NoThread { address: self.address.to_string(), source: source.into() }.into())
    }

    /// Counts one more connection, until what it returns is dropped.
    pub(crate) fn want(&self) -> Arc<()> {
        Arc::clone(&self.wanted)
    }

    /// Why a connection could not be made.
    pub(crate) fn unconnected(&self, source: RedisError) -> Error {
        Error::connecting(&self.address, Arc::strong_count(&self.wanted) - 1, source)
    }

    /// Takes an answer to `TIME`.
    pub(crate) fn learn_time(&self, asked: Instant, time: &Value) {
        if let Ok((seconds, micros)) = redis::from_redis_value_ref::<(i64, i64)>(time) {
            self.clock.measure(asked, seconds.saturating_mul(1_000_000).saturating_add(micros));
        }
    }

    /// Trusts the servers that this authority vouches for, in place of the well-known ones.
    #[cfg(feature = "tls")]
    pub(crate) fn trust(&mut self, authority: Vec<u8>) -> Result<(), Error> {
        // The client would take a text without one, and then trust nobody.
        if !authority.windows(PEM.len()).any(|window| window == PEM) {
            return Err(Kind::Certificate.into());
        }
        let certificates = redis::TlsCertificates { client_tls: None, root_cert: Some(authority) };
        let info = self.client.get_connection_info().clone();
        self.client = Client::build_with_tls(info, certificates).map_err(|_| Kind::Certificate)?;
        Ok(())
    }
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

// What is wrong is said without the text that is wrong: a part of it may be a password.
fn read(url: &str) -> Result<ConnectionInfo, Error> {
    let forms = "redis://[user:password@]host[:port][/database], the same with rediss:// for TLS, \
                 or redis+unix:///path/to/socket";
    let wrong = |what: String| Err(Kind::Url(what).into());
    let Some((scheme, rest)) = url.split_once("://") else {
        return wrong(format!("the redis URL has no scheme: write {forms}"));
    };
    match scheme {
        "redis" | "valkey" | "redis+unix" | "valkey+unix" | "unix" => {}
        "rediss" | "valkeys" if cfg!(feature = "tls") => {}
        "rediss" | "valkeys" => {
            return wrong(format!("{scheme}:// needs TLS: enable the feature `tls` of actor-redis"));
        }
        _ if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
            return wrong(format!("{scheme}:// is not a redis URL: write {forms}"));
        }
        _ => return wrong(format!("the redis URL cannot be read: write {forms}")),
    }
    if let Some((cut, code)) = cut_in_a_password(scheme, rest) {
        return wrong(format!(
            "the redis URL has a `{cut}` before its `@`: in a password, write `{cut}` as `{code}`, and {OTHERS}"
        ));
    }
    if redis::parse_redis_url(url).is_none() || is_cut_in_a_parameter(scheme, rest) {
        return wrong(format!("the redis URL cannot be read: write {forms}; in a password, write {OTHERS}"));
    }
    let info = url.into_connection_info().map_err(|error| Kind::Url(unreadable(&error)))?;
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } if host.is_empty() => {
            wrong(format!("the redis URL has no host: write {forms}"))
        }
        ConnectionAddr::TcpTls { insecure: true, .. } => wrong(
            "a redis URL with #insecure is not taken: trust the server's own authority with `root_certificate`"
                .to_owned(),
        ),
        _ => Ok(info),
    }
}

/// What a password may hold only as a code.
const OTHERS: &str = "@ : / ? # and % as %40 %3A %2F %3F %23 and %25";

/// What ends the host, where that may be a part of a password, since an `@` comes later; and how to write it.
fn cut_in_a_password(scheme: &str, rest: &str) -> Option<(char, &'static str)> {
    let (at, cut) = rest.char_indices().find(|(_, c)| "/?#".contains(*c))?;
    let code = match cut {
        '/' => "%2F",
        '?' => "%3F",
        _ => "%23",
    };
    (!scheme.ends_with("unix") && rest[at..].contains('@')).then_some((cut, code))
}

/// Whether what is read as a socket's path may hold a password, which stands behind a `?`.
fn is_cut_in_a_parameter(scheme: &str, rest: &str) -> bool {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    scheme.ends_with("unix") && (path.contains("pass=") || path.contains("user="))
}

fn unreadable(error: &RedisError) -> String {
    // Only the fixed part of the client's text: its detail may quote the URL.
    let text = error.to_string();
    let what = text.split(" - ").next().unwrap_or_default().to_lowercase();
    format!("the redis URL cannot be used: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match Endpoint::parse(url) {
            Ok(endpoint) => panic!("{url} was taken: {endpoint:?}"),
            Err(error) => {
                assert!(error.is_invalid());
                format!("{error} {error:?}")
            }
        }
    }

    #[test]
    fn every_form_of_url_is_read() -> Result<(), Error> {
        for (url, address) in [
            ("redis://localhost", "localhost:6379"),
            ("redis://10.0.0.1:6380/3", "10.0.0.1:6380"),
            ("redis://:secret@[::1]:6380", "::1:6380"),
            ("redis://ada:s%40cret@redis.internal/1", "redis.internal:6379"),
            ("redis+unix:///run/redis.sock?db=2", "/run/redis.sock"),
            ("unix:///run/redis.sock", "/run/redis.sock"),
            ("unix:///run/a@b/redis.sock?pass=hun@ter/2", "/run/a@b/redis.sock"),
            // The last one divides, and the host is whole.
            ("redis://ada:hun@ter@2@host/1", "host:6379"),
            ("redis://:hun:ter2@host", "host:6379"),
        ] {
            assert_eq!(&*Endpoint::parse(url)?.address, address);
        }
        Ok(())
    }

    #[test]
    fn a_wrong_url_is_refused_without_showing_its_password() {
        for url in [
            "localhost:6379",
            "",
            "http://:hunter2@localhost",
            "redis://:hunter2@",
            "redis://:hunter2@host:notaport",
            "redis://:hun/ter2@host",
            "redis://:hunter2@host/notadatabase",
            "redis://:hunter2@host/?protocol=hunter2",
            "hunter2@host://x",
            "redis://:hunter2@0.0.0.0",
        ] {
            let shown = refusal(url);
            assert!(!shown.contains("hunter2") && !shown.contains("ter2"), "{shown}");
        }
    }

    #[test]
    fn a_password_that_is_not_encoded_is_never_taken_for_a_host() {
        let scheme = if cfg!(feature = "tls") { "rediss" } else { "redis" };
        let cut_of = |secret: &str| if secret.contains('/') { 0 } else { usize::from(secret.contains('#')) + 1 };
        for before in ["", "ada", "12", "ada.example.com", "a@b"] {
            for secret in
                ["12/hunter2", "hunter2/", "6379?hunter2", "6379#hunter2", "12/hun@ter2", "hunter2@12/x", "/hunter2"]
            {
                for after in ["host", "host:6380", "host/1", "10.0.0.1/1?protocol=resp3", "[::1]"] {
                    for scheme in ["redis", "valkey", scheme] {
                        let shown = refusal(&format!("{scheme}://{before}:{secret}@{after}"));
                        let (cut, code) = [('/', "%2F"), ('?', "%3F"), ('#', "%23")][cut_of(secret)];
                        assert!(shown.contains(&format!("write `{cut}` as `{code}`, and @ : / ?")), "{shown}");
                        assert!(!shown.contains("hun") && !shown.contains("ter2"), "{shown}");
                    }
                }
            }
        }
        for cut in ["redis+unix:///run/s&pass=hunter2", "unix:///run/s/pass=hunter2", "unix:///run/s;user=hunter2"] {
            assert!(!refusal(cut).contains("hunter2"), "{cut}");
        }
    }

    #[test]
    fn what_is_shown_of_a_server_has_no_password() -> Result<(), Error> {
        let shown = format!("{:?}", Endpoint::parse("redis://ada:hunter2@host/3")?);
        assert!(shown.contains("host:6379") && !shown.contains("hunter2"), "{shown}");
        Ok(())
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_without_its_feature_says_what_to_enable() {
        assert!(refusal("rediss://host").contains("feature `tls`"));
    }
}
