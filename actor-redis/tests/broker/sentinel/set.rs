//! A primary, its replicas, and the Sentinels that watch it, of a test's own.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::FromRedisValue;
use tempfile::TempDir;

use crate::server::words;

/// What the Sentinels call the primary.
pub(crate) const NAME: &str = "mymaster";
/// How many replicas and how many Sentinels there are.
const REPLICAS: usize = 2;
const SENTINELS: usize = 3;
/// Only against a test that hangs.
const HANGS: Duration = Duration::from_secs(60);

/// Ends all of its processes when it is dropped.
pub(crate) struct Set {
    /// The first is the primary at first.
    pub(crate) servers: Vec<Process>,
    pub(crate) sentinels: Vec<Process>,
    _dir: TempDir,
}

/// What a set is made with, beyond what every set has.
#[derive(Clone, Copy, Default)]
pub(crate) struct Settings<'a> {
    /// For each server, as on `redis-server`'s command line.
    pub(crate) server: &'a [&'a str],
    /// Lines of each Sentinel's configuration.
    pub(crate) sentinel: &'a [&'a str],
    /// How all of them are called, if not by their address.
    pub(crate) host: Option<&'a str>,
    /// Lines of the configuration of all of them: then they speak TLS, and nothing else.
    pub(crate) tls: &'a [String],
}

/// A server or a Sentinel, on a port of its own.
pub(crate) struct Process {
    child: Child,
    pub(crate) port: u16,
    password: Option<String>,
    #[cfg_attr(not(feature = "tls"), expect(dead_code))]
    is_secured: bool,
}

impl Set {
    pub(crate) fn start() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings<'_>) -> Self {
        // Somebody else may take a port that was free.
        let tries = (0..5).map(|_| Self::launch(settings)).find(Result::is_ok);
        tries.unwrap_or_else(|| Self::launch(settings)).unwrap_or_else(|said| panic!("no Sentinel set: {said}"))
    }

    fn launch(settings: Settings<'_>) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let ports = free_ports(1 + REPLICAS + SENTINELS);
        let (servers, sentinels) = ports.split_at(1 + REPLICAS);
        let host = settings.host.unwrap_or("127.0.0.1");
        let start_server = |at: usize| {
            let (port, primary) = (servers[at].to_string(), servers[0].to_string());
            let mut args = vec!["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
            if settings.tls.is_empty() {
                args.extend(["--port", &port]);
            } else {
                args.extend(["--port", "0", "--tls-port", &port]);
            }
            let secured: Vec<_> = settings.tls.iter().map(|line| format!("--{line}")).collect();
            args.extend(secured.iter().flat_map(|line| line.split(' ')));
            args.extend(["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"]);
            if at > 0 {
                args.extend(["--replicaof", host, &primary]);
            }
            if settings.host.is_some() {
                args.extend(["--replica-announce-ip", host]);
            }
            args.extend(settings.server);
            Process::start(&dir.path().join(&port), &args, "eady to accept connections", servers[at])
        };
        let servers = (0..servers.len()).map(start_server).collect::<Result<Vec<_>, _>>()?;
        let replicas = format!("connected_slaves:{REPLICAS}");
        until("the replicas follow", || {
            let info: String = servers[0].run("INFO replication");
            info.contains(&replicas) && info.matches("state=online").count() == REPLICAS
        });
        let id = |sentinel: usize| format!("{:040x}", sentinel + 1);
        let start_sentinel = |at: usize| {
            // Whatever they would find out about each other in seconds, they are told.
            let mut file = format!("bind 127.0.0.1\nsentinel myid {}\n", id(at));
            let mut line = |text: &str| writeln!(file, "{text}").unwrap();
            if settings.tls.is_empty() {
                line(&format!("port {}", sentinels[at]));
            } else {
                line(&format!("port 0\ntls-port {}", sentinels[at]));
            }
            settings.tls.iter().for_each(|text| line(text));
            if settings.host.is_some() {
                line("sentinel resolve-hostnames yes\nsentinel announce-hostnames yes");
                line(&format!("sentinel announce-ip {host}"));
            }
            line(&format!("sentinel monitor {NAME} {host} {} 2", servers[0].port));
            line(&format!("sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 2000"));
            line(&format!("sentinel parallel-syncs {NAME} {REPLICAS}"));
            settings.sentinel.iter().for_each(|text| line(text));
            for replica in &servers[1..] {
                line(&format!("sentinel known-replica {NAME} {host} {}", replica.port));
            }
            for other in (0..SENTINELS).filter(|other| *other != at) {
                line(&format!("sentinel known-sentinel {NAME} {host} {} {}", sentinels[other], id(other)));
            }
            let home = dir.path().join(sentinels[at].to_string());
            std::fs::create_dir_all(&home).unwrap();
            std::fs::write(home.join("sentinel.conf"), file).unwrap();
            Process::start(&home, &["sentinel.conf", "--sentinel"], "+monitor master", sentinels[at])
        };
        let sentinels = (0..SENTINELS).map(start_sentinel).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { servers, sentinels, _dir: dir })
    }

    /// The URL of all its Sentinels.
    pub(crate) fn url(&self) -> String {
        self.url_with(&[])
    }

    /// The URL of other Sentinels and then its own.
    pub(crate) fn url_with(&self, others: &[u16]) -> String {
        let own = self.sentinels.iter().map(|sentinel| sentinel.port);
        url(others.iter().copied().chain(own))
    }

    pub(crate) fn primary(&self) -> &Process {
        &self.servers[0]
    }

    /// The primary that one of its Sentinels names.
    pub(crate) fn named_by(&self, sentinel: &Process) -> &Process {
        let port = sentinel.named();
        self.servers.iter().find(|server| server.port == port).unwrap()
    }

    /// Waits until all replicas have all that the primary has.
    pub(crate) fn until_in_sync(&self) {
        let mut raw = self.primary().raw();
        // It counts what this connection has written.
        redis::cmd("INCR").arg("in-sync").exec(&mut raw).unwrap();
        let reached: usize = redis::cmd("WAIT").arg(REPLICAS).arg(10_000).query(&mut raw).unwrap();
        assert_eq!(reached, REPLICAS);
    }

    /// Waits until a Sentinel names another primary than the first one. When that was.
    pub(crate) fn until_one_moved_on(&self) -> Instant {
        self.until_moved_on(1)
    }

    /// Waits until all Sentinels do.
    pub(crate) fn until_all_moved_on(&self) -> Instant {
        self.until_moved_on(self.sentinels.len())
    }

    fn until_moved_on(&self, count: usize) -> Instant {
        let former = self.primary().port;
        until("a failover", || self.sentinels.iter().filter(|sentinel| sentinel.named() != former).count() >= count);
        Instant::now()
    }
}

impl Process {
    fn start(home: &Path, args: &[&str], until: &str, port: u16) -> Result<Self, String> {
        std::fs::create_dir_all(home).unwrap();
        let mut command = Command::new("redis-server");
        let mut child = command.current_dir(home).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let is_up = log.by_ref().any(|line| {
            said.push(line);
            said.last().is_some_and(|line| line.contains(until))
        });
        if !is_up {
            let _ = child.wait();
            return Err(said.join("\n"));
        }
        // So that it never waits for someone to read its log.
        std::thread::spawn(move || log.for_each(drop));
        let password =
            args.iter().skip_while(|arg| **arg != "--requirepass").nth(1).map(|&password| password.to_owned());
        let is_secured = args.contains(&"--tls-port");
        Ok(Self { child, port, password, is_secured })
    }

    pub(crate) fn raw(&self) -> redis::Connection {
        #[cfg(feature = "tls")]
        if self.is_secured {
            return crate::tls::client(self.port).get_connection().unwrap();
        }
        let user = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        redis::Client::open(format!("redis://{user}127.0.0.1:{}", self.port)).unwrap().get_connection().unwrap()
    }

    /// Runs one command, written as for `redis-cli`.
    pub(crate) fn run<T: FromRedisValue>(&self, command: &str) -> T {
        words(command).query(&mut self.raw()).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The port of the primary that this Sentinel names.
    fn named(&self) -> u16 {
        let (_, port): (String, u16) = self.run(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}"));
        port
    }

    /// How many listen to this Sentinel.
    pub(crate) fn listeners(&self) -> usize {
        let clients: String = self.run("CLIENT LIST");
        // Other Sentinels subscribe to servers, and never here.
        clients.lines().filter(|client| !client.contains(" sub=0 ")).count()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Stops it from doing anything, with its connections open.
    pub(crate) fn freeze(&self) {
        let status = Command::new("kill").args(["-STOP", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A URL of Sentinels on these ports.
pub(crate) fn url(ports: impl IntoIterator<Item = u16>) -> String {
    let ports: Vec<_> = ports.into_iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("redis+sentinel://{}/{NAME}", ports.join(","))
}

/// Ports on which nobody listens, each another.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Waits for what no other side tells.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < HANGS, "{what}: not after {HANGS:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
