//! One Sentinel.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::RedisResult;

use crate::history::{Journal, What};

/// What the Sentinels call the master.
pub(super) const NAME: &str = "chaos";
/// What a Sentinel says when it knows that another server was promoted.
pub(super) const SWITCH: &str = "+switch-master";

/// A Sentinel that watches a master.
#[derive(Debug)]
pub(super) struct Sentinel {
    pub(super) port: u16,
    child: Child,
}

impl Sentinel {
    /// Starts one with these lines of configuration.
    pub(super) fn start(directory: &Path, port: u16, lines: &str) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let text = format!("bind 127.0.0.1\nport {port}\ndir {}\n{lines}", directory.display());
        let file = directory.join("sentinel.conf");
        std::fs::write(&file, text)?;
        let child = Command::new(std::env::current_exe()?)
            .args(["guard", "redis-server"])
            .arg(&file)
            .args(["--sentinel"])
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(directory.join("log"))?)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { port, child })
    }

    /// The port of the master that it names.
    pub(super) fn master(&self) -> RedisResult<u16> {
        let (_, port): (String, u16) =
            redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg(NAME).query(&mut self.connection()?)?;
        Ok(port)
    }

    /// What it knows of each replica.
    pub(super) fn replicas(&self) -> RedisResult<Vec<HashMap<String, String>>> {
        redis::cmd("SENTINEL").arg("replicas").arg(NAME).query(&mut self.connection()?)
    }

    /// Whether it reaches enough others to promote a server.
    pub(super) fn has_quorum(&self) -> RedisResult<bool> {
        let answer: String = redis::cmd("SENTINEL").arg("ckquorum").arg(NAME).query(&mut self.connection()?)?;
        Ok(answer.starts_with("OK"))
    }

    /// Records each promotion that it announces, until it ends or the journal is closed. The last one is in `last` too.
    pub(super) fn note_promotions(&self, journal: &Arc<Journal>, last: &Arc<AtomicU16>) -> io::Result<()> {
        let (port, journal): (_, Weak<Journal>) = (self.port, Arc::downgrade(journal));
        let last = Arc::clone(last);
        let mut connection = self.connection().map_err(io::Error::other)?;
        std::thread::Builder::new().name("promotions".to_owned()).spawn(move || {
            let mut events = connection.as_pubsub();
            if events.subscribe(SWITCH).is_err() {
                return;
            }
            while let Ok(event) = events.get_message() {
                let Some(journal) = journal.upgrade() else { return };
                // The name, the former address and the new one.
                let text = event.get_payload::<String>().unwrap_or_default();
                let to = text.rsplit(' ').next().and_then(|port| port.parse().ok()).unwrap_or_default();
                journal.note(&What::Switched { sentinel: port, to });
                last.store(to, Ordering::Relaxed);
            }
        })?;
        Ok(())
    }

    fn connection(&self) -> RedisResult<redis::Connection> {
        redis::Client::open(format!("redis://127.0.0.1:{}", self.port))?
            .get_connection_with_timeout(Duration::from_secs(2))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
