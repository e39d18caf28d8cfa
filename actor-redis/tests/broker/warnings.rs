use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actor_core::Broker;
use actor_core::delivery::{Wait, WorkerId};
use actor_redis::RedisBroker;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::fake::{introduced, serve};
use crate::server::{LEASE, Server, claim, message, queue, worker};

/// What was logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs here until the guard is dropped.
    pub(crate) fn here() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn count(&self, words: &str) -> usize {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().matches(words).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Connects, loses the connection, and connects again.
async fn log_of_two_connections(server: &Server) -> Log {
    let (log, _here) = Log::here();
    let broker = server.broker().await;
    server.cut_all();
    while broker.enqueue(&queue(), vec![message("a")]).await[0].is_err() {}
    log
}

#[tokio::test]
async fn a_server_that_may_evict_messages_is_warned_of_once() {
    let server = Server::alone(&["--maxmemory-policy", "allkeys-lru", "--appendonly", "yes"]);
    let log = log_of_two_connections(&server).await;
    assert_eq!(log.count("WARN"), 1);
    assert_eq!(log.count("maxmemory-policy noeviction"), 1);
}

#[tokio::test]
async fn a_server_that_keeps_nothing_is_warned_of_once() {
    let log = log_of_two_connections(&Server::alone(&[])).await;
    assert_eq!(log.count("WARN"), 1);
    assert_eq!(log.count("appendonly yes"), 1);
}

#[tokio::test]
async fn a_part_of_a_cluster_is_warned_of_once() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let parts = [
        serve(|command| introduced(command, "redis_version:7.0.15\r\nredis_mode:cluster")).await,
        serve(|command| introduced(command, "redis_version:7.2.4\r\nserver_mode:cluster")).await,
    ];
    for part in parts {
        let broker = RedisBroker::connect(&part).await.unwrap();
        // A second connection.
        assert!(broker.renew(&WorkerId::new("worker"), &[queue()], LEASE).await.is_err());
    }
    assert_eq!(log.count("member of a cluster"), 2);
}

#[tokio::test]
async fn a_server_that_will_not_close_a_broken_connection_is_warned_of_once() {
    let server = Server::alone(&["--appendonly", "yes"]);
    let _: String = server.run("ACL SETUSER worker on >secret ~* +@all -client +client|id +client|unblock");
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let url = format!("redis+unix://{}?user=worker&pass=secret", server.socket());
    let broker = RedisBroker::connect(&url).await.unwrap();
    for _ in 0..3 {
        server.cut_all();
        while broker.enqueue(&queue(), vec![message("a")]).await[0].is_err() {}
    }
    assert_eq!((log.count("WARN"), log.count("CLIENT KILL is not allowed")), (1, 1));
}

#[tokio::test]
async fn the_most_talkative_log_has_no_password() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(log.clone()).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let mut server = Server::alone(&["--requirepass", "hunter2"]);
    let [right, wrong] = ["hunter2", "not-hunter2"].map(|password| format!("{}?pass={password}", server.url()));
    let _ = RedisBroker::connect(&wrong).await.unwrap_err();
    let broker = RedisBroker::connect(&right).await.unwrap();
    tracing::info!(?broker, "this one is heard");
    let consumer = worker(&broker).await;
    claim(&broker, &consumer, 1).await;
    server.kill();
    while log.count("redis is away") == 0 {
        assert!(broker.enqueue(&queue(), vec![message("a")]).await[0].is_err());
    }
    server.start_again();
    while broker.enqueue(&queue(), vec![message("a")]).await[0].is_err() {}
    assert_eq!((log.count("this one is heard"), log.count("connected again")), (1, 1));
    assert_eq!(log.count("hunter2"), 0);
}

#[tokio::test]
async fn of_a_server_with_snapshots_alone_it_is_said_what_a_crash_loses() {
    let server = Server::alone(&[]);
    redis::cmd("CONFIG").arg("SET").arg("save").arg("3600 1").exec(&mut server.raw()).unwrap();
    let log = log_of_two_connections(&server).await;
    assert_eq!((log.count("WARN"), log.count("up to 3600 s"), log.count("appendonly yes")), (1, 1, 1));
}

#[tokio::test]
async fn a_server_that_is_set_as_the_documentation_says_is_not_warned_of() {
    let server = Server::alone(&["--appendonly", "yes"]);
    assert_eq!(log_of_two_connections(&server).await.count("WARN"), 0);
}

#[tokio::test]
async fn an_outage_is_logged_once_and_so_is_its_end() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let mut server = Server::with(&["--appendonly", "yes"]);
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    claim(&broker, &consumer, 1).await;
    server.kill();
    // Three connections, each tried more than once.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        assert!(broker.enqueue(&queue(), vec![message("a")]).await[0].is_err());
        assert!(broker.renew(&consumer.worker, &[queue()], LEASE).await.is_err());
        assert!(broker.claim(&consumer, 1, &Wait::new(Duration::ZERO)).await.is_err());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((log.count("redis is away"), log.count("connected again")), (1, 0));
    server.start_again();
    while broker.claim(&consumer, 1, &Wait::new(Duration::ZERO)).await.is_err() {
        tokio::task::yield_now().await;
    }
    // The heartbeat's connection is still away.
    assert_eq!((log.count("redis is away"), log.count("connected again")), (1, 0));
    while broker.renew(&consumer.worker, &[queue()], LEASE).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!((log.count("redis is away"), log.count("connected again")), (1, 1));
}
