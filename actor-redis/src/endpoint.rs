//! Where Redis is, read from a URL, and what every connection to it shares.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::absence::Absence;
use crate::clock::Clock;
use crate::error::{Error, Kind};
use crate::resolver::Resolver;
use crate::server::Warned;

/// How long a connection is quiet before the system asks for a sign of life, and how long until it asks again.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// How long what was sent may be without the system's acknowledgement before a connection is broken.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// How a certificate in PEM form begins.
#[cfg(feature = "tls")]
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// A Redis server. It shows its address, and never the user or the password.
pub(crate) struct Endpoint {
    pub(crate) client: Client,
    pub(crate) address: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) warned: Warned,
    pub(crate) resolver: Resolver,
    /// Whether something may stand between this process and the server that forgets connections.
    pub(crate) is_remote: bool,
    absence: Absence,
    database: i64,
}

impl Endpoint {
    /// Reads a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let info = read(url)?;
        let address: Arc<str> = match info.addr() {
            // So that an error shows that TLS was asked for, which the server may not speak.
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
        let tcp = info.tcp_settings().clone().set_nodelay(true).set_keepalive(keepalive());
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(USER_TIMEOUT);
        let is_remote = !matches!(info.addr(), ConnectionAddr::Unix(_));
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
        #[cfg(feature = "tls")]
        choose_cryptography();
        let client = Client::open(info).map_err(|error| Kind::Url(unreadable(&error)))?;
        Ok(Self {
            client,
            address,
            clock: Clock::default(),
            warned: Warned::default(),
            resolver: Resolver::default(),
            is_remote,
            absence: Absence::default(),
            database,
        })
    }

    /// Connection `number` was made.
    pub(crate) fn is_here(&self, number: u64) {
        if self.absence.is_over(number, Instant::now()) {
            tracing::info!(address = %self.address, "redis is connected again");
        }
    }

    /// Connection `number` could not be made.
    pub(crate) fn is_away(&self, number: u64, error: &Error) {
        if self.absence.begins(number, Instant::now()) {
            tracing::warn!(address = %self.address, %error, "redis is away");
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

/// Asks a quiet connection for a sign of life, so that what stands in between does not forget it (the soonest do
/// after a few minutes), and so that it is known to be broken within a minute.
fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    #[cfg(not(windows))]
    let keepalive = keepalive.with_retries(3);
    keepalive
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
    let Some((scheme, _)) = url.split_once("://") else {
        return Err(Kind::Url(format!("the redis URL has no scheme: write {forms}")).into());
    };
    match scheme {
        "redis" | "valkey" | "redis+unix" | "valkey+unix" | "unix" => {}
        "rediss" | "valkeys" if cfg!(feature = "tls") => {}
        "rediss" | "valkeys" => {
            let what = format!("{scheme}:// needs TLS: enable the feature `tls` of actor-redis");
            return Err(Kind::Url(what).into());
        }
        _ if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => {
            return Err(Kind::Url(format!("{scheme}:// is not a redis URL: write {forms}")).into());
        }
        _ => return Err(Kind::Url(format!("the redis URL cannot be read: write {forms}")).into()),
    }
    if has_unencoded_password(url) {
        return Err(Kind::Url(format!(
            "the redis URL cannot be read: in a user and a password, write @ : / ? # and % as %40 %3A %2F %3F %23 and %25; \
             its form is {forms}"
        ))
        .into());
    }
    if redis::parse_redis_url(url).is_none() {
        return Err(Kind::Url(format!(
            "the redis URL cannot be read: write {forms}; in a password, write @ : / ? # and % as %40 %3A %2F %3F %23 and %25"
        ))
        .into());
    }
    let info = url.into_connection_info().map_err(|error| Kind::Url(unreadable(&error)))?;
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } if host.is_empty() => {
            Err(Kind::Url(format!("the redis URL has no host: write {forms}")).into())
        }
        ConnectionAddr::TcpTls { insecure: true, .. } => {
            let what =
                "a redis URL with #insecure is not taken: trust the server's own authority with `root_certificate`";
            Err(Kind::Url(what.to_owned()).into())
        }
        _ => Ok(info),
    }
}

/// Whether a URL's password has a character that ends it too soon: what comes behind that would be taken for the
/// host, and be shown as such.
fn has_unencoded_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_path = authority.is_empty();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    // An address of version 6 stands in brackets.
    let colons = host.rsplit_once(']').map_or(host, |(_, port)| port).matches(':').count();
    user.contains('@') || user.matches(':').count() > 1 || colons > 1 || (!is_path && behind.contains('@'))
}

fn unreadable(error: &redis::RedisError) -> String {
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
    fn a_password_that_is_not_encoded_is_refused_and_no_part_of_it_is_shown() {
        for mark in ["@", "/", "?", "#", ":", "@@", "/@", "@/", "1/", "0?x=", "[", "]:"] {
            for url in [
                format!("redis://:hun{mark}ter2@host:6379/0"),
                format!("redis://ada:hun{mark}ter2@host"),
                format!("redis://hun{mark}ter2:secret@host/1"),
                format!("redis://:hun{mark}ter2@[::1]:6379"),
            ] {
                match Endpoint::parse(&url) {
                    // A bracket is no mark of a URL's own within a password.
                    Ok(endpoint) => {
                        let shown = format!("{endpoint:?}");
                        assert!(!shown.contains("hun") && !shown.contains("ter2"), "{url}: {shown}");
                        assert!(mark.contains(['[', ']', ':']), "{url} was taken: {shown}");
                    }
                    Err(error) => {
                        let shown = format!("{error} {error:?}");
                        assert!(!shown.contains("hun") && !shown.contains("ter2"), "{url}: {shown}");
                        assert!(shown.contains("%40") || mark.contains(['[', ']']), "{url}: {shown}");
                    }
                }
            }
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
