//! The example's services as processes, whose log lines are the events that a test awaits.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use crate::http::PATIENCE;

/// A binary of the example.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    Api,
    Worker,
}

/// A running service, which ends with the test.
pub(crate) struct Process {
    service: Service,
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    pub(crate) fn start(service: Service, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(service.binary())
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, log) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            // Reads to the end, even when nobody listens: a full pipe would block the process.
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { service, child, log, seen: Vec::new() }
    }

    /// The next log line that contains `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.log.recv_timeout(PATIENCE) else {
                panic!("{:?} never said {text:?}, only:\n{}", self.service, self.seen.join("\n"))
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Kills it by SIGKILL, amid whatever it does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, by SIGTERM, and waits until it has.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        signal("-TERM", self.child.id());
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn binary(self) -> &'static PathBuf {
        static BUILT: OnceLock<[PathBuf; 2]> = OnceLock::new();
        let [api, worker] = BUILT.get_or_init(build);
        match self {
            Self::Api => api,
            Self::Worker => worker,
        }
    }
}

/// Builds both services with the features of all tests, so that nothing is compiled twice: `--test` adds those of
/// dev-dependencies. Returns the paths of both.
fn build() -> [PathBuf; 2] {
    let mut cargo = actor_bench::cargo();
    cargo.args([
        "build",
        "--workspace",
        "--all-features",
        "--test",
        "split",
        "--bin",
        "video-api",
        "--bin",
        "video-worker",
    ]);
    cargo.args(["--message-format", "json"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output().unwrap();
    assert!(built.status.success(), "cargo could not build the example");
    let messages: Vec<Value> =
        built.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    ["video-api", "video-worker"].map(|name| {
        let artifact =
            messages.iter().find(|message| message["target"]["name"] == name && message["executable"] != Value::Null);
        artifact.and_then(|message| message["executable"].as_str()).expect("cargo names what it built").into()
    })
}

/// Sends a signal, for which std has no call.
pub(crate) fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status().unwrap();
    assert!(sent.success(), "process {process} is not there to be signalled");
}
