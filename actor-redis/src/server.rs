//! What a new connection asks the server about itself, and what is refused. Its settings: [`crate::report`].

use std::sync::atomic::{AtomicBool, Ordering};

use redis::{Cmd, ServerError, Value};

use crate::error::{Error, Kind};
use crate::report::text;

/// The oldest version that is used: the first whose `XPENDING` and `XRANGE` take an open interval.
const OLDEST: (u32, u32) = (6, 2);

/// The oldest version that says what is on its disk: the first with `WAITAOF`.
const SYNCS: (u32, u32) = (7, 2);

/// Which warnings were given. Each is given once, however often a connection is made again.
#[derive(Debug, Default)]
pub(crate) struct Warned {
    cluster: AtomicBool,
    lingering: AtomicBool,
}

impl Warned {
    /// Of a server that is known to be a member of a cluster.
    pub(crate) fn of_a_member() -> Self {
        Self { cluster: AtomicBool::new(true), ..Self::default() }
    }

    /// Warns that the server would not close the connection before.
    pub(crate) fn of_lingering(&self, address: &str, refusal: &ServerError) {
        if first(&self.lingering) {
            tracing::warn!(
                address,
                %refusal,
                "redis does not close a connection that broke (CLIENT KILL is not allowed): what it was asked for \
                 there may still happen, and a message that it delivers there waits until this worker ends"
            );
        }
    }
}

/// What every new connection is told.
#[derive(Debug, Default)]
pub(crate) struct Server {
    /// Which run of the server this is.
    pub(crate) run_id: Option<String>,
    version: Option<String>,
    /// `standalone`, `cluster` or `sentinel`.
    mode: Option<String>,
    /// `master` or `slave`.
    role: Option<String>,
}

/// What to ask, in this order.
pub(crate) fn questions() -> [Cmd; 2] {
    ["server", "replication"].map(|section| redis::cmd("INFO").arg(section).take())
}

impl Server {
    /// Reads the answers. Where one is refused, what it would say stays unknown.
    pub(crate) fn read(answers: &[Value]) -> Self {
        let [server, replication] = answers else { return Self::default() };
        let server = text(server);
        Self {
            run_id: field(&server, "run_id"),
            version: field(&server, "redis_version"),
            // Valkey has a name of its own for it.
            mode: field(&server, "redis_mode").or_else(|| field(&server, "server_mode")),
            role: field(&text(replication), "role"),
        }
    }

    /// Whether it says that it is a replica.
    pub(crate) fn is_replica(&self) -> bool {
        self.role.as_deref() == Some("slave")
    }

    /// Refuses a server that is too old, or none that keeps messages.
    pub(crate) fn check(&self, address: &str) -> Result<(), Error> {
        if self.mode.as_deref() == Some("sentinel") {
            return Err(Kind::Sentinel { address: address.to_owned() }.into());
        }
        match &self.version {
            Some(version) if numbers(version).is_some_and(|numbers| numbers < OLDEST) => {
                Err(Kind::TooOld { address: address.to_owned(), version: format!("version {version}") }.into())
            }
            _ => Ok(()),
        }
    }

    /// Its version, where it cannot say what is on its disk.
    pub(crate) fn cannot_sync(&self) -> Option<String> {
        let version = self.version.as_ref()?;
        numbers(version).is_some_and(|numbers| numbers < SYNCS).then(|| version.clone())
    }

    /// Warns of what is not supported.
    pub(crate) fn warn(&self, address: &str, warned: &Warned) {
        if self.mode.as_deref() == Some("cluster") && first(&warned.cluster) {
            tracing::warn!(
                address,
                "redis is a member of a cluster, and a queue whose keys another member holds is refused: write the URL as \
                 redis+cluster://, with the same host and port"
            );
        }
    }
}

/// Whether a flag is set for the first time.
fn first(flag: &AtomicBool) -> bool {
    !flag.swap(true, Ordering::Relaxed)
}

fn field(info: &str, name: &str) -> Option<String> {
    info.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str) -> Server {
        let info = Value::BulkString(format!("# Server\r\nredis_version:{version}\r\nrun_id:abc\r\n").into_bytes());
        Server::read(&[info, Value::Nil])
    }

    #[test]
    fn a_server_older_than_six_two_is_refused() {
        for old in ["2.8.24", "5.0.14", "6.0.16"] {
            let error = server(old).check("host:6379").expect_err("too old");
            assert!(error.is_unsupported());
            assert!(error.to_string().contains(old), "{error}");
        }
        for new in ["6.2.0", "7.0.15", "8.2.1", "255.255.255"] {
            assert!(server(new).check("host:6379").is_ok());
        }
    }

    #[test]
    fn a_server_older_than_seven_two_cannot_say_what_is_on_its_disk() {
        for old in ["6.2.14", "7.0.15"] {
            assert_eq!(server(old).cannot_sync().as_deref(), Some(old));
        }
        // Valkey calls itself 7.2.4 where it is asked for Redis's version.
        for new in ["7.2.0", "7.2.4", "8.2.1"] {
            assert_eq!(server(new).cannot_sync(), None);
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_taken() {
        let silent = Server::read(&[const { Value::Nil }; 2]);
        assert!(silent.check("host:6379").is_ok() && !silent.is_replica() && silent.cannot_sync().is_none());
    }
}
