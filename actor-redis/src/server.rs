//! What a new connection asks the server about itself, and what is refused or warned about.

use std::sync::atomic::{AtomicBool, Ordering};

use redis::{Cmd, ServerError, Value};

use crate::error::{Error, Kind};

/// The oldest version that is used: the first whose `XPENDING` and `XRANGE` take an open interval.
const OLDEST: (u32, u32) = (6, 2);

/// Which warnings were given. Each is given once, however often a connection is made again.
#[derive(Debug, Default)]
pub(crate) struct Warned {
    eviction: AtomicBool,
    persistence: AtomicBool,
    silent: AtomicBool,
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

/// The answers to [`questions`].
#[derive(Debug, Default)]
pub(crate) struct Server {
    /// Which run of the server this is.
    pub(crate) run_id: Option<String>,
    version: Option<String>,
    /// `standalone`, `cluster` or `sentinel`.
    mode: Option<String>,
    eviction: Option<String>,
    append_only: Option<bool>,
    save_points: Option<bool>,
    loading: bool,
}

/// What to ask, in this order.
pub(crate) fn questions() -> [Cmd; 4] {
    let info = |section| redis::cmd("INFO").arg(section).take();
    [info("server"), info("memory"), info("persistence"), redis::cmd("CONFIG").arg("GET").arg("save").take()]
}

impl Server {
    /// Reads the answers. One that is refused (many providers forbid CONFIG) stays unknown.
    pub(crate) fn read(answers: &[Value]) -> Self {
        let [server, memory, persistence, save] = answers else {
            return Self::default();
        };
        let (server, memory, persistence) = (text(server), text(memory), text(persistence));
        Self {
            run_id: field(&server, "run_id"),
            version: field(&server, "redis_version"),
            // Valkey has a name of its own for it.
            mode: field(&server, "redis_mode").or_else(|| field(&server, "server_mode")),
            eviction: field(&memory, "maxmemory_policy"),
            append_only: field(&persistence, "aof_enabled").map(|enabled| enabled == "1"),
            loading: field(&persistence, "loading").is_some_and(|loading| loading == "1"),
            save_points: match save {
                Value::Map(pairs) => pairs.first().map(|(_, points)| !text(points).is_empty()),
                _ => None,
            },
        }
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

    /// Warns of settings that can lose messages, and of what is not supported.
    pub(crate) fn warn(&self, address: &str, warned: &Warned) {
        if self.version.is_none() && !self.loading && first(&warned.silent) {
            tracing::warn!(address, "redis does not say its version (INFO is not allowed): 6.2 or newer is needed");
        }
        if self.mode.as_deref() == Some("cluster") && first(&warned.cluster) {
            tracing::warn!(
                address,
                "redis is a member of a cluster, and a queue whose keys another member holds is refused: write the URL as \
                 redis+cluster://, with the same host and port"
            );
        }
        if let Some(policy) = &self.eviction
            && policy != "noeviction"
            && first(&warned.eviction)
        {
            tracing::warn!(
                address,
                policy,
                "redis may evict messages when its memory is full: set `maxmemory-policy noeviction`"
            );
        }
        if self.append_only == Some(false) && self.save_points == Some(false) && first(&warned.persistence) {
            tracing::warn!(
                address,
                "redis keeps nothing on disk, so a restart loses every message: set `appendonly yes`"
            );
        }
    }
}

/// Whether a flag is set for the first time.
fn first(flag: &AtomicBool) -> bool {
    !flag.swap(true, Ordering::Relaxed)
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    }
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
        Server::read(&[info, Value::Nil, Value::Nil, Value::Nil])
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
    fn a_server_that_says_nothing_is_taken() {
        let silent = Server::read(&[Value::Nil, Value::Nil, Value::Nil, Value::Nil]);
        assert!(silent.check("host:6379").is_ok());
    }
}
