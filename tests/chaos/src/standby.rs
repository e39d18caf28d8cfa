//! A second server that replicates the first, and the Sentinel that promotes it when the first dies.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::RedisResult;

use crate::server::{Server, free_port};

/// Longer than a promotion or a synchronization ever takes here.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a master must be silent before Sentinel considers it dead. With much less, a busy machine would be taken
/// for a dead master; then there are two masters, and writes to the first are lost.
const DOWN_AFTER_MS: u32 = 3_000;

/// Who promotes the second server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promoter {
    /// Sentinel does, when the first is dead.
    Sentinel,
    /// The first does, when it is to hand over. A Sentinel would undo that.
    Master,
}

/// The replica, and who promotes it.
#[derive(Debug)]
pub(crate) struct Standby {
    pub(crate) server: Server,
    sentinel: Option<Sentinel>,
}

impl Standby {
    /// Starts a replica of `master`, and waits until it has all data.
    pub(crate) fn start(directory: &Path, master: &Server, promoter: Promoter) -> io::Result<Self> {
        let mut server = Server::start(directory, "standby", PAIRED)?;
        follow(&mut server, master)?;
        let sentinel = match promoter {
            Promoter::Sentinel => Some(Sentinel::start(directory, master.port)?),
            Promoter::Master => None,
        };
        let standby = Self { server, sentinel };
        if let Some(sentinel) = &standby.sentinel {
            sentinel.wait(|sentinel| Ok(sentinel.knows_a_replica()?.then_some(())))?;
        }
        Ok(standby)
    }

    /// Waits until the standby is promoted and its master is none any more. The two have then changed places.
    pub(crate) fn wait_promoted(&mut self, master: &mut Server) -> io::Result<()> {
        let former = master.port;
        match &self.sentinel {
            Some(sentinel) => {
                sentinel.wait(|sentinel| Ok((sentinel.master()? != former).then_some(())))?;
            }
            None => wait(|| {
                if !self.server.is_running() || !master.is_running() {
                    return Ok(Some(Err(io::Error::other(
                        "a redis-server ended by itself while one was promoting the other",
                    ))));
                }
                Ok((role(&self.server)? == "master" && role(master)? == "slave").then_some(Ok(())))
            })??,
        }
        std::mem::swap(&mut self.server, master);
        Ok(())
    }

    /// Makes the current standby replicate the master, and waits until it has all data.
    pub(crate) fn follow(&mut self, master: &Server) -> io::Result<()> {
        follow(&mut self.server, master)
    }
}

/// Options of servers that replicate one another.
pub(crate) const PAIRED: &[&str] = &["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"];

fn follow(server: &mut Server, master: &Server) -> io::Result<()> {
    if !server.is_running() {
        server.launch(&[])?;
        server.wait_ready()?;
    }
    server.run::<String>(&format!("REPLICAOF 127.0.0.1 {}", master.port)).map_err(io::Error::other)?;
    wait(|| Ok(info(server)?.contains("master_link_status:up").then_some(())))
}

fn info(server: &Server) -> RedisResult<String> {
    server.run("INFO replication")
}

fn role(server: &Server) -> RedisResult<String> {
    let info = info(server)?;
    let role = info.lines().find_map(|line| line.strip_prefix("role:"));
    Ok(role.unwrap_or_default().trim().to_owned())
}

fn wait<T>(mut reached: impl FnMut() -> RedisResult<Option<T>>) -> io::Result<T> {
    let began = Instant::now();
    loop {
        let answer = reached();
        match answer {
            Ok(Some(value)) => return Ok(value),
            Err(error) if began.elapsed() > PATIENCE => return Err(io::Error::other(error)),
            Ok(None) if began.elapsed() > PATIENCE => return Err(io::Error::other("it did not come to pass")),
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A Sentinel that watches a master.
#[derive(Debug)]
struct Sentinel {
    port: u16,
    child: Child,
}

impl Sentinel {
    fn start(directory: &Path, master: u16) -> io::Result<Self> {
        let directory = directory.join("sentinel");
        std::fs::create_dir_all(&directory)?;
        let port = free_port()?;
        let text = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsentinel monitor chaos 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds chaos {DOWN_AFTER_MS}\nsentinel failover-timeout chaos 3000\n",
            directory.display()
        );
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

    fn wait<T>(&self, reached: impl Fn(&Self) -> RedisResult<Option<T>>) -> io::Result<T> {
        wait(|| reached(self))
    }

    /// The port of the master that it names.
    fn master(&self) -> RedisResult<u16> {
        let (_, port): (String, u16) =
            redis::cmd("SENTINEL").arg("get-master-addr-by-name").arg("chaos").query(&mut self.connection()?)?;
        Ok(port)
    }

    fn knows_a_replica(&self) -> RedisResult<bool> {
        let replicas: Vec<redis::Value> =
            redis::cmd("SENTINEL").arg("replicas").arg("chaos").query(&mut self.connection()?)?;
        Ok(!replicas.is_empty())
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
