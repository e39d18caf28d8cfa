use std::io::Write;
use std::sync::{Arc, Mutex};

use actor_core::Broker;
use tracing_subscriber::fmt::MakeWriter;

use crate::server::{Server, message, queue};

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn count(&self, words: &str) -> usize {
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
async fn log_of_two_connections(args: &[&str]) -> Log {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let server = Server::with(args);
    let broker = server.broker().await;
    server.cut_all();
    while broker.enqueue(&queue(), vec![message("a")]).await[0].is_err() {}
    log
}

#[tokio::test]
async fn a_server_that_may_evict_messages_is_warned_of_once() {
    let log = log_of_two_connections(&["--maxmemory-policy", "allkeys-lru", "--appendonly", "yes"]).await;
    assert_eq!(log.count("WARN"), 1);
    assert_eq!(log.count("maxmemory-policy noeviction"), 1);
}

#[tokio::test]
async fn a_server_that_keeps_nothing_is_warned_of_once() {
    let log = log_of_two_connections(&[]).await;
    assert_eq!(log.count("WARN"), 1);
    assert_eq!(log.count("appendonly yes"), 1);
}

#[tokio::test]
async fn a_server_with_snapshots_is_not_warned_of() {
    assert_eq!(log_of_two_connections(&["--save", "3600 1"]).await.count("WARN"), 0);
}
