//! A private redis-server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::cluster::Cluster;
use super::cluster::ports::free_port;
use super::probe::within;
use super::sentinels::{Sentinels, free_ports};

/// A redis-server that ends with this value. It listens on a unix socket, so that tests need no ports.
///
/// Where the variable `ACTOR_TEST_CLUSTER` is set, it is a cluster of one, which refuses whatever touches two hash slots;
/// where it is 3, it is a cluster of three primaries and three replicas, to which the same happens. Where
/// `ACTOR_TEST_SENTINELS` is set, it is a server that Sentinels watch.
#[derive(Debug)]
pub enum RedisServer {
    One(One),
    Watched(One, Sentinels),
    Cluster(Cluster),
}

/// One server.
#[derive(Debug)]
pub struct One {
    directory: TempDir,
    process: Child,
    options: Vec<String>,
    is_cluster: bool,
}

/// What has a server write every command to its disk.
const DURABLE: [&str; 6] = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
/// Nothing on disk.
const VOLATILE: [&str; 4] = ["--save", "", "--appendonly", "no"];

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::with(&VOLATILE)
    }

    /// The same, and never a cluster, whose members are nobody's replicas.
    pub fn alone() -> Self {
        Self::One(One::with(&VOLATILE, false))
    }

    /// One that is durable, and never a cluster.
    pub fn durable_alone() -> Self {
        Self::One(One::with(&DURABLE, false))
    }

    /// Starts a server that writes every command to its append-only file before it answers.
    pub fn durable() -> Self {
        Self::with(&DURABLE)
    }

    fn with(options: &[&str]) -> Self {
        match std::env::var("ACTOR_TEST_CLUSTER").as_deref() {
            // On a busy machine, nobody is to take another's place: what a failover loses is not what is tested.
            Ok("3") => {
                Self::Cluster(Cluster::of(3, 3, &[options, ["--cluster-node-timeout", "30000"].as_slice()].concat()))
            }
            Err(_) if std::env::var_os("ACTOR_TEST_SENTINELS").is_some() => Self::watched(options),
            value => Self::One(One::with(options, value.is_ok())),
        }
    }

    fn watched(options: &[&str]) -> Self {
        loop {
            let port = free_ports(1)[0];
            let on_port = ["--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", "--port", &port.to_string()];
            let server = One::with(&[options, &on_port].concat(), false);
            if let Some(sentinels) = Sentinels::of(port) {
                return Self::Watched(server, sentinels);
            }
        }
    }

    /// The URL to connect to.
    pub fn url(&self) -> String {
        match self {
            Self::One(server) => format!("redis+unix://{}", server.socket().display()),
            Self::Watched(_, sentinels) => sentinels.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    /// Kills the server without a chance to clean up, and restarts it on its files.
    pub fn restart(&mut self) {
        self.kill();
        self.revive();
    }

    /// Kills the server without a chance to clean up.
    pub fn kill(&mut self) {
        match self {
            Self::One(server) | Self::Watched(server, _) => server.kill(),
            Self::Cluster(cluster) => (0..cluster.len()).for_each(|at| cluster.kill(at)),
        }
    }

    /// Freezes the server: it answers nobody, and cuts no connection.
    pub fn freeze(&self) {
        match self {
            Self::One(server) | Self::Watched(server, _) => server.freeze(),
            Self::Cluster(cluster) => (0..cluster.len()).for_each(|at| cluster.freeze(at)),
        }
    }

    /// Restarts a killed server on its files.
    pub fn revive(&mut self) {
        match self {
            Self::One(server) | Self::Watched(server, _) => server.revive(),
            Self::Cluster(cluster) => {
                (0..cluster.len()).for_each(|at| cluster.revive(at));
                cluster.await_whole();
            }
        }
    }

    /// Runs a command as a person would, and returns its output: in a cluster where its key is, and without one at each
    /// primary, of which one's output is returned.
    pub fn cli(&self, arguments: &[&str]) -> String {
        match self {
            Self::One(server) | Self::Watched(server, _) => server.cli(arguments),
            Self::Cluster(cluster) if arguments.iter().any(|argument| argument.starts_with('{')) => {
                cluster.ask_by_key(arguments)
            }
            Self::Cluster(cluster) => {
                let ask = |at: &usize| cluster.ask_words(*at, arguments);
                let mut answers: Vec<_> = cluster.serving().iter().map(ask).collect();
                answers.pop().expect("a cluster has primaries")
            }
        }
    }

    /// Cuts every connection.
    pub fn cut_connections(&self) {
        self.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    }

    /// A number in `INFO`; the sum of the primaries'.
    pub fn info(&self, section: &str, name: &str) -> u64 {
        let number = |info: String| -> u64 {
            let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {info}"))
        };
        self.infos(section).into_iter().map(number).sum()
    }

    fn infos(&self, section: &str) -> Vec<String> {
        match self {
            Self::One(server) | Self::Watched(server, _) => vec![server.cli(&["INFO", section])],
            Self::Cluster(cluster) => {
                cluster.serving().into_iter().map(|at| cluster.ask_words(at, &["INFO", section])).collect()
            }
        }
    }

    /// How often each command was called.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let mut calls = BTreeMap::new();
        for info in self.infos("commandstats") {
            for (name, stats) in info.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls=")) {
                let count = stats.split(',').next().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
                *calls.entry(name.to_owned()).or_default() += count;
            }
        }
        let others: &[&str] = match self {
            Self::One(_) => &[],
            // What this asks itself, and what replicas and Sentinels do.
            Self::Cluster(_) => &["role", "replconf"],
            Self::Watched(..) => &["replconf", "ping", "info", "publish"],
        };
        calls.retain(|name, _| !others.contains(&name.as_str()));
        calls
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
        let server = match self {
            Self::One(server) | Self::Watched(server, _) => format!("redis-cli -s '{}' ", server.socket().display()),
            Self::Cluster(cluster) => format!("redis-cli -c -p {} ", cluster.port(0)),
        };
        let here = line.replace("redis-cli ", &server);
        let status = on_time(Command::new("sh")).args(["-ec", &here]).stdout(Stdio::null()).status();
        let status = status.expect("there is a shell");
        assert!(status.success(), "{line}");
    }
}

impl One {
    fn with(options: &[&str], is_cluster: bool) -> Self {
        let directory = TempDir::with_prefix("redis-").expect("a temporary directory can be made");
        let mut options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        if is_cluster {
            let cluster = ["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()];
            options.extend(cluster.map(str::to_owned));
        }
        let process = launch(&directory, &options);
        let mut server = Self { directory, process, options, is_cluster };
        server.wait();
        server
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(self.socket());
    }

    fn freeze(&self) {
        let status = Command::new("kill").args(["-STOP", &self.process.id().to_string()]).status();
        assert!(status.expect("there is a kill").success());
    }

    fn revive(&mut self) {
        self.process = launch(&self.directory, &self.options);
        self.wait();
    }

    fn cli(&self, arguments: &[&str]) -> String {
        let output = on_time(Command::new("redis-cli"))
            .arg("-s")
            .arg(self.socket())
            .args(arguments)
            .output()
            .expect("redis-cli stands beside redis-server");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
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

impl Drop for One {
    fn drop(&mut self) {
        self.kill();
    }
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
pub fn on_time(mut command: Command) -> Command {
    command.env_remove("LD_PRELOAD").env_remove("DYLD_INSERT_LIBRARIES");
    command
}
