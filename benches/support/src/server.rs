//! A private redis-server, and what it reports.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actor_redis::RedisBroker;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};
use tempfile::TempDir;

use crate::Result;
use crate::floor::Floor;

/// Longer than anything here takes.
const HANG: Duration = Duration::from_secs(300);

/// Redis's persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing.
    Off,
    /// An append-only file, synced once a second.
    EverySecond,
    /// An append-only file, synced before every answer.
    Always,
}

impl Persistence {
    /// Redis's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::EverySecond => "aof everysec",
            Self::Always => "aof always",
        }
    }

    fn options(self) -> [&'static str; 4] {
        match self {
            Self::Off => ["--appendonly", "no", "--appendfsync", "no"],
            Self::EverySecond => ["--appendonly", "yes", "--appendfsync", "everysec"],
            Self::Always => ["--appendonly", "yes", "--appendfsync", "always"],
        }
    }
}

/// A redis-server that ends with this value. It listens on a free local port, since users reach theirs over TCP.
#[derive(Debug)]
pub struct Server {
    process: Child,
    port: u16,
    persistence: Persistence,
    /// For the harness's own requests.
    admin: MultiplexedConnection,
    _directory: TempDir,
}

impl Server {
    /// Starts a server, and waits until it answers.
    ///
    /// # Errors
    ///
    /// There is no redis-server, or it does not start.
    pub async fn start(persistence: Persistence) -> Result<Self> {
        Self::with(persistence, &[]).await
    }

    pub(crate) async fn with(persistence: Persistence, options: &[&str]) -> Result<Self> {
        let directory = TempDir::with_prefix("actor-bench-")?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"])
            .arg(directory.path())
            .args(persistence.options())
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("redis-server cannot be started ({error}): install it, or run tests/run.sh, which does")
            })?;
        match answering(port, &mut process).await {
            Ok(admin) => Ok(Self { process, port, persistence, admin, _directory: directory }),
            Err(error) => {
                let _ = process.kill();
                let _ = process.wait();
                Err(error)
            }
        }
    }

    /// Starts a replica, and waits until it has everything.
    ///
    /// # Errors
    ///
    /// There is no redis-server, or it does not start.
    pub async fn replica(&self) -> Result<Self> {
        let delay = ["SET", "repl-diskless-sync-delay", "0"];
        redis::cmd("CONFIG").arg(&delay).exec_async(&mut self.admin.clone()).await?;
        let replica = Self::start(Persistence::Off).await?;
        redis::cmd("REPLICAOF").arg(("127.0.0.1", self.port)).exec_async(&mut replica.admin.clone()).await?;
        let began = Instant::now();
        while !self.info("replication").await?.contains("state=online") {
            if began.elapsed() > HANG {
                return Err("the replica does not follow its primary".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(replica)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its persistence.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        self.persistence
    }

    /// Runs a command of the harness's own.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        Ok(command.query_async(&mut self.admin.clone()).await?)
    }

    /// Removes everything.
    pub(crate) async fn clear(&self) -> Result {
        Ok(redis::cmd("FLUSHALL").arg("SYNC").exec_async(&mut self.admin.clone()).await?)
    }

    /// A new broker, after everything was removed.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn broker(&self) -> Result<RedisBroker> {
        self.clear().await?;
        Ok(RedisBroker::connect(&self.url()).await?)
    }

    /// A new floor, after everything was removed.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn floor(&self) -> Result<Floor> {
        self.clear().await?;
        Floor::connect(&self.url()).await
    }

    /// The CPU time it has used, in user and kernel mode, including background threads.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn cpu(&self) -> Result<Duration> {
        let info = self.info("cpu").await?;
        let seconds = field(&info, "used_cpu_user")? + field(&info, "used_cpu_sys")?;
        Ok(Duration::from_secs_f64(seconds))
    }

    /// The memory it uses, in bytes.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn memory(&self) -> Result<f64> {
        field(&self.info("memory").await?, "used_memory")
    }

    /// How many commands it has processed, including those within scripts.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn commands(&self) -> Result<f64> {
        field(&self.info("stats").await?, "total_commands_processed")
    }

    /// How often a command and its subcommands were called.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn calls(&self, command: &str) -> Result<u64> {
        let info = self.info("commandstats").await?;
        let of = |line: &str| {
            let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            name.starts_with(command).then(|| stats.split(',').next()?.parse::<u64>().ok())?
        };
        Ok(info.lines().filter_map(of).sum())
    }

    /// How many messages a queue holds: ready, in flight and scheduled.
    ///
    /// # Errors
    ///
    /// Redis did not answer.
    pub async fn held(&self, queue: &str) -> Result<u64> {
        let mut pipeline = redis::pipe();
        for level in ["high:released", "high", "normal:released", "normal", "low:released", "low"] {
            pipeline.cmd("XLEN").arg(format!("{{actor:{queue}}}:ready:{level}"));
        }
        pipeline.cmd("ZCARD").arg(format!("{{actor:{queue}}}:scheduled"));
        let lengths: Vec<u64> = pipeline.query_async(&mut self.admin.clone()).await?;
        Ok(lengths.iter().sum())
    }

    /// Waits until a queue holds at most `left` messages, and all others are settled.
    ///
    /// # Errors
    ///
    /// They are not settled, or Redis did not answer.
    pub async fn settled(&self, queue: &str, left: u64) -> Result {
        let began = Instant::now();
        loop {
            let held = self.held(queue).await?;
            if held <= left {
                return Ok(());
            }
            if began.elapsed() > HANG {
                return Err(format!("{held} messages were not settled, where {left} should be left").into());
            }
            // Often enough to be exact within a millisecond or two, and cheap.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A number in a section of `INFO`.
    ///
    /// # Errors
    ///
    /// Redis did not answer, or there is no such number.
    pub async fn number(&self, section: &str, name: &str) -> Result<f64> {
        field(&self.info(section).await?, name)
    }

    /// Begins to rewrite the append-only file, once no rewrite is under way.
    ///
    /// # Errors
    ///
    /// Redis did not answer, or refused.
    pub async fn rewrite(&self) -> Result {
        while self.number("persistence", "aof_rewrite_in_progress").await? > 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(redis::cmd("BGREWRITEAOF").exec_async(&mut self.admin.clone()).await?)
    }

    async fn info(&self, section: &str) -> Result<String> {
        Ok(redis::cmd("INFO").arg(section).query_async(&mut self.admin.clone()).await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn answering(port: u16, process: &mut Child) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    // Deleting a million messages takes longer than the crate's default of 500 ms.
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(HANG));
    let began = Instant::now();
    loop {
        match client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(connection) => return Ok(connection),
            Err(error) if began.elapsed() > Duration::from_secs(20) => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        if let Some(status) = process.try_wait()? {
            return Err(format!("redis-server ended at once: {status}").into());
        }
    }
}

fn field(info: &str, name: &str) -> Result<f64> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(value.ok_or_else(|| format!("INFO has no {name}"))?.trim().parse()?)
}
