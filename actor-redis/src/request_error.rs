//! Why a request did not do what it was for, and what a person should do about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actor_core::{BrokerError, MessageId};
use redis::{RedisError, ServerError};

use crate::error::Error;

/// Why a request has no answer, or only a refusal. It is cloned into one error for each message.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// There was no connection: nothing was asked.
    #[error(transparent)]
    NotConnected(Arc<Error>),
    /// The request was handed to a connection, and no answer came.
    #[error(
        "redis at {address} was asked and did not answer within {within:?}, or the connection broke: it may or may \
         not have happened"
    )]
    NoAnswer { address: Arc<str>, within: Duration, source: RedisError },
    /// Redis refused.
    #[error("redis at {address} {}", advice(source))]
    Answer { address: Arc<str>, source: ServerError },
    #[error(
        "redis at {address} answered what this version does not understand ({what}): it may or may not have happened"
    )]
    Strange { address: Arc<str>, what: &'static str },
    /// Each member of a cluster that was asked named another one: nothing happened.
    #[error("redis sends from member to member, the last of them {address}: the cluster is being rearranged")]
    Redirected { address: Arc<str> },
    /// Another message holds the unique key of the dead letter that was to be replayed.
    #[error("the unique key is held by message {0}")]
    Held(MessageId),
    /// Nothing was asked of Redis.
    #[error("{0} is not known to this version of actor-redis: upgrade it")]
    Unsupported(&'static str),
}

impl RequestError {
    /// Whoever was asked is waited for no longer.
    pub(crate) fn silence(address: Arc<str>, within: Duration) -> Self {
        Self::NoAnswer { address, within, source: io::Error::from(io::ErrorKind::TimedOut).into() }
    }

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

/// The code of a server's error. Redis before 7.0 wraps a script's error in a text of its own:
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
        "MOVED" | "ASK" => {
            "is a member of a cluster, and another one holds this queue: write the URL as redis+cluster://, with the same \
             host and port"
        }
        "CROSSSLOT" => {
            "is behind a proxy of a cluster that takes no scripts over several keys: give the URL of a member"
        }
        "NOAUTH" => "wants a password: put it into the URL",
        "WRONGPASS" => "wants another user or password than the URL has",
        "NOPERM" => "does not allow this user a command or a key: see the commands in docs/redis-keys.md",
        "WRONGTYPE" => "holds something else under a key of this queue: remove that key, or use another namespace",
        _ => "refused what it was asked for",
    }
}

impl From<RequestError> for BrokerError {
    fn from(error: RequestError) -> Self {
        let text = error.to_string();
        let (shown, cause) = match error {
            RequestError::NotConnected(error) if error.is_transient() => {
                (Self::unavailable(text), error.cause().cloned())
            }
            RequestError::NotConnected(error) => (Self::refused(text), error.cause().cloned()),
            RequestError::NoAnswer { source, .. } => (Self::unknown(text), Some(source)),
            RequestError::Strange { .. } => (Self::unknown(text), None),
            RequestError::Redirected { .. } => (Self::busy(text), None),
            RequestError::Unsupported(_) => (Self::refused(text), None),
            RequestError::Held(by) => (Self::held(by), None),
            RequestError::Answer { source, .. } if passes(&source) => (Self::busy(text), Some(source.into())),
            RequestError::Answer { source, .. } => (Self::refused(text), Some(source.into())),
        };
        match cause {
            Some(cause) => shown.caused_by(cause),
            None => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn answer(text: &str) -> RequestError {
        match redis::parse_redis_value(format!("-{text}\r\n").as_bytes()) {
            Ok(Value::ServerError(source)) => RequestError::Answer { address: "host:6379".into(), source },
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
