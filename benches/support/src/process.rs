//! Workers in processes of their own: the benchmark's own program, started again.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use actor_redis::RedisBroker;

use crate::{Result, Server, Tally, library};

/// The first argument of a program that is started as a worker.
const AS_WORKER: &str = "--worker-process";

/// The line that makes it work.
const BEGIN: &[u8] = b"begin\n";

/// A worker in a process of its own, with default settings.
#[derive(Debug)]
pub struct WorkerProcess {
    process: Child,
    /// Closing it stops the worker.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl WorkerProcess {
    /// Starts a worker of one queue, whose messages are `0..messages`.
    ///
    /// # Errors
    ///
    /// The program cannot be started, or exited at once.
    pub fn start(server: &Server, queue: &str, messages: u64) -> Result<Self> {
        let mut worker = Self::prepare(server, queue, messages)?;
        worker.begin()?;
        Ok(worker)
    }

    /// Starts and connects the process. It does not work yet.
    ///
    /// # Errors
    ///
    /// The program cannot be started, or exited at once.
    pub fn prepare(server: &Server, queue: &str, messages: u64) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([AS_WORKER, &server.url(), queue, &messages.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().map(BufReader::new).ok_or("a worker without an output")?;
        let mut worker = Self { input: process.stdin.take(), process, output };
        let mut line = String::new();
        worker.output.read_line(&mut line)?;
        if line == "connected\n" { Ok(worker) } else { Err("a worker process did not start".into()) }
    }

    /// Makes it work.
    ///
    /// # Errors
    ///
    /// It has exited.
    pub fn begin(&mut self) -> Result {
        let input = self.input.as_mut().ok_or("a worker without an input")?;
        Ok(input.write_all(BEGIN)?)
    }

    /// Its memory in bytes, or `None` if the system does not say.
    #[must_use]
    pub fn memory(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? * 1024.0)
    }

    /// Stops it in good order, and records what it has run in `tally`.
    ///
    /// # Errors
    ///
    /// It failed.
    pub fn stop(mut self, tally: &Tally) -> Result {
        drop(self.input.take());
        let mut ran = String::new();
        self.output.read_to_string(&mut ran)?;
        let status = self.process.wait()?;
        if !status.success() {
            return Err(format!("a worker process ended badly: {status}").into());
        }
        for n in ran.lines() {
            tally.start(n.parse()?);
        }
        Ok(())
    }

    /// Runs as the worker if the program was started as one, and returns true once it has stopped. A benchmark calls
    /// this first.
    ///
    /// # Errors
    ///
    /// The worker failed.
    pub async fn serve() -> Result<bool> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [as_worker, url, queue, messages] = arguments.as_slice() else { return Ok(false) };
        if as_worker != AS_WORKER {
            return Ok(false);
        }
        let tally = Arc::new(Tally::of(0..messages.parse()?));
        let broker = RedisBroker::connect(url).await?;
        say("connected\n")?;
        let mut begin = [0; BEGIN.len()];
        std::io::stdin().read_exact(&mut begin)?;
        let closed = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let worker = library::worker(&broker, queue, &tally);
        worker
            .run_until(async {
                let _ = closed.await;
            })
            .await?;
        tally.verify_once()?;
        say(&tally.ids().map(|n| format!("{n}\n")).collect::<String>())?;
        Ok(true)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // After an orderly stop there is nothing to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn say(text: &str) -> Result {
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}
