//! Why there is no connection to Redis, and what a person should do about it.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use redis::{ErrorKind as Client, RedisError};

pub(crate) use crate::request_error::RequestError;
use crate::sentinel::Unfound;

/// What a server's TLS says of a client certificate that it does not accept.
#[cfg(feature = "tls")]
const REFUSED_CERTIFICATE: [&str; 7] = [
    "alert: UnknownCA",
    "alert: BadCertificate",
    "alert: UnsupportedCertificate",
    "alert: CertificateRevoked",
    "alert: CertificateExpired",
    "alert: CertificateUnknown",
    "alert: DecryptError",
];
/// How the address of a TLS connection begins.
const TLS: &str = "rediss://";

/// Why there is no broker: a setting that cannot be, or a server that cannot be used.
///
/// No text of it ever holds the URL or its password.
#[derive(Clone, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Kind>);

// Shown as people read it, also where `main` returns it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        self.cause().map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("{0}")]
    Url(String),
    #[error("{0:?} cannot be a namespace: it has 1 to 64 of the characters A-Z a-z 0-9 _ - .")]
    Namespace(String),
    #[cfg(feature = "tls")]
    #[error("the root certificate cannot be read: give it in PEM form, for a rediss:// URL")]
    Certificate,
    #[cfg(feature = "tls")]
    #[error("the client certificate cannot be used: {0}")]
    ClientCertificate(&'static str),
    #[error("there is no tokio runtime here: call the broker from within one")]
    NoRuntime,
    #[error(
        "redis at {address} could not be reached: check that it runs there{}, and that the URL is right",
        on_tls(address)
    )]
    Unreachable { address: String, source: RedisError },
    // The client's parser would say what it met over several lines.
    #[error(
        "{address} answers, but not as Redis does: check the URL's host and port, whether an HTTP or other server \
         listens there, {}",
        or_tls(address)
    )]
    Stranger { address: String },
    #[error("redis at {address} wants {wants}")]
    Denied { address: String, wants: &'static str, source: RedisError },
    // A provider that is behind a rotation may give others the next time.
    #[error("redis at {address} refuses the user or the password that the credentials provider gave")]
    Outdated { address: String, source: RedisError },
    #[error("the credentials provider has none for redis at {address}")]
    Provider { address: String, source: RedisError },
    #[error("the credentials provider did not answer within {within:?}, for redis at {address}")]
    ProviderSilent { address: String, within: Duration },
    #[cfg(feature = "tls")]
    #[error("redis at {address} wants a client certificate: give it with `client_certificate`")]
    NoClientCertificate { address: String, source: RedisError },
    #[cfg(feature = "tls")]
    #[error(
        "redis at {address} does not accept the client certificate: it must be current, and from an authority that the \
         server knows (`tls-ca-cert-file`)"
    )]
    Unaccepted { address: String, source: RedisError },
    #[cfg(feature = "tls")]
    #[error(
        "redis at {address} shows a certificate that is not trusted: give the authority that vouches for it with \
         `root_certificate`, and in the URL the host's name as the certificate has it"
    )]
    Untrusted { address: String, source: RedisError },
    #[error("redis at {address} is {version}, and at least 6.2 is needed: upgrade the server")]
    TooOld { address: String, version: String },
    #[error(
        "redis at {address} is version {version}, and `Durability::Synced` needs at least 7.2: upgrade the server, or \
         send messages as `Stored` or `Replicated`"
    )]
    CannotSync { address: String, version: String },
    #[error(
        "redis at {address} is a Sentinel, which keeps no messages: begin the URL with redis+sentinel://, and end it with a \
         `/` and the name of the primary"
    )]
    Sentinel { address: String },
    #[error("redis at {address} is a replica, and no primary")]
    Replica { address: String },
    #[error(transparent)]
    Unfound(#[from] Unfound),
    #[error(
        "redis at {address} has settings that may lose acknowledged messages, and `strict()` refuses it: {findings}"
    )]
    Lossy { address: String, findings: String },
    #[error("redis at {address} is no member of a cluster: write the URL as redis://, or rediss:// for TLS")]
    NoCluster { address: String },
    #[error(
        "redis at {address} knows of nobody who serves a slot, or answered what this version does not understand (to \
         CLUSTER SHARDS or SLOTS)"
    )]
    StrangeCluster { address: String },
    #[error("no member of the cluster of {address} answered in time: check that they run, and that the URL is right")]
    NobodyAnswers { address: String },
    #[error(
        "no member of the cluster of {address} serves hash slot {slot}, where this queue is: its primary is away, or the \
         slot was never assigned (CLUSTER NODES shows it)"
    )]
    Unserved { address: String, slot: u16 },
    #[error(
        "redis at {address} is full (`maxclients`), and this process needs {wanted} so far: raise `maxclients`, and the \
         server's limit of open files, above the sum over all processes (docs/redis-keys.md, Connections)"
    )]
    Full { address: String, wanted: String, source: RedisError },
    #[error(
        "redis at {address} closed the connection at once: check that it has room (`maxclients`; this process needs \
         {wanted} so far), {}",
        or_tls(address)
    )]
    Closed { address: String, wanted: String, source: RedisError },
    #[error(
        "redis at {address} could not be reached: this process may open no more files; raise its limit (`ulimit -n`) \
         above the {wanted} that it needs so far, and what else it opens"
    )]
    NoFiles { address: String, wanted: String, source: RedisError },
    #[error(
        "redis at {address} cannot be resolved: the thread that resolves its name could not be started; raise the \
         limit of threads or processes (`ulimit -u`, the container's pids), or write an IP address into the URL"
    )]
    NoThread { address: String, source: RedisError },
    #[error("redis at {address} is busy with a script: wait for its end, or end it (SCRIPT KILL)")]
    Busy { address: String, source: RedisError },
    #[error("redis at {address} refused the connection: {what}")]
    Refused { address: String, what: String, source: RedisError },
}

impl Error {
    /// Whether a setting is wrong: the URL, the namespace, a certificate, or the name that Sentinels are asked for.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        #[cfg(feature = "tls")]
        if matches!(*self.0, Kind::Certificate | Kind::ClientCertificate(_)) {
            return true;
        }
        match &*self.0 {
            Kind::Unfound(unfound) => unfound.is_invalid(),
            kind => matches!(kind, Kind::Url(_) | Kind::Namespace(_)),
        }
    }

    /// Whether the same call may succeed later, unchanged: the server could not be reached, did not answer as
    /// Redis does, is full, closed the connection at once, or is busy with a script; the Sentinels led to no
    /// primary, or no member of a cluster serves what was asked for; this process may start no thread or open no file;
    /// or the credentials provider failed, or gave what the server refuses.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        if let Kind::Unfound(unfound) = &*self.0 {
            return unfound.is_transient();
        }
        matches!(
            *self.0,
            Kind::Unreachable { .. }
                | Kind::Stranger { .. }
                | Kind::Full { .. }
                | Kind::Closed { .. }
                | Kind::Replica { .. }
                | Kind::Busy { .. }
                | Kind::NoThread { .. }
                | Kind::NoFiles { .. }
                | Kind::Outdated { .. }
                | Kind::Provider { .. }
                | Kind::ProviderSilent { .. }
                | Kind::StrangeCluster { .. }
                | Kind::NobodyAnswers { .. }
                | Kind::Unserved { .. }
        )
    }

    /// Whether the server or the Sentinels want another user, password or client certificate, or allow this user too
    /// little.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        #[cfg(feature = "tls")]
        if matches!(*self.0, Kind::NoClientCertificate { .. } | Kind::Unaccepted { .. }) {
            return true;
        }
        match &*self.0 {
            Kind::Unfound(unfound) => unfound.is_denied(),
            kind => matches!(kind, Kind::Denied { .. } | Kind::Outdated { .. }),
        }
    }

    /// Whether the server is too old, also for the broker's durability, a Sentinel, or no member of a cluster where the
    /// URL says so.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(
            *self.0,
            Kind::TooOld { .. } | Kind::CannotSync { .. } | Kind::Sentinel { .. } | Kind::NoCluster { .. }
        )
    }

    /// Whether [`strict`](crate::RedisBrokerBuilder::strict) refused the server, because acknowledged messages may be
    /// lost there. The text names each setting, and the line to write.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        matches!(*self.0, Kind::Lossy { .. })
    }

    /// Whether there is no primary at an address, or nothing that can be told from none.
    pub(crate) fn is_of_no_primary(&self) -> bool {
        let is_nothing = matches!(*self.0, Kind::Unreachable { .. } | Kind::Closed { .. } | Kind::Stranger { .. });
        is_nothing || self.is_of_replica()
    }

    pub(crate) fn is_of_replica(&self) -> bool {
        matches!(*self.0, Kind::Replica { .. })
    }

    pub(crate) fn cause(&self) -> Option<&RedisError> {
        self.source()?.downcast_ref()
    }

    /// The same, where a provider gave the user and the password.
    pub(crate) fn with_provider(self) -> Self {
        match *self.0 {
            Kind::Denied { address, source, .. } if source.code() != Some("NOPERM") => {
                Kind::Outdated { address, source }.into()
            }
            kind => kind.into(),
        }
    }

    /// Why a connection to `address` could not be made.
    pub(crate) fn connecting(address: &str, connections: usize, source: RedisError) -> Self {
        let address = address.to_owned();
        let wanted = format!("{connections} connection{}", if connections == 1 { "" } else { "s" });
        let says = |text| source.detail().is_some_and(|detail| detail.contains(text));
        // The client keeps of a failure of the system, and of rustls, only its text.
        let failed = |text| source.is_io_error() && source.to_string().contains(text);
        let kind = match (source.kind(), source.code()) {
            // Servers before 6.0 do not know the first command of a connection.
            (kind, _) if kind == Client::RESP3NotSupported || says("unknown command") && says("HELLO") => {
                Kind::TooOld { address, version: "older than 6.0".to_owned() }
            }
            (_, Some("NOAUTH")) => Kind::Denied {
                address,
                wants: "a password: put it into the URL, as in redis://:password@host or redis://user:password@host",
                source,
            },
            (Client::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => {
                Kind::Denied { address, wants: "another user or password than the URL has", source }
            }
            (_, Some("NOPERM")) => Kind::Denied {
                address,
                wants: "the user to be allowed more: see the commands in docs/redis-keys.md",
                source,
            },
            #[cfg(feature = "tls")]
            _ if failed("invalid peer certificate") => Kind::Untrusted { address, source },
            #[cfg(feature = "tls")]
            _ if failed("alert: CertificateRequired") => Kind::NoClientCertificate { address, source },
            #[cfg(feature = "tls")]
            _ if REFUSED_CERTIFICATE.into_iter().any(failed) => Kind::Unaccepted { address, source },
            _ if failed("open files") => Kind::NoFiles { address, wanted, source },
            // No answer of Redis, or where TLS was asked for none of TLS.
            (kind, _) if kind == Client::Parse || failed("corrupt message") => Kind::Stranger { address },
            // A server that has too many connections says so and closes at once. What it said may be lost.
            _ if says("max number of clients") => Kind::Full { address, wanted, source },
            _ if source.is_connection_dropped() && !source.is_connection_refusal() => {
                Kind::Closed { address, wanted, source }
            }
            // What the client says of a database that could not be chosen has lost the code.
            (_, code) if code == Some("BUSY") || says("is busy running") => Kind::Busy { address, source },
            (_, Some(_)) => {
                let what = source.detail().unwrap_or_default().to_owned();
                Kind::Refused { address, what, source }
            }
            _ => Kind::Unreachable { address, source },
        };
        kind.into()
    }
}

/// What to check further where TLS was asked for, as the address shows.
fn on_tls(address: &str) -> &'static str {
    if address.starts_with(TLS) { ", and speaks TLS on this port (redis:// is without)" } else { "" }
}

fn or_tls(address: &str) -> &'static str {
    if address.starts_with(TLS) {
        "and whether it speaks TLS on this port (redis:// is without) and wants another client certificate \
         (`client_certificate`)"
    } else {
        "and whether it wants TLS (a rediss:// URL)"
    }
}

impl Kind {
    /// A URL that the client cannot use.
    pub(crate) fn unreadable(error: &RedisError) -> Self {
        // Only the fixed part of the client's text: its detail may quote the URL.
        let text = error.to_string();
        let what = text.split(" - ").next().unwrap_or_default().to_lowercase();
        Self::Url(format!("the redis URL cannot be used: {what}"))
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(Box::new(kind))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_process_without_files_is_told_how_many_connections_it_needs() {
        // EMFILE
        let refusal = RedisError::from(io::Error::from_raw_os_error(24));
        let error = Error::connecting("host:6379", 504, refusal);
        assert!(error.is_transient());
        assert!(error.to_string().contains("`ulimit -n`") && error.to_string().contains("504 connections"), "{error}");
    }
}
