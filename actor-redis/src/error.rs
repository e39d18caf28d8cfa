//! What can go wrong between this process and Redis, and what a person should do about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actor_core::BrokerError;
use redis::{ErrorKind as Client, RedisError, ServerError};

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
        match self.cause() {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
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
    #[error("there is no tokio runtime here: call the broker from within one")]
    NoRuntime,
    #[error("redis at {address} could not be reached: check that it runs there, and that the URL is right")]
    Unreachable { address: String, source: RedisError },
    #[error("redis at {address} wants {wants}")]
    Denied { address: String, wants: String, source: RedisError },
    #[cfg(feature = "tls")]
    #[error(
        "redis at {address} shows a certificate that is not trusted: give the authority that vouches for it with \
         `root_certificate`, and in the URL the host's name as the certificate has it"
    )]
    Untrusted { address: String, source: RedisError },
    #[error("redis at {address} is {version}, and at least 6.2 is needed: upgrade the server")]
    TooOld { address: String, version: String },
    #[error("redis at {address} is a Sentinel, which keeps no messages: give the URL of the primary that it watches")]
    Sentinel { address: String },
    #[error(
        "redis at {address} is full (`maxclients`), and this process needs {wanted} so far: raise `maxclients`, and the \
         server's limit of open files, above the sum over all processes (docs/redis-keys.md, Connections)"
    )]
    Full { address: String, wanted: String, source: RedisError },
    #[error(
        "redis at {address} closed the connection at once: check that it has room (`maxclients`; this process needs \
         {wanted} so far), and whether it wants TLS (a rediss:// URL)"
    )]
    Closed { address: String, wanted: String, source: RedisError },
    #[error(
        "redis at {address} cannot be looked for: the thread that resolves its name could not be started; raise the \
         limit of threads or processes (`ulimit -u`, the container's pids), or write an IP address into the URL"
    )]
    NoThread { address: String, source: RedisError },
    #[error("redis at {address} is busy with a script: wait for its end, or end it (SCRIPT KILL)")]
    Busy { address: String, source: RedisError },
    #[error("redis at {address} refused the connection: {what}")]
    Refused { address: String, what: String, source: RedisError },
}

impl Error {
    /// Whether a setting is wrong: the URL, the namespace, or the root certificate.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        #[cfg(feature = "tls")]
        if matches!(*self.0, Kind::Certificate) {
            return true;
        }
        matches!(*self.0, Kind::Url(_) | Kind::Namespace(_))
    }

    /// Whether the same call may succeed later, unchanged: the server could not be reached, is full, closed the
    /// connection at once, or is busy with a script; or no thread could be started.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            *self.0,
            Kind::Unreachable { .. }
                | Kind::Full { .. }
                | Kind::Closed { .. }
                | Kind::Busy { .. }
                | Kind::NoThread { .. }
        )
    }

    /// Whether the server wants another user or password, or allows this user too little.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(*self.0, Kind::Denied { .. })
    }

    /// Whether the server is too old, or a Sentinel.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(*self.0, Kind::TooOld { .. } | Kind::Sentinel { .. })
    }

    fn cause(&self) -> Option<&RedisError> {
        match &*self.0 {
            Kind::Unreachable { source, .. }
            | Kind::Denied { source, .. }
            | Kind::Full { source, .. }
            | Kind::Closed { source, .. }
            | Kind::NoThread { source, .. }
            | Kind::Busy { source, .. }
            | Kind::Refused { source, .. } => Some(source),
            #[cfg(feature = "tls")]
            Kind::Untrusted { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Why a connection to `address` could not be made.
    pub(crate) fn connecting(address: &str, connections: usize, source: RedisError) -> Self {
        let address = address.to_owned();
        let kind = match (source.kind(), source.code()) {
            _ if lacks_hello(&source) => Kind::TooOld { address, version: "older than 6.0".to_owned() },
            (_, Some("NOAUTH")) => Kind::Denied {
                address,
                wants: "a password: put it into the URL, as in redis://:password@host or redis://user:password@host"
                    .to_owned(),
                source,
            },
            (Client::AuthenticationFailed, _) | (_, Some("WRONGPASS")) => {
                Kind::Denied { address, wants: "another user or password than the URL has".to_owned(), source }
            }
            (_, Some("NOPERM")) => Kind::Denied {
                address,
                wants: "the user to be allowed more: see the commands in docs/redis-keys.md".to_owned(),
                source,
            },
            #[cfg(feature = "tls")]
            _ if is_untrusted(&source) => Kind::Untrusted { address, source },
            _ if is_full(&source) => Kind::Full { address, wanted: wanted(connections), source },
            _ if is_closed(&source) => Kind::Closed { address, wanted: wanted(connections), source },
            _ if is_busy(&source) => Kind::Busy { address, source },
            (_, Some(_)) => {
                let what = source.detail().unwrap_or_default().to_owned();
                Kind::Refused { address, what, source }
            }
            _ => Kind::Unreachable { address, source },
        };
        kind.into()
    }
}

/// Servers before 6.0 do not know the first command of a connection.
fn lacks_hello(error: &RedisError) -> bool {
    let unknown = |detail: &str| detail.contains("unknown command") && detail.contains("HELLO");
    error.kind() == Client::RESP3NotSupported || error.detail().is_some_and(unknown)
}

/// As a text has it.
fn wanted(connections: usize) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

/// A server that has too many connections says so and closes at once.
fn is_full(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("max number of clients"))
}

/// What a server said that is full may be lost.
fn is_closed(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

/// Whether a script holds up the server. What the client says of a database that could not be chosen has
/// lost the code.
fn is_busy(error: &RedisError) -> bool {
    error.code() == Some("BUSY") || error.detail().is_some_and(|detail| detail.contains("is busy running"))
}

/// Whether the server's certificate was refused here. Only rustls's words tell it from other failures.
#[cfg(feature = "tls")]
fn is_untrusted(error: &RedisError) -> bool {
    error.is_io_error() && error.to_string().contains("invalid peer certificate")
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(Box::new(kind))
    }
}

/// Why a request has no answer, or only a refusal. It is cloned into one error for each message.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// There was no connection: nothing was asked.
    NotConnected(Arc<Error>),
    /// The request was handed to a connection, and no answer came.
    NoAnswer { address: Arc<str>, within: Duration, source: RedisError },
    /// Redis refused.
    Answer { address: Arc<str>, source: ServerError },
    /// Redis answered with something that this version does not understand.
    Strange { address: Arc<str>, what: &'static str },
    /// What was asked for is newer than this version: nothing was asked of Redis.
    Unsupported(&'static str),
}

impl Trouble {
    /// The code of a refusal.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Answer { source, .. } => Some(code_of(source)),
            _ => None,
        }
    }

    /// Whether Redis refused because it is no primary, or is one that its replicas have left.
    pub(crate) fn is_of_no_primary(&self) -> bool {
        matches!(self.code(), Some("READONLY" | "MASTERDOWN" | "NOREPLICAS"))
    }

    /// Whether Redis refused, and will refuse the same again until a person changes something.
    pub(crate) fn is_lasting_refusal(&self) -> bool {
        matches!(self, Self::Answer { source, .. } if !passes(source))
    }
}

/// Whether a refusal is one for now: Redis is full, busy, loading or read-only.
fn passes(refusal: &ServerError) -> bool {
    matches!(
        code_of(refusal),
        "OOM"
            | "READONLY"
            | "LOADING"
            | "BUSY"
            | "MASTERDOWN"
            | "MISCONF"
            | "NOREPLICAS"
            | "TRYAGAIN"
            | "CLUSTERDOWN"
            | "UNBLOCKED"
            | "NOSCRIPT"
    )
}

/// The code of a server's error. Redis before 7.0 buries a script's error in a text of its own:
/// `ERR Error running script (call to f_..): @user_script:9: @user_script: 9: -OOM command not ..`.
fn code_of(error: &ServerError) -> &str {
    let code = error.code();
    if code != "ERR" && !code.starts_with('@') {
        return code;
    }
    let is_code = |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
    let parts = error.details().unwrap_or_default().split(": ");
    let mut first_words = parts.filter_map(|part| part.trim_start_matches('-').split(' ').next());
    first_words.find(is_code).unwrap_or(code)
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(error) => error.fmt(f),
            Self::NoAnswer { address, within, .. } => write!(
                f,
                "redis at {address} was asked and did not answer within {within:?}, or the connection broke: \
                 it may or may not have happened"
            ),
            Self::Answer { address, source } => write!(f, "redis at {address} {}", advice(source)),
            Self::Strange { address, what } => write!(
                f,
                "redis at {address} answered what this version does not understand ({what}): it may or may not \
                 have happened"
            ),
            Self::Unsupported(what) => write!(f, "{what} is not known to this version of actor-redis: upgrade it"),
        }
    }
}

/// What a refusal means, and what a person should do.
fn advice(refusal: &ServerError) -> &'static str {
    if refusal.details().is_some_and(|details| details.contains("unknown command")) {
        return "does not know a command that this broker needs: it must be Redis 6.2 or newer, with no command renamed";
    }
    match code_of(refusal) {
        "OOM" => "is out of memory: raise its `maxmemory`, or let workers drain the queues",
        "READONLY" => "is a read-only replica: give the URL of the primary",
        "LOADING" => "is loading its data: it will take requests when it is done",
        "BUSY" => "is busy with a long script: wait, or end that script with SCRIPT KILL",
        "MASTERDOWN" => "is a replica whose primary is away: give the URL of the primary",
        "MISCONF" => "cannot save to its disk and takes no writes: its log says why",
        "NOREPLICAS" => "has fewer replicas than its `min-replicas-to-write` and takes no writes",
        "TRYAGAIN" | "CLUSTERDOWN" => "is a cluster that is being rearranged: it will take requests when that is done",
        "MOVED" | "ASK" | "CROSSSLOT" => {
            "is a part of a cluster, which this broker does not speak: give it a server of its own"
        }
        "NOAUTH" => "wants a password: put it into the URL",
        "WRONGPASS" => "wants another user or password than the URL has",
        "NOPERM" => "does not allow this user a command or a key: see the commands in docs/redis-keys.md",
        "WRONGTYPE" => "holds something else under a key of this queue: remove that key, or use another namespace",
        _ => "refused what it was asked for",
    }
}

impl From<Trouble> for BrokerError {
    fn from(trouble: Trouble) -> Self {
        let text = trouble.to_string();
        match trouble {
            Trouble::NotConnected(error) => {
                let refusal = if error.is_transient() { Self::unavailable(text) } else { Self::refused(text) };
                match error.cause() {
                    Some(cause) => refusal.caused_by(cause.clone()),
                    None => refusal,
                }
            }
            Trouble::NoAnswer { source, .. } => Self::unknown(text).caused_by(source),
            Trouble::Strange { .. } => Self::unknown(text),
            Trouble::Unsupported(_) => Self::refused(text),
            Trouble::Answer { source, .. } => {
                let refusal = if passes(&source) { Self::busy(text) } else { Self::refused(text) };
                refusal.caused_by(RedisError::from(source))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn answer(text: &str) -> Trouble {
        match redis::parse_redis_value(format!("-{text}\r\n").as_bytes()) {
            Ok(Value::ServerError(source)) => Trouble::Answer { address: "host:6379".into(), source },
            other => panic!("{other:?} is no refusal"),
        }
    }

    #[test]
    fn every_refusal_that_passes_by_itself_is_transient_and_nothing_happened() {
        for code in
            ["OOM", "READONLY", "LOADING", "BUSY", "MASTERDOWN", "MISCONF", "NOREPLICAS", "TRYAGAIN", "CLUSTERDOWN"]
        {
            let error = BrokerError::from(answer(&format!("{code} some text")));
            assert!(error.is_transient() && !error.is_unknown(), "{code}");
            assert!(!error.to_string().contains("refused"), "{error}");
        }
        for code in ["NOAUTH", "NOPERM", "WRONGTYPE", "WRONGPASS", "MOVED", "CROSSSLOT", "ERR"] {
            let error = BrokerError::from(answer(&format!("{code} some text")));
            assert!(!error.is_transient() && !error.is_unknown(), "{code}");
        }
    }

    #[test]
    fn the_code_of_an_error_inside_a_script_is_found() {
        for (text, code) in [
            ("OOM command not allowed when used memory > 'maxmemory'. script: 5c, on @user_script:9.", "OOM"),
            (
                "ERR Error running script (call to f_5c): @user_script:9: @user_script: 9: -OOM command not allowed when",
                "OOM",
            ),
            ("ERR Error running script (call to f_5c): @user_script:9: WRONGTYPE Operation against a key", "WRONGTYPE"),
            ("@user_script: 9: -READONLY You can't write against a read only replica.", "READONLY"),
            ("ERR unknown command 'XADD', with args beginning with: 'a'", "ERR"),
            ("ERR Protocol error: invalid bulk length", "ERR"),
        ] {
            assert_eq!(answer(text).code(), Some(code), "{text}");
        }
    }
}
