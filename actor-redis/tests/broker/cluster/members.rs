//! A cluster of a test's own: each member a `redis-server` on a free port, in a temporary directory.

#![allow(dead_code, unreachable_pub)] // Two test binaries use it, each another part.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::ask::try_ask;
use self::ports::{Ports, free_ports};
use self::view::View;

#[path = "ask.rs"]
mod ask;
#[path = "ports.rs"]
pub mod ports;
#[path = "view.rs"]
mod view;

/// How many slots a cluster has.
const SLOTS: usize = 16_384;
/// How long a test waits for the cluster to do what it does within seconds: only against one that hangs.
const HANG: Duration = Duration::from_secs(60);
/// How long a member must be silent before the others call it dead, unless a test sets more. With much less, a busy
/// machine would be taken for that.
const NODE_TIMEOUT_MS: &str = "2000";
/// What decides how soon members hear of each other: after half of that they ask whoever said nothing.
const TIMEOUT: &str = "cluster-node-timeout";

/// A cluster that ends with this value.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    primaries: usize,
    settings: Vec<String>,
    dir: TempDir,
}

#[derive(Debug)]
struct Member {
    ports: Ports,
    process: Child,
}

impl Cluster {
    /// Three primaries, each with a replica.
    pub(crate) fn start() -> Self {
        Self::of(3, 3, &[])
    }

    /// So many primaries, and so many replicas of the first of them, with more settings, as on the command line. In them,
    /// `TLS_PORT` is a port of each member's own.
    pub(crate) fn of(primaries: usize, replicas: usize, settings: &[&str]) -> Self {
        let settings: Vec<_> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        loop {
            let dir = tempfile::tempdir().expect("a temporary directory can be made");
            let launched = free_ports(primaries + replicas)
                .into_iter()
                .map(|ports| Member { ports, process: launch(dir.path(), ports, &settings) });
            let members = launched.collect();
            let mut cluster = Self { members, primaries, settings: settings.clone(), dir };
            if cluster.all_answer() {
                cluster.meet();
                return cluster;
            }
        }
    }

    /// Waits until all answer. Not so where another test was faster to take the port of one, and its server answers.
    fn all_answer(&mut self) -> bool {
        self.members.iter_mut().all(|member| {
            let own = format!("process_id:{}\r", member.process.id());
            loop {
                match try_ask(member.ports.plain, &["INFO", "server"]) {
                    Ok(info) => return info.contains(&own),
                    Err(_) if member.process.try_wait().expect("it is this process' child").is_some() => return false,
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        })
    }

    /// Makes one cluster of the members.
    fn meet(&self) {
        let all = self.members.len();
        let timeouts: Vec<_> = (0..all).map(|at| self.setting(at, TIMEOUT)).collect();
        for at in 0..all {
            self.set(at, TIMEOUT, NODE_TIMEOUT_MS);
            assert_eq!(self.ask(at, &format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1)), "OK");
        }
        for at in 0..self.primaries {
            let (from, to) = (at * SLOTS / self.primaries, (at + 1) * SLOTS / self.primaries - 1);
            assert_eq!(self.ask(at, &format!("CLUSTER ADDSLOTSRANGE {from} {to}")), "OK");
        }
        // Each meets all. By hearsay they would get to know each other too, but later.
        for at in 1..all {
            for other in 0..at {
                let (port, bus) = (self.members_port(other), self.members[other].ports.bus);
                assert_eq!(self.ask(at, &format!("CLUSTER MEET 127.0.0.1 {port} {bus}")), "OK");
            }
        }
        let knows_all = |at| {
            let nodes = self.ask(at, "CLUSTER NODES");
            nodes.lines().count() == all && !nodes.contains("handshake") && !nodes.contains("noaddr")
        };
        await_or("every member knows all", || (0..all).all(knows_all), || self.nodes());
        for at in self.primaries..all {
            let primary = self.id(at - self.primaries);
            assert_eq!(self.ask(at, &format!("CLUSTER REPLICATE {primary}")), "OK");
        }
        self.await_whole();
        timeouts.iter().enumerate().for_each(|(at, timeout)| self.set(at, TIMEOUT, timeout));
    }

    fn setting(&self, at: usize, name: &str) -> String {
        let answer = self.ask(at, &format!("CONFIG GET {name}"));
        answer.lines().last().expect("it is a setting").to_owned()
    }

    fn set(&self, at: usize, name: &str, value: &str) {
        assert_eq!(self.ask(at, &format!("CONFIG SET {name} {value}")), "OK");
    }

    /// Waits until every member knows who serves each slot, reaches all others and thinks that they work, and every
    /// replica has what its primary has.
    ///
    /// That members know each other is not enough, and `cluster_state:ok` is said without regard to slots: who has
    /// met another hears of its slots only later, after seconds on a busy machine.
    pub(crate) fn await_whole(&self) {
        let all = self.members.len();
        let is_ready = |at| {
            let info = self.ask(at, "INFO replication");
            (info.contains("role:master") || info.contains("master_link_status:up"))
                && self.ask(at, "CLUSTER INFO").contains("cluster_state:ok")
        };
        let is_whole = || {
            let mut views = (0..all).map(|at| View::read(&self.ask(at, "CLUSTER NODES")));
            let first = views.next().expect("it has members");
            first.is_whole(all, all - self.primaries, SLOTS)
                && views.all(|view| view == first)
                && (0..all).all(is_ready)
        };
        await_or("the cluster is whole", is_whole, || self.nodes());
    }

    /// What each member knows of all, for whoever reads why a test failed.
    pub(crate) fn nodes(&self) -> String {
        let nodes = |member: &Member| {
            let port = member.ports.plain;
            let nodes = try_ask(port, &["CLUSTER", "NODES"]).unwrap_or_else(|error| error.to_string());
            format!("CLUSTER NODES at {port}:\n{nodes}\n")
        };
        self.members.iter().map(nodes).collect()
    }

    /// The URL that names all members.
    pub(crate) fn url(&self) -> String {
        let members: Vec<_> = self.members.iter().map(|member| format!("127.0.0.1:{}", member.ports.plain)).collect();
        format!("redis+cluster://{}", members.join(","))
    }

    pub(crate) fn port(&self, at: usize) -> u16 {
        self.members[at].ports.plain
    }

    pub(crate) fn tls_port(&self, at: usize) -> u16 {
        self.members[at].ports.tls
    }

    /// The slot of a queue.
    pub(crate) fn slot(&self, queue: &str) -> u16 {
        let alive = self.alive();
        self.ask(alive, &format!("CLUSTER KEYSLOT {{actor:{queue}}}")).parse().expect("a slot")
    }

    /// Which member serves a slot, as the first that lives knows.
    pub(crate) fn serves(&self, slot: u16) -> Option<usize> {
        self.serves_for(self.alive(), slot)
    }

    /// The same, as one member knows.
    pub(crate) fn serves_for(&self, asked: usize, slot: u16) -> Option<usize> {
        let nodes = self.ask(asked, "CLUSTER NODES");
        let serves = |range: &str| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            matches!((from.parse::<u16>(), to.parse::<u16>()), (Ok(from), Ok(to)) if (from..=to).contains(&slot))
        };
        let node = nodes.lines().find(|node| node.split(' ').skip(8).any(serves))?;
        let port = node.split(' ').nth(1)?.split('@').next()?.rsplit(':').next()?.parse::<u16>().ok()?;
        self.members.iter().position(|member| member.ports.plain == port)
    }

    /// Which member serves a queue.
    pub(crate) fn primary_of(&self, queue: &str) -> usize {
        self.serves(self.slot(queue)).expect("somebody serves it")
    }

    /// So many names of queues that this member serves.
    pub(crate) fn queues_of(&self, at: usize, count: usize) -> Vec<String> {
        let names = (0..).map(|number| format!("q{number}"));
        names.filter(|name| self.primary_of(name) == at).take(count).collect()
    }

    /// Runs one command where the slot of its first key is that has a hash tag.
    pub(crate) fn ask_by_key(&self, words: &[&str]) -> String {
        let alive = self.alive();
        let key = words.iter().find(|word| word.starts_with('{')).expect("a command of a queue's keys");
        let slot = self.ask(alive, &format!("CLUSTER KEYSLOT {key}")).parse().expect("a slot");
        self.ask_words(self.serves(slot).expect("somebody serves it"), words)
    }

    /// Runs one command of a queue, where its slot is.
    pub(crate) fn run(&self, queue: &str, command: &str) -> String {
        self.ask(self.primary_of(queue), command)
    }

    /// Runs one command at a member. A refusal begins with `-`; the parts of an array are lines.
    pub(crate) fn ask(&self, at: usize, command: &str) -> String {
        self.ask_words(at, &command.split(' ').collect::<Vec<_>>())
    }

    pub(crate) fn ask_words(&self, at: usize, words: &[&str]) -> String {
        let port = self.members[at].ports.plain;
        try_ask(port, words).unwrap_or_else(|error| panic!("{words:?} at {port}: {error}"))
    }

    /// The members that serve slots.
    pub(crate) fn serving(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.ask(*at, "ROLE").starts_with("master")).collect()
    }

    /// Moves a slot key by key, as `redis-cli --cluster reshard` does.
    pub(crate) fn migrate(&self, slot: u16, from: usize, to: usize) {
        self.begin_to_migrate(slot, from, to);
        while self.migrate_key(slot, from, to) {}
        self.assign(slot, to, &[to, from]);
    }

    pub(crate) fn begin_to_migrate(&self, slot: u16, from: usize, to: usize) {
        let (source, target) = (self.id(from), self.id(to));
        assert_eq!(self.ask(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {source}")), "OK");
        assert_eq!(self.ask(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {target}")), "OK");
    }

    /// Moves one key of a slot. Whether there was one.
    pub(crate) fn migrate_key(&self, slot: u16, from: usize, to: usize) -> bool {
        let key = self.ask(from, &format!("CLUSTER GETKEYSINSLOT {slot} 1"));
        if key.is_empty() {
            return false;
        }
        // The key may be gone by now.
        let moved = self.ask(from, &format!("MIGRATE 127.0.0.1 {} {key} 0 5000", self.members_port(to)));
        assert!(matches!(moved.as_str(), "OK" | "NOKEY"), "{moved}");
        true
    }

    /// Has these members believe that one of them serves a slot, and waits until all agree: told of the next owner too
    /// early, one may take an older claim for a newer one.
    pub(crate) fn assign(&self, slot: u16, to: usize, told: &[usize]) {
        let target = self.id(to);
        for at in told {
            assert_eq!(self.ask(*at, &format!("CLUSTER SETSLOT {slot} NODE {target}")), "OK");
        }
        let epoch = |at: usize| {
            let info = self.ask(at, "CLUSTER INFO");
            info.lines().find(|line| line.starts_with("cluster_current_epoch")).map(str::to_owned)
        };
        let agrees = |at| self.serves_for(at, slot) == Some(to) && epoch(at) == epoch(to);
        await_that("all agree on who serves the slot", || (0..self.members.len()).all(agrees));
    }

    /// Ends a member as a power cut would.
    pub(crate) fn kill(&mut self, at: usize) {
        let process = &mut self.members[at].process;
        process.kill().expect("it can be killed");
        process.wait().expect("it ends");
    }

    /// Starts a killed member where it was.
    pub(crate) fn revive(&mut self, at: usize) {
        let ports = self.members[at].ports;
        self.members[at].process = launch(self.dir.path(), ports, &self.settings);
        await_answer(ports.plain);
    }

    /// Stops a member from doing anything, with its connections open.
    pub(crate) fn freeze(&self, at: usize) {
        self.signal(at, "-STOP");
    }

    pub(crate) fn thaw(&self, at: usize) {
        self.signal(at, "-CONT");
    }

    fn signal(&self, at: usize, name: &str) {
        let id = self.members[at].process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().expect("there is a kill").success());
    }

    /// The clients of each member, but for replicas and whoever asks.
    pub(crate) fn clients(&self) -> Vec<usize> {
        let count = |at| {
            let clients = self.ask(at, "CLIENT LIST TYPE normal");
            clients.lines().filter(|client| !client.trim().is_empty() && !client.contains("cmd=client|list")).count()
        };
        (0..self.members.len()).map(count).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Where the others reach a member.
    fn members_port(&self, at: usize) -> u16 {
        let Ports { plain, tls, .. } = self.members[at].ports;
        if self.settings.iter().any(|setting| setting == "--tls-cluster") { tls } else { plain }
    }

    fn id(&self, at: usize) -> String {
        self.ask(at, "CLUSTER MYID")
    }

    fn alive(&self) -> usize {
        let lives = |at: &usize| try_ask(self.members[*at].ports.plain, &["PING"]).is_ok();
        (0..self.members.len()).find(lives).expect("some member lives")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.process.kill();
            let _ = member.process.wait();
        }
    }
}

/// What a member listens on.
fn launch(dir: &Path, ports: Ports, settings: &[String]) -> Child {
    let dir = dir.join(ports.plain.to_string());
    std::fs::create_dir_all(&dir).expect("a directory can be made");
    let mut command = Command::new("redis-server");
    // Its clock is right, even if the test's own is not.
    command.env_remove("LD_PRELOAD").env_remove("DYLD_INSERT_LIBRARIES").current_dir(dir);
    command
        .args(["--port", &ports.plain.to_string(), "--cluster-port", &ports.bus.to_string(), "--bind", "127.0.0.1"])
        .args(["--cluster-enabled", "yes", "--cluster-node-timeout", NODE_TIMEOUT_MS])
        // A slot that nobody serves is no reason to serve no other, and a replica that waited is as good as any.
        .args(["--cluster-require-full-coverage", "no", "--cluster-replica-validity-factor", "0"])
        .args(["--cluster-allow-replica-migration", "no", "--repl-diskless-sync-delay", "0"])
        .args(["--save", "", "--appendonly", "no"])
        .args(settings.iter().map(|setting| setting.replace("TLS_PORT", &ports.tls.to_string())))
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server cannot be run ({error}): install Redis 7.0 or newer"))
}

fn await_answer(port: u16) {
    await_that("the member answers", || try_ask(port, &["PING"]).is_ok_and(|answer| answer == "PONG"));
}

/// Waits for what a cluster does by itself.
pub(crate) fn await_that(what: &str, is: impl Fn() -> bool) {
    await_or(what, is, String::new);
}

/// The same, and says more where it waited in vain.
fn await_or(what: &str, is: impl Fn() -> bool, why: impl Fn() -> String) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < HANG, "in vain: {what}\n{}", why());
        // Members tell each other ten times a second.
        std::thread::sleep(Duration::from_millis(20));
    }
}
