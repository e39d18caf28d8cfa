//! Three Sentinels that watch a server of a test's own, and a replica of it.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::server::on_time;

/// What they call the server.
const NAME: &str = "mymaster";
const SENTINELS: usize = 3;
/// Nobody is to take the server's place: what a failover loses is not what is tested.
const DOWN_AFTER_MS: u32 = 600_000;

/// All of them end with this value.
#[derive(Debug)]
pub struct Sentinels {
    processes: Vec<Child>,
    ports: Vec<u16>,
    _directory: TempDir,
}

impl Sentinels {
    /// Watches the server on a port; `None` where somebody else was faster to take a port.
    pub fn of(server: u16) -> Option<Self> {
        let directory = TempDir::with_prefix("sentinels-").expect("a temporary directory can be made");
        let mut ports = free_ports(1 + SENTINELS);
        let replica = ports.pop().expect("there is one more");
        let start = |port: u16, arguments: &[&str]| {
            let home = directory.path().join(port.to_string());
            std::fs::create_dir_all(&home).expect("a directory can be made");
            on_time(Command::new("redis-server"))
                .current_dir(home)
                .args(arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("redis-server can be run: it was before")
        };
        let (server, own) = (server.to_string(), replica.to_string());
        let follows = ["--bind", "127.0.0.1", "--port", &own, "--save", "", "--replicaof", "127.0.0.1", &server];
        let mut processes = vec![start(replica, &follows)];
        for (at, port) in ports.iter().enumerate() {
            let id = |at: usize| format!("{:040x}", at + 1);
            // Whatever they would find out about each other in seconds, they are told.
            let mut file = format!("bind 127.0.0.1\nport {port}\nsentinel myid {}\n", id(at));
            let mut line = |text: String| writeln!(file, "sentinel {text}").expect("it is a text");
            line(format!("monitor {NAME} 127.0.0.1 {server} 2"));
            line(format!("down-after-milliseconds {NAME} {DOWN_AFTER_MS}"));
            line(format!("known-replica {NAME} 127.0.0.1 {replica}"));
            for (other, port) in ports.iter().enumerate().filter(|(other, _)| *other != at) {
                line(format!("known-sentinel {NAME} 127.0.0.1 {port} {}", id(other)));
            }
            let home = directory.path().join(port.to_string());
            std::fs::create_dir_all(&home).expect("a directory can be made");
            std::fs::write(home.join("sentinel.conf"), file).expect("a file can be written");
            processes.push(start(*port, &["sentinel.conf", "--sentinel"]));
        }
        let mut all = Self { processes, ports, _directory: directory };
        all.answer().then_some(all)
    }

    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{NAME}", addresses.join(","))
    }

    /// Waits until all Sentinels answer. Not so where a process has ended.
    fn answer(&mut self) -> bool {
        let began = Instant::now();
        let answers = |port: &u16| {
            let ask = on_time(Command::new("redis-cli")).args(["-p", &port.to_string(), "ping"]).output();
            ask.is_ok_and(|answer| answer.stdout.starts_with(b"PONG"))
        };
        while !self.ports.iter().all(answers) {
            if self.processes.iter_mut().any(|process| !matches!(process.try_wait(), Ok(None))) {
                return false;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "the Sentinels did not answer within 20 s");
            std::thread::sleep(Duration::from_millis(10));
        }
        self.processes.iter_mut().all(|process| matches!(process.try_wait(), Ok(None)))
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Ports on which nobody listens, each another.
pub fn free_ports(count: usize) -> Vec<u16> {
    let free = || TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let held: Vec<_> = (0..count).map(|_| free()).collect();
    held.iter().map(|held| held.local_addr().expect("it is bound").port()).collect()
}
