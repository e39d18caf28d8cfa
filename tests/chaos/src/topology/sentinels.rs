//! A primary, its replicas, and three Sentinels that watch them. The program gets the Sentinels' URL.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use redis::RedisResult;

use super::liar::{Liar, Lie};
use super::replica::{follow, follows, role, wait};
use super::sentinel::{NAME, Sentinel};
use super::{Access, Loss};
use crate::history::{Journal, What};
use crate::proxy::{Condition, Proxy};
use crate::server::{Server, free_ports};

const SENTINELS: usize = 3;
/// How long the primary must be silent before a Sentinel considers it dead. With much less, a busy machine would be
/// taken for a dead primary.
const DOWN_AFTER_MS: u32 = 2_000;
/// Sentinels start no failover within twice this time after another.
const FAILOVER_MS: u32 = 2_000;

/// Longer than a request waits for its answer.
const HANG: Duration = Duration::from_secs(6);

/// How a lost primary comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// A killed one restarts as a replica. A frozen one goes on as soon as another is promoted.
    Soon,
    /// A killed one restarts as a primary of its old data, until the Sentinels change that. A frozen one stays so until
    /// no request waits for it any more.
    Badly,
}

#[derive(Clone, Copy, Debug)]
struct Lost {
    member: usize,
    how: Loss,
    comes: Comes,
}

/// The servers, and the Sentinels that watch them.
#[derive(Debug)]
pub(crate) struct SentinelSet {
    members: Vec<Member>,
    /// Which member the Sentinels name.
    primary: usize,
    /// The primary that is lost, and not yet back as a replica.
    lost: Option<Lost>,
    sentinels: Vec<Sentinel>,
    /// Before each Sentinel, or none.
    liars: Vec<Liar>,
    /// The primary that a Sentinel announced last, or 0.
    announced: Arc<AtomicU16>,
    journal: Arc<Journal>,
}

/// A server of the set.
#[derive(Debug)]
struct Member {
    server: Server,
    /// Announced in its place.
    front: Option<Proxy>,
}

impl Member {
    async fn start(directory: &Path, number: usize, options: &[&str], access: Access) -> io::Result<Self> {
        let name = format!("redis-{number}");
        if access != Access::Fronts {
            return Ok(Self { server: Server::start(directory, &name, options)?, front: None });
        }
        let front = Proxy::start(0, None).await?;
        // Its own address is how the other fronts know it.
        let (port, address) = (front.port.to_string(), format!("127.0.0.{}", number + 2));
        let announced = ["--replica-announce-ip", "127.0.0.1", "--replica-announce-port", &port];
        let announced = announced.into_iter().chain(["--bind-source-addr", &address]);
        let options: Vec<_> = options.iter().copied().chain(announced).collect();
        let server = Server::start(directory, &name, &options)?;
        front.point(server.port);
        Ok(Self { server, front: Some(front) })
    }

    /// The port that the Sentinels know.
    fn port(&self) -> u16 {
        self.front.as_ref().map_or(self.server.port, |front| front.port)
    }
}

impl SentinelSet {
    /// Starts all, and waits until every Sentinel knows every server.
    pub(super) async fn start(
        directory: &Path,
        options: &[&str],
        replicas: usize,
        access: Access,
        journal: &Arc<Journal>,
    ) -> io::Result<Self> {
        let mut members = Vec::new();
        for number in 0..=replicas {
            members.push(Member::start(directory, number, options, access).await?);
        }
        let ports: Vec<_> = members.iter().map(Member::port).collect();
        for replica in &mut members[1..] {
            follow(&mut replica.server, ports[0])?;
        }
        let watched = free_ports(SENTINELS)?;
        let mut sentinels = Vec::new();
        for at in 0..SENTINELS {
            let lines = configuration(at, &watched, &ports).map_err(io::Error::other)?;
            sentinels.push(Sentinel::start(&directory.join(format!("sentinel-{at}")), watched[at], &lines)?);
        }
        let mut liars = Vec::new();
        if access == Access::Liars {
            for sentinel in &sentinels {
                liars.push(Liar::start(sentinel.port).await?);
            }
        }
        let announced = Arc::default();
        let set = Self { members, primary: 0, lost: None, sentinels, liars, announced, journal: Arc::clone(journal) };
        set.wait_whole()?;
        for sentinel in &set.sentinels {
            sentinel.note_promotions(journal, &set.announced)?;
        }
        Ok(set)
    }

    pub(super) fn primary(&self) -> &Server {
        &self.members[self.primary].server
    }

    pub(super) fn primary_mut(&mut self) -> &mut Server {
        &mut self.members[self.primary].server
    }

    fn replicas(&self) -> impl Iterator<Item = &Member> {
        let others = self.members.iter().enumerate().filter(|(at, _)| *at != self.primary);
        others.map(|(_, member)| member)
    }

    /// The URL of all Sentinels.
    pub(super) fn url(&self) -> String {
        let told = self.liars.iter().map(|liar| liar.port);
        let ports = if self.liars.is_empty() { self.ports() } else { told.collect() };
        url(&ports)
    }

    /// The same, past what may lie.
    pub(super) fn own_url(&self) -> String {
        url(&self.ports())
    }

    fn ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|sentinel| sentinel.port).collect()
    }

    /// Takes the primary away. What it had not replicated by now may be lost.
    pub(crate) fn lose_primary(&mut self, how: Loss, rng: u64) {
        self.journal.note(&What::Parted);
        self.journal.note(&What::Away);
        match how {
            Loss::Killed => self.primary_mut().kill(),
            Loss::Frozen => self.primary().freeze(),
        }
        self.journal.note(&What::MasterLost);
        let comes = if rng.is_multiple_of(3) { Comes::Badly } else { Comes::Soon };
        self.lost = Some(Lost { member: self.primary, how, comes });
    }

    /// Kills the primary while what its replica should have is held back, which is lost. Returns once that replica is
    /// the primary.
    pub(crate) fn lose_lagging(&mut self) -> io::Result<()> {
        let former = self.primary;
        self.lose_primary(Loss::Killed, 1);
        if let Some(front) = &self.members[former].front {
            front.set_for_servers(Condition::Cut);
        }
        self.wait_promoted()
    }

    /// Waits until all Sentinels name another primary.
    pub(crate) fn wait_promoted(&mut self) -> io::Result<()> {
        let former = self.members[self.primary].port();
        let named = wait("a promotion", || {
            let named = self.sentinels.iter().map(Sentinel::master).collect::<RedisResult<Vec<_>>>()?;
            Ok((named[0] != former && named.iter().all(|port| *port == named[0])).then_some(named[0]))
        })?;
        self.primary = self
            .members
            .iter()
            .position(|member| member.port() == named)
            .ok_or_else(|| io::Error::other("the Sentinels name a server that was never started"))?;
        self.journal.note(&What::Back);
        Ok(())
    }

    /// Brings the former primary back, and waits until it replicates the new one.
    pub(crate) fn bring_back(&mut self) -> io::Result<()> {
        let Some(Lost { member: former, how, comes }) = self.lost else { return Ok(()) };
        // Nobody could know better than most Sentinels that a primary of old data is not the primary.
        let comes = if self.is_trusted() {
            comes
        } else {
            // Lies last for long enough to be missed by nobody who believes them.
            std::thread::sleep(HANG);
            Comes::Soon
        };
        let port = self.members[self.primary].port().to_string();
        let options = ["--replicaof", "127.0.0.1", &port];
        let server = &mut self.members[former].server;
        match (how, comes) {
            (Loss::Killed, Comes::Soon) => server.launch(&options)?,
            (Loss::Killed, Comes::Badly) => server.launch(&[])?,
            (Loss::Frozen, Comes::Soon) => server.thaw(),
            (Loss::Frozen, Comes::Badly) => {
                std::thread::sleep(HANG);
                server.thaw();
            }
        }
        if let Some(front) = &self.members[former].front {
            front.set_for_servers(Condition::Clear);
        }
        self.wait_whole()?;
        self.lost = None;
        Ok(())
    }

    /// Has each replica's connection to the primary behave so.
    pub(crate) fn set_for_replicas(&self, condition: Condition) {
        if let Some(front) = &self.members[self.primary].front {
            front.set_for_servers(condition);
        }
    }

    /// Stops the replicas, or lets them go on.
    pub(crate) fn freeze_replicas(&self, frozen: bool) {
        for replica in self.replicas() {
            if frozen { replica.server.freeze() } else { replica.server.thaw() }
        }
    }

    /// Has up to two of the Sentinels lie, each in its own way. One is honest.
    pub(crate) fn lie(&self, rng: u64) {
        let honest = (rng % SENTINELS as u64) as usize;
        let ports: Vec<_> = self.members.iter().map(Member::port).collect();
        let primary = self.lost.map_or(self.primary, |lost| lost.member);
        let other = ports[(primary + 1) % ports.len()];
        let lies = [
            // Once another server is promoted, this names the former one.
            Lie::Names(ports[primary]),
            Lie::Names(ports[primary]),
            Lie::Names(other),
            Lie::KnowsNone,
            Lie::Silent,
            Lie::Away,
            Lie::Honest,
            Lie::Honest,
        ];
        for (at, liar) in self.liars.iter().enumerate().filter(|(at, _)| *at != honest) {
            let dice = rng >> (8 * (at + 1));
            liar.tell(lies[(dice % lies.len() as u64) as usize]);
        }
    }

    /// Whether most Sentinels are honest.
    fn is_trusted(&self) -> bool {
        2 * self.liars.iter().filter(|liar| liar.is_honest()).count() > self.liars.len() || self.liars.is_empty()
    }

    /// Has all Sentinels be away for everybody but each other.
    pub(crate) fn go_away(&self) {
        self.liars.iter().for_each(|liar| liar.tell(Lie::Away));
    }

    pub(crate) fn be_honest(&self) {
        self.liars.iter().for_each(|liar| liar.tell(Lie::Honest));
    }

    /// That no server was promoted while the primary was there. A machine that stands still for too long looks like a
    /// dead primary, and then nothing is said about what it had not replicated.
    pub(crate) fn check_calm(&self) -> io::Result<()> {
        let announced = self.announced.load(Ordering::Relaxed);
        if self.lost.is_none() && announced != 0 && announced != self.members[self.primary].port() {
            return Err(io::Error::other(
                "the Sentinels took a primary for dead that was only slow: the machine is too busy",
            ));
        }
        Ok(())
    }

    /// Waits until each replica follows the primary, and each Sentinel has seen that.
    fn wait_whole(&self) -> io::Result<()> {
        let (port, primary) = (self.members[self.primary].port(), self.primary());
        wait("a Sentinel set with all its replicas", || {
            if role(primary)? != "master" {
                return Ok(None);
            }
            for replica in self.replicas() {
                if !follows(&replica.server, port)? {
                    return Ok(None);
                }
            }
            for sentinel in &self.sentinels {
                let replicas = sentinel.replicas()?;
                let all = replicas.iter().filter(|replica| is_sound(replica)).count() == self.members.len() - 1;
                if sentinel.master()? != port || !all || !sentinel.has_quorum()? {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }
}

/// Whether a Sentinel knows of nothing wrong with a replica.
fn is_sound(replica: &HashMap<String, String>) -> bool {
    let is = |key: &str, value: &str| replica.get(key).is_some_and(|known| known == value);
    is("flags", "slave") && is("master-link-status", "ok")
}

/// A Sentinel's configuration. Whatever it would find out about the others in seconds, it is told.
fn configuration(at: usize, sentinels: &[u16], servers: &[u16]) -> Result<String, std::fmt::Error> {
    let id = |sentinel: usize| format!("{:040x}", sentinel + 1);
    let mut text = format!("sentinel myid {}\n", id(at));
    writeln!(text, "sentinel monitor {NAME} 127.0.0.1 {} 2", servers[0])?;
    writeln!(text, "sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}")?;
    writeln!(text, "sentinel failover-timeout {NAME} {FAILOVER_MS}")?;
    writeln!(text, "sentinel parallel-syncs {NAME} {}", servers.len())?;
    for replica in &servers[1..] {
        writeln!(text, "sentinel known-replica {NAME} 127.0.0.1 {replica}")?;
    }
    for other in (0..sentinels.len()).filter(|other| *other != at) {
        writeln!(text, "sentinel known-sentinel {NAME} 127.0.0.1 {} {}", sentinels[other], id(other))?;
    }
    Ok(text)
}

fn url(ports: &[u16]) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("redis+sentinel://{}/{NAME}", hosts.join(","))
}
