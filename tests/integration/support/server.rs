//! A private redis-server.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::probe::within;

/// A redis-server that ends with this value. It listens on a unix socket, so that tests need no ports.
///
/// Where the variable `ACTOR_TEST_CLUSTER` is set, it is a cluster of one, which refuses whatever touches two hash slots.
#[derive(Debug)]
pub struct RedisServer {
    directory: TempDir,
    process: Child,
    options: Vec<String>,
    is_cluster: bool,
}

/// Nothing on disk.
const VOLATILE: [&str; 4] = ["--save", "", "--appendonly", "no"];

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::with(&VOLATILE, is_cluster())
    }

    /// The same, and never a cluster, whose members are nobody's replicas.
    pub fn alone() -> Self {
        Self::with(&VOLATILE, false)
    }

    /// Starts a server that writes every command to its append-only file before it answers.
    pub fn durable() -> Self {
        Self::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"], is_cluster())
    }

    fn with(options: &[&str], is_cluster: bool) -> Self {
        let directory = TempDir::with_prefix("redis-").expect("a temporary directory can be made");
        let mut options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        if is_cluster {
            let free =
                TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("there is a free port");
            let cluster = ["--cluster-enabled", "yes", "--cluster-port", &free.port().to_string()];
            options.extend(cluster.map(str::to_owned));
        }
        let process = launch(&directory, &options);
        let mut server = Self { directory, process, options, is_cluster };
        server.wait();
        server
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Kills the server without a chance to clean up, and restarts it on its files.
    pub fn restart(&mut self) {
        self.kill();
        self.revive();
    }

    /// Kills the server without a chance to clean up.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(self.socket());
    }

    /// Freezes the server: it answers nobody, and cuts no connection.
    pub fn freeze(&self) {
        let status = Command::new("kill").args(["-STOP", &self.process.id().to_string()]).status();
        assert!(status.expect("there is a kill").success());
    }

    /// Restarts a killed server on its files.
    pub fn revive(&mut self) {
        self.process = launch(&self.directory, &self.options);
        self.wait();
    }

    /// Runs a command as a person would, and returns its output.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let output = on_time(Command::new("redis-cli"))
            .arg("-s")
            .arg(self.socket())
            .args(arguments)
            .output()
            .expect("redis-cli stands beside redis-server");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Cuts every connection.
    pub fn cut_connections(&self) {
        self.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    }

    /// A number in `INFO`.
    pub fn info(&self, section: &str, name: &str) -> u64 {
        let info = self.cli(&["INFO", section]);
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {info}"))
    }

    /// How often each command was called.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let info = self.cli(&["INFO", "commandstats"]);
        let calls = info.lines().filter_map(|line| {
            let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), stats.split(',').next()?.parse().ok()?))
        });
        calls.collect()
    }

    /// Waits until so many clients are blocked.
    pub async fn until_waiting(&self, clients: u64) {
        within(async {
            while self.info("clients", "blocked_clients") != clients {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until a command, or a subcommand of it, is called so many times.
    pub async fn until_called(&self, command: &str, times: u64) {
        let calls = || -> u64 {
            let of = |(name, calls): (String, u64)| name.starts_with(command).then_some(calls);
            self.calls().into_iter().filter_map(of).sum()
        };
        let before = calls();
        within(async {
            while calls() < before + times {
                // Each call starts a process.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await;
    }

    /// Runs a line of shell, in which `redis-cli` talks to this server.
    pub fn shell(&self, line: &str) {
        let here = line.replace("redis-cli ", &format!("redis-cli -s '{}' ", self.socket().display()));
        let status = on_time(Command::new("sh")).args(["-ec", &here]).stdout(Stdio::null()).status();
        let status = status.expect("there is a shell");
        assert!(status.success(), "{line}");
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    fn wait(&mut self) {
        let began = Instant::now();
        while self.cli(&["ping"]) != "PONG" {
            assert!(began.elapsed() < Duration::from_secs(20), "redis-server did not answer within 20 s");
            let ended = self.process.try_wait().expect("the server is this process' child");
            assert!(ended.is_none(), "redis-server ended at once: {ended:?}");
            std::thread::yield_now();
        }
        if self.is_cluster {
            // Refused where it was started again and has them. It takes two seconds to serve them.
            self.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
            while !self.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok") {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_cluster() -> bool {
    std::env::var_os("ACTOR_TEST_CLUSTER").is_some()
}

fn launch(directory: &TempDir, options: &[String]) -> Child {
    on_time(Command::new("redis-server"))
        .args(["--port", "0", "--unixsocket"])
        .arg(directory.path().join("redis.sock"))
        .arg("--dir")
        .arg(directory.path())
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("redis-server cannot be started ({error}): install it, or run tests/run.sh, which does")
        })
}

/// A command whose clock is right, even if the test's own is not.
fn on_time(mut command: Command) -> Command {
    command.env_remove("LD_PRELOAD").env_remove("DYLD_INSERT_LIBRARIES");
    command
}
