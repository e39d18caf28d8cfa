//! A Redis of the test's own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::signal;

/// A `redis-server` on a socket that nobody else knows. It ends with the test.
pub(crate) struct Redis {
    directory: TempDir,
    url: String,
    server: Option<Child>,
}

impl Redis {
    pub(crate) fn start() -> Self {
        // A socket's path has at most about a hundred characters.
        let directory = tempfile::Builder::new().prefix("redis").tempdir().unwrap();
        let url = format!("redis+unix://{}/socket", directory.path().display());
        let mut redis = Self { directory, url, server: None };
        redis.start_again();
        redis
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn start_again(&mut self) {
        let mut server = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--save", "", "--appendonly", "yes"])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect(
                "these tests need redis-server: apt install redis-server, dnf install redis, or brew install redis",
            );
        let log = BufReader::new(server.stdout.take().unwrap());
        let ready = log.lines().map_while(Result::ok).any(|line| line.contains("eady to accept connections"));
        self.server = Some(server);
        assert!(ready, "redis-server did not start");
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Stops the process where it is, with every connection open.
    pub(crate) fn freeze(&self) {
        signal("-STOP", self.pid());
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        signal("-CONT", self.pid());
    }

    fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").id()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}
