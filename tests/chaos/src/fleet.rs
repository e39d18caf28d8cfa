//! The processes of a run: workers and producers, each behind its own proxy, restarted when they die.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::history::{Journal, What};
use crate::memory::Memory;
use crate::process::{Failpoint, Orders};
use crate::topology::{Servers, Way};

/// The role of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Worker,
    Producer,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Producer => "producer",
        }
    }
}

/// How a process is launched.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Under {
    /// A program and its arguments, followed by the process's own command line.
    pub(crate) program: &'static [&'static str],
    pub(crate) variables: &'static [(&'static str, &'static str)],
}

/// A slot for one process after another.
#[derive(Debug)]
pub(crate) struct Slot {
    role: Role,
    number: usize,
    sessions: usize,
    orders: Orders,
    /// A wrapper such as `prlimit` or `faketime`.
    under: Under,
    pub(crate) way: Way,
    child: Option<(String, Child)>,
    /// Whether a process is wanted here.
    wanted: bool,
    /// Whether it was asked to stop.
    ordered: bool,
    restart_at: Option<Instant>,
    journal: Arc<Journal>,
}

impl Slot {
    pub(crate) async fn new(
        role: Role,
        number: usize,
        mut orders: Orders,
        under: Under,
        servers: &Servers,
        memory: Option<Duration>,
        journal: Arc<Journal>,
    ) -> io::Result<Self> {
        let place = format!("{}-{number}", role.name());
        let memory = memory.map(|after| Memory { after, on: place, journal: Arc::clone(&journal) });
        let way = servers.way(memory).await?;
        orders.url.clone_from(&way.url);
        Ok(Self {
            role,
            number,
            sessions: 0,
            orders,
            under,
            way,
            child: None,
            wanted: false,
            ordered: false,
            restart_at: None,
            journal,
        })
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn place(&self) -> String {
        format!("{}-{}", self.role.name(), self.number)
    }

    /// Sets the failpoint for processes started from now on.
    pub(crate) fn arm(&mut self, failpoint: Option<Failpoint>) {
        self.orders.failpoint = failpoint;
    }

    /// Starts a process.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        let name = format!("{}-{}", self.place(), self.sessions);
        self.sessions += 1;
        let orders =
            Orders { name: name.clone(), seed: self.orders.seed + self.sessions as u64, ..self.orders.clone() };
        let program = std::env::current_exe()?;
        let mut command = match self.under.program.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        let orders = serde_json::to_string(&orders).map_err(io::Error::other)?;
        let errors = std::fs::File::create(self.orders.directory.join(format!("{name}.err")))?;
        let child = command
            .envs(self.under.variables.iter().copied())
            .arg(self.role.name())
            .arg(orders)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()?;
        if self.role == Role::Worker && self.orders.older {
            self.journal.note(&What::Older { process: name.clone() });
        }
        self.journal.note(&What::Spawned { process: name.clone(), pid: child.id() });
        self.child = Some((name, child));
        (self.wanted, self.ordered, self.restart_at) = (true, false, None);
        Ok(())
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some((_, child)) = &mut self.child
            && let Ok(status) = child.wait()
        {
            self.dead_lettered(status);
        }
    }

    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks the process to stop; it is restarted afterwards.
    pub(crate) fn cycle(&mut self) {
        // A second signal would end the wait for runs. No deploy sends one.
        if !self.ordered {
            self.ask();
        }
    }

    /// Kills the process if it was asked to stop and has not. Its successor lives.
    pub(crate) fn end_grace(&mut self) {
        if self.ordered {
            self.kill();
        }
    }

    /// Replaces the process by one of the older or the newest version.
    pub(crate) fn replace(&mut self, older: bool) {
        if self.orders.older != older {
            self.orders.older = older;
            self.cycle();
        }
    }

    fn ask(&mut self) {
        self.ordered = true;
        if let Some((process, _)) = &self.child {
            self.journal.note(&What::Asked { process: process.clone() });
        }
        self.signal(Signal::TERM);
    }

    /// Asks the process to stop for good.
    pub(crate) fn dismiss(&mut self) {
        self.wanted = false;
        self.ask();
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|(_, child)| child.id())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|(_, child)| Pid::from_raw(child.id().cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }

    /// Records a process that ended, and restarts it if wanted.
    pub(crate) fn tend(&mut self) -> io::Result<()> {
        if let Some((_, child)) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            self.dead_lettered(status);
        }
        if self.child.is_none() && self.wanted && self.restart_at.is_none_or(|at| at <= Instant::now()) {
            self.start()?;
        }
        Ok(())
    }

    fn dead_lettered(&mut self, status: ExitStatus) {
        if let Some((process, _)) = self.child.take() {
            let how = match status.signal() {
                Some(signal) => format!("signal {signal}"),
                None => format!("exit {}", status.code().unwrap_or_default()),
            };
            self.journal.note(&What::Died { process, how, ordered: self.ordered && status.success() });
            self.restart_at = Some(Instant::now() + Duration::from_millis(fastrand::u64(50..800)));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some((_, child)) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
