//! A `redis-server` of a test's own, and the worker that a test plays.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use actor_core::broker::{Broker, Enqueue};
use actor_core::delivery::{Consumer, Delivery, Receipt, Wait, WorkerId};
use actor_core::settlement::{Outcome, Settled, Settlement};
use actor_core::{MessageId, Priority, QueueName};
use actor_redis::RedisBroker;
use redis::{Cmd, FromRedisValue};
use tempfile::TempDir;

/// The lease of the workers in these tests. None ends by itself: a test that wants it ended writes so.
pub(crate) const LEASE: Duration = Duration::from_secs(600);

/// A server on a unix socket, with nothing in it.
pub(crate) struct Server {
    child: Child,
    args: Vec<String>,
    dir: TempDir,
    is_cluster: bool,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With more settings, as on `redis-server`'s command line.
    ///
    /// Where the variable `ACTOR_TEST_CLUSTER` is set, it is a cluster of one, which refuses whatever touches two hash
    /// slots.
    pub(crate) fn with(args: &[&str]) -> Self {
        Self::launched(args, std::env::var_os("ACTOR_TEST_CLUSTER").is_some())
    }

    /// With settings that no cluster has, or that show what is said of one that is none.
    pub(crate) fn alone(args: &[&str]) -> Self {
        Self::launched(args, false)
    }

    fn launched(args: &[&str], is_cluster: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let child = launch(&dir, &args, is_cluster, "eady to accept connections");
        Self { child, args, dir, is_cluster }
    }

    /// On a port too, with the settings that go with it.
    pub(crate) fn on_port(settings: impl Fn(&str) -> Vec<String>) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings(&free.to_string());
        Self::with(&settings.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The port that it was given last.
    pub(crate) fn port(&self) -> &str {
        self.args.last().unwrap()
    }

    pub(crate) fn socket(&self) -> String {
        self.dir.path().join("s").display().to_string()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket())
    }

    pub(crate) async fn broker(&self) -> RedisBroker {
        RedisBroker::connect(&self.url()).await.unwrap()
    }

    /// A connection of the test's own.
    pub(crate) fn raw(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Runs one command, written as for `redis-cli`.
    pub(crate) fn run<T: FromRedisValue>(&self, command: &str) -> T {
        words(command).query(&mut self.raw()).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Ends the server as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was, with what it had saved.
    pub(crate) fn start_again(&mut self) {
        self.child = launch(&self.dir, &self.args, self.is_cluster, "eady to accept connections");
    }

    /// Starts it again with other settings, which win over those that it had.
    pub(crate) fn start_again_with(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self.start_again();
    }

    /// Starts it again, and does not wait until it has loaded what it had saved.
    pub(crate) fn start_loading(&mut self) {
        self.child = launch(&self.dir, &self.args, self.is_cluster, "Loading RDB");
    }

    /// Stops it from doing anything, with its connections open.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Cuts every connection.
    pub(crate) fn cut_all(&self) {
        let _: i64 = self.run("CLIENT KILL TYPE normal SKIPME yes");
    }

    /// Waits until a client waits in a read.
    pub(crate) async fn until_a_read_waits(&self) {
        self.until_reads_wait(|count| count > 0).await;
    }

    pub(crate) async fn until_no_read_waits(&self) {
        self.until_reads_wait(|count| count == 0).await;
    }

    pub(crate) async fn until_two_reads_wait(&self) {
        self.until_reads_wait(|count| count == 2).await;
    }

    /// Waits until a worker was woken, and has checked what for.
    pub(crate) async fn until_woken(&self) {
        while self.is_wake_unread() || self.holds_a_wake() {
            tokio::task::yield_now().await;
        }
    }

    /// Whether nobody was woken yet by what was written last to wake somebody.
    pub(crate) fn is_wake_unread(&self) -> bool {
        let [last]: [(String, redis::Value); 1] = self.run("XREVRANGE {actor:mail}:wake + - COUNT 1");
        let [group]: [HashMap<String, redis::Value>; 1] = self.run("XINFO GROUPS {actor:mail}:wake");
        group["last-delivered-id"] != redis::Value::BulkString(last.0.into())
    }

    /// Whether somebody was woken, and has not checked what for.
    pub(crate) fn holds_a_wake(&self) -> bool {
        let pending: (i64, redis::Value, redis::Value, redis::Value) = self.run("XPENDING {actor:mail}:wake workers");
        pending.0 > 0
    }

    /// Holds back whatever writes, as a server does that hands over to its replica.
    pub(crate) fn pause_writers(&self) {
        let _: String = self.run("CLIENT PAUSE 60000 WRITE");
    }

    pub(crate) fn resume_writers(&self) {
        let _: String = self.run("CLIENT UNPAUSE");
    }

    /// Waits until so many clients are held back.
    pub(crate) async fn until_held_back(&self, clients: usize) {
        self.until_clients(|client| client.contains("flags=b"), |count| count == clients).await;
    }

    /// Waits until a client waits for replicas.
    pub(crate) async fn until_a_confirmation_waits(&self) {
        let waits = |client: &str| client.contains("flags=b") && client.contains("cmd=wait");
        self.until_clients(waits, |count| count > 0).await;
    }

    async fn until_reads_wait(&self, are_wanted: impl Fn(usize) -> bool) {
        let waits = |client: &str| client.contains("flags=b") && client.contains("cmd=xreadgroup");
        self.until_clients(waits, are_wanted).await;
    }

    async fn until_clients(&self, fits: impl Fn(&str) -> bool, are_wanted: impl Fn(usize) -> bool) {
        let mut raw = self.raw();
        loop {
            let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut raw).unwrap();
            if are_wanted(clients.lines().filter(|client| fits(client)).count()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command, written as for `redis-cli`.
pub(crate) fn words(command: &str) -> Cmd {
    let mut words = Cmd::new();
    command.split(' ').for_each(|word| _ = words.arg(word));
    words
}

/// Has a cluster of one serve every slot, and waits until it does, which takes two seconds.
fn serve_all_slots(dir: &TempDir) {
    let mut raw = redis::Client::open(format!("redis+unix://{}", dir.path().join("s").display()))
        .and_then(|client| client.get_connection())
        .unwrap();
    // Refused where it was started again and has them.
    let _ = redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).exec(&mut raw);
    while !redis::cmd("CLUSTER").arg("INFO").query::<String>(&mut raw).unwrap().contains("cluster_state:ok") {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a server, and waits until its log says `until`.
fn launch(dir: &TempDir, args: &[String], is_cluster: bool, until: &str) -> Child {
    let mut command = Command::new("redis-server");
    command.current_dir(dir.path()).args(["--port", "0", "--unixsocket", "s", "--save", "", "--appendonly", "no"]);
    if is_cluster {
        let free = crate::cluster::members::ports::free_port();
        command.args(["--cluster-enabled", "yes", "--cluster-port", &free.to_string()]);
    }
    let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
        panic!("redis-server cannot be run ({error}): install Redis 6.2 or newer (apt, dnf or brew install redis)")
    });
    let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    loop {
        let line = log.next().unwrap_or_else(|| panic!("redis-server ended: {said:#?}")).unwrap();
        let is_up = line.contains(until);
        said.push(line);
        if is_up {
            break;
        }
    }
    // So that it never waits for someone to read its log.
    std::thread::spawn(move || log.for_each(drop));
    if is_cluster {
        serve_all_slots(dir);
    }
    child
}

pub(crate) fn queue() -> QueueName {
    "mail".parse().unwrap()
}

/// A worker, registered.
pub(crate) async fn worker(broker: &RedisBroker) -> Consumer {
    let worker = WorkerId::new("worker");
    broker.register(&worker, &[queue()], LEASE).await.unwrap();
    Consumer::new(worker, queue())
}

pub(crate) fn message(body: &str) -> Enqueue {
    Enqueue::new(MessageId::new(), Priority::Normal, body.to_owned().into())
}

pub(crate) fn message_of(priority: Priority, body: &str) -> Enqueue {
    Enqueue::new(MessageId::new(), priority, body.to_owned().into())
}

pub(crate) async fn send(broker: &RedisBroker, messages: Vec<Enqueue>) {
    for answer in broker.enqueue(&queue(), messages).await {
        answer.unwrap();
    }
}

/// Claims without waiting.
pub(crate) async fn claim(broker: &RedisBroker, consumer: &Consumer, max: usize) -> Vec<Delivery> {
    let mut delivered = Vec::new();
    // One claim may end with a priority, where a lower one has more.
    while delivered.len() < max {
        let more = broker.claim(consumer, max - delivered.len(), &Wait::new(Duration::ZERO)).await.unwrap();
        if more.is_empty() {
            break;
        }
        delivered.extend(more);
    }
    delivered
}

/// Claims, and waits for long: only against a test that hangs.
pub(crate) async fn wait_and_claim(broker: &RedisBroker, consumer: &Consumer) -> Vec<Delivery> {
    broker.claim(consumer, 10, &Wait::new(Duration::from_secs(30))).await.unwrap()
}

pub(crate) fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8(delivery.body.to_vec()).unwrap()).collect()
}

pub(crate) async fn settle(
    broker: &RedisBroker,
    consumer: &Consumer,
    receipt: Receipt,
    settlement: Settlement,
) -> Settled {
    broker.settle(consumer, &[(receipt, settlement)]).await.remove(0).unwrap()
}

pub(crate) fn retry(body: &str, after: Duration) -> Settlement {
    Outcome::Reschedule { id: MessageId::new(), priority: Priority::Normal, body: body.to_owned().into(), after }.into()
}

pub(crate) fn park(body: &str, ability: &str) -> Settlement {
    let (body, ability) = (body.to_owned().into(), ability.to_owned());
    Outcome::Park { id: MessageId::new(), priority: Priority::Normal, body, after: LEASE, ability }.into()
}

pub(crate) fn dead_letter(body: &str, reason: &str) -> Settlement {
    Outcome::DeadLetter { id: Some(MessageId::new()), body: body.to_owned().into(), reason: reason.to_owned() }.into()
}

pub(crate) fn release(body: &str) -> Settlement {
    Outcome::Release { body: body.to_owned().into() }.into()
}

/// Ends a worker's lease, as its death would.
pub(crate) fn end_lease(server: &Server, consumer: &Consumer) {
    let _: i64 = server.run(&format!("ZADD {{actor:mail}}:workers XX 1 {}", consumer.worker));
}
