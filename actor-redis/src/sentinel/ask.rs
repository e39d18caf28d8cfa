//! Asking one Sentinel, and what all of them said.

use std::fmt;
use std::time::Duration;

use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, PushInfo, RedisError, RedisResult};
use tokio::time::timeout;

use super::unfound::{Unfound, list};
use crate::node::Node;

/// How long a Sentinel may take to be reached, and to answer.
const LIMIT: Duration = Duration::from_secs(1);

/// Where a server is, as a Sentinel says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What one Sentinel said.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Named(Address),
    /// It watches nothing of that name.
    Unknown,
    /// It answered with an error, or not at all.
    Failed(RedisError),
}

impl Said {
    /// Why it allows nothing, where that is so.
    pub(super) fn denial(&self) -> Option<&RedisError> {
        let Self::Failed(error) = self else { return None };
        let is_of_credentials = error.kind() == redis::ErrorKind::AuthenticationFailed;
        let is_denied = is_of_credentials || matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM"));
        is_denied.then_some(error)
    }
}

/// Asks one Sentinel for the primary called `name`.
pub(super) async fn ask(sentinel: &Node, name: &str) -> Said {
    let asking = async {
        let mut connection = connect(sentinel, deaf).await?;
        let command = redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).take();
        command.query_async::<Option<(String, u16)>>(&mut connection).await
    };
    match within(asking).await {
        Ok(Some((host, port))) => Said::Named(Address { host, port }),
        Ok(None) => Said::Unknown,
        Err(error) => Said::Failed(error),
    }
}

/// Connects to a Sentinel. What it pushes goes to `events`.
pub(super) async fn connect(sentinel: &Node, events: impl AsyncPushSender) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(LIMIT))
        .set_response_timeout(Some(LIMIT))
        .set_push_sender(events);
    sentinel.client.get_multiplexed_async_connection_with_config(&sentinel.resolving(config)?).await
}

async fn within<T>(asking: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    timeout(LIMIT, asking).await.map_err(late).flatten()
}

/// What the Sentinels said that have answered so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Votes {
    /// How many there are.
    pub(super) listed: usize,
    /// Which one of them, and what.
    pub(super) said: Vec<(usize, Said)>,
}

impl Votes {
    pub(super) fn of(listed: usize) -> Self {
        Self { listed, said: Vec::with_capacity(listed) }
    }

    pub(super) fn are_complete(&self) -> bool {
        self.said.len() == self.listed
    }

    /// The address that more than half of those listed agree on.
    pub(super) fn majority(&self) -> Option<Address> {
        let address = self.candidates(None).into_iter().next()?;
        (2 * self.count(&address) > self.listed).then_some(address)
    }

    /// All addresses that were named, the one with the most votes first; but last the one that was left just now.
    pub(super) fn candidates(&self, left: Option<&Address>) -> Vec<Address> {
        let mut candidates = Vec::new();
        for (_, said) in &self.said {
            if let Said::Named(address) = said
                && !candidates.contains(address)
            {
                candidates.push(address.clone());
            }
        }
        // Stable: of those with as many votes, whoever answered first was asked by the shortest way.
        candidates.sort_by_key(|address| (left == Some(address), usize::MAX - self.count(address)));
        candidates
    }

    pub(super) fn count(&self, address: &Address) -> usize {
        self.who_named(address).count()
    }

    fn who_named(&self, address: &Address) -> impl Iterator<Item = usize> {
        let named = move |said: &Said| matches!(said, Said::Named(other) if other == address);
        self.said.iter().filter(move |(_, said)| named(said)).map(|(sentinel, _)| *sentinel)
    }

    /// What each Sentinel said, for a person. `fate` tells what was found at an address.
    pub(super) fn tell(&self, sentinels: &[Node], fate: impl Fn(&Address) -> String) -> String {
        let shown = |sentinel: usize| &*sentinels[sentinel].address;
        let mut parts: Vec<_> = self
            .candidates(None)
            .iter()
            .map(|address| {
                let who: Vec<_> = self.who_named(address).map(shown).collect();
                let verb = if who.len() == 1 { "names" } else { "name" };
                format!("{} {verb} {address}, {}", list(&who), fate(address))
            })
            .collect();
        for (sentinel, said) in &self.said {
            parts.extend(match said {
                Said::Named(_) => None,
                Said::Unknown => Some(format!("{} does not know that name", shown(*sentinel))),
                Said::Failed(error) => Some(format!("{} {}", shown(*sentinel), Unfound::failure(error))),
            });
        }
        parts.join("; ")
    }
}

/// Takes nothing that is pushed.
fn deaf(_: PushInfo) -> Result<(), ()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(port: u16) -> Said {
        Said::Named(Address { host: "h".to_owned(), port })
    }

    fn votes(listed: usize, said: impl IntoIterator<Item = Said>) -> Votes {
        Votes { listed, said: said.into_iter().enumerate().collect() }
    }

    fn ports(votes: &Votes, left: Option<u16>) -> Vec<u16> {
        let left = left.map(|port| Address { host: "h".to_owned(), port });
        votes.candidates(left.as_ref()).iter().map(|address| address.port).collect()
    }

    #[test]
    fn the_most_votes_go_first_and_what_was_left_goes_last() {
        let split = votes(5, [named(1), named(2), Said::Unknown, named(2), named(3)]);
        assert_eq!(ports(&split, None), [2, 1, 3]);
        assert_eq!(ports(&split, Some(2)), [1, 3, 2]);
        assert_eq!(ports(&split, Some(9)), [2, 1, 3]);
    }

    #[test]
    fn a_majority_is_one_of_all_that_are_listed() {
        let majority = |votes: Votes| votes.majority().map(|address| address.port);
        assert_eq!(majority(votes(3, [named(1)])), None);
        assert_eq!(majority(votes(3, [named(1), named(2)])), None);
        assert_eq!(majority(votes(3, [named(1), Said::Unknown, named(1)])), Some(1));
        assert_eq!(majority(votes(4, [named(1), named(1)])), None);
        assert_eq!(majority(votes(1, [named(1)])), Some(1));
        assert_eq!(majority(votes(3, [])), None);
    }
}
