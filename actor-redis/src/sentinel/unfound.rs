//! Why the Sentinels led to no primary, and what a person should do about it.

use redis::RedisError;

use super::ask::{Said, Votes};
use crate::node::Node;

/// Why there is no connection to a server that Sentinels watch.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unfound {
    #[error(
        "no primary of {name} was found: {said}; wait for the failover to end, or check the servers and the Sentinels' \
         logs"
    )]
    NoPrimary { name: String, said: String, source: Option<RedisError> },
    #[error(
        "no Sentinel of {name} led to a server: {said}; check that the Sentinels run there, and that the URL is right \
         (without a port, it is 26379)"
    )]
    NoSentinel { name: String, said: String, source: Option<RedisError> },
    #[error(
        "the Sentinels at {sentinels} know no primary of the name {name:?}: give in the URL, behind the last host and \
         a `/`, the name in their lines `sentinel monitor <name> ..`"
    )]
    Unknown { sentinels: String, name: String },
    #[error("the Sentinels want {wants}: {said}")]
    Denied { wants: &'static str, said: String, source: RedisError },
    #[error(
        "the Sentinels at {sentinels} cannot be asked: the thread for that could not be started; raise the limits of \
         threads (`ulimit -u`, the container's pids) and of open files (`ulimit -n`)"
    )]
    NoThread { sentinels: String, source: RedisError },
}

impl Unfound {
    /// Where no server was named.
    pub(super) fn unnamed(name: &str, sentinels: &[Node], votes: &Votes) -> Self {
        let said = votes.tell(sentinels, |_| String::new());
        let denial = votes.said.iter().find_map(|(_, said)| said.denial());
        if let Some(source) = denial {
            let wants = match source.code() {
                Some("NOAUTH") => "a password: give it with `sentinel_credentials` (that in the URL is the servers')",
                Some("NOPERM") => "the user to be allowed more: see docs/redis-keys.md, Permissions",
                _ => "another user or password than `sentinel_credentials` gave",
            };
            return Self::Denied { wants, said, source: source.clone() };
        }
        let unknown = votes.said.iter().filter(|(_, said)| matches!(said, Said::Unknown)).count();
        // Fewer may be new, and not know yet what they watch.
        if 2 * unknown > votes.listed {
            let sentinels: Vec<_> = sentinels.iter().map(|sentinel| &*sentinel.address).collect();
            return Self::Unknown { sentinels: list(&sentinels), name: name.to_owned() };
        }
        let source = votes.said.iter().find_map(|(_, said)| match said {
            Said::Failed(error) => Some(error.clone()),
            _ => None,
        });
        Self::NoSentinel { name: name.to_owned(), said, source }
    }

    /// What is wrong with a Sentinel, as the end of a sentence about it.
    pub(super) fn failure(error: &RedisError) -> String {
        let detail = error.detail().unwrap_or_default();
        match error.code() {
            Some("NOAUTH") => "wants a password".to_owned(),
            Some("WRONGPASS") => "wants another user or password".to_owned(),
            Some("NOPERM") => "does not allow the user to ask".to_owned(),
            _ if detail.contains("unknown command") => "is no Sentinel".to_owned(),
            _ if error.is_timeout() => "does not answer".to_owned(),
            // The client keeps of rustls only its text.
            _ if error.to_string().contains("invalid peer certificate") => {
                "shows a certificate that is not trusted (give its authority with `root_certificate`)".to_owned()
            }
            _ if error.is_connection_dropped() && !error.is_connection_refusal() => {
                format!("closes the connection ({error}; where it speaks TLS, the URL is rediss+sentinel://)")
            }
            _ if error.is_io_error() => format!("cannot be reached ({error})"),
            _ => format!("cannot be used ({error})"),
        }
    }

    /// Whether a setting is wrong.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Whether it may pass by itself.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::NoPrimary { .. } | Self::NoSentinel { .. } | Self::NoThread { .. })
    }

    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }
}

/// Names in a sentence.
pub(super) fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
