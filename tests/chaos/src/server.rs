//! A redis-server that can be killed, frozen and restarted on its files.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue, RedisResult};
use rustix::process::{Pid, Signal, kill_process};

/// Longer than a server of this size ever takes to start.
const START: Duration = Duration::from_secs(60);

/// A server, and how it is started.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    directory: PathBuf,
    options: Vec<String>,
    /// What `--requirepass` says.
    password: Option<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts a server that writes to disk before it answers. With `everysec` it may answer up to two seconds before,
    /// and a kill loses those writes.
    pub(crate) fn start(directory: &Path, name: &str, options: &[&str]) -> io::Result<Self> {
        let directory = directory.join(name);
        std::fs::create_dir_all(&directory)?;
        let mut all = vec!["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
        all.extend(options);
        let password =
            all.iter().skip_while(|option| **option != "--requirepass").nth(1).map(|word| (*word).to_owned());
        let options = all.into_iter().map(str::to_owned).collect();
        let mut server = Self { port: free_ports(1)?[0], directory, options, password, child: None };
        server.launch(&[])?;
        server.wait_ready()?;
        Ok(server)
    }

    /// Kills it without a chance to clean up.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it on its files, with more options, and does not wait.
    pub(crate) fn launch(&mut self, more: &[&str]) -> io::Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.directory.join("log"))?;
        // Launched through this program, so that the server dies with it.
        let child = Command::new(std::env::current_exe()?)
            .args(["guard", "redis-server", "--bind", "127.0.0.1", "--port", &self.port.to_string(), "--dir"])
            .arg(&self.directory)
            .args(&self.options)
            .args(more)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it answers commands.
    pub(crate) fn wait_ready(&self) -> io::Result<()> {
        let began = Instant::now();
        loop {
            match self.run::<String>("PING") {
                Ok(_) => return Ok(()),
                Err(error) if began.elapsed() > START => return Err(io::Error::other(error)),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Whether it runs. An exit is recorded.
    pub(crate) fn is_running(&mut self) -> bool {
        let ended = self.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
        if ended {
            self.child = None;
        }
        self.child.is_some()
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(child.id().cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    /// A connection that bypasses every proxy.
    pub(crate) fn connection(&self) -> RedisResult<redis::Connection> {
        let user = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        let client = redis::Client::open(format!("redis://{user}127.0.0.1:{}", self.port))?;
        let connection = client.get_connection_with_timeout(Duration::from_secs(15))?;
        connection.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(connection)
    }

    /// Runs one command, written as for `redis-cli`.
    pub(crate) fn run<T: FromRedisValue>(&self, command: &str) -> RedisResult<T> {
        let mut words = Cmd::new();
        for word in command.split(' ') {
            words.arg(word);
        }
        words.query(&mut self.connection()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ports that nobody listens on, each another.
pub(crate) fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
