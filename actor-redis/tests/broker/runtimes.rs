use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_core::delivery::Wait;
use actor_core::settlement::{Outcome, Settled};
use actor_redis::RedisBroker;
use tokio::runtime::{Builder, Runtime};

use crate::server::{Server, bodies, claim, message, queue, send, settle, worker};

/// Far below the 5 s that a request may take, for machines that are busy.
const QUICK: Duration = Duration::from_secs(2);
/// For hangs only.
const HANG: Duration = Duration::from_secs(10);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn send_quickly(broker: &RedisBroker, body: &str) {
    let began = Instant::now();
    tokio::time::timeout(HANG, send(broker, vec![message(body)])).await.expect("it was held up");
    assert!(began.elapsed() < QUICK, "{:?}", began.elapsed());
}

/// As many at once, each in a task of its own.
async fn send_at_once(broker: &RedisBroker, count: usize) {
    let one = |_| {
        let broker = broker.clone();
        tokio::spawn(async move { send_quickly(&broker, "at once").await })
    };
    for sent in (0..count).map(one).collect::<Vec<_>>() {
        sent.await.unwrap();
    }
}

#[test]
fn runtimes_that_send_in_turns_all_send_quickly() {
    let server = Server::start();
    let runtimes = [runtime(), runtime(), runtime()];
    let broker = runtimes[0].block_on(server.broker());
    for _ in 0..4 {
        for runtime in &runtimes {
            runtime.block_on(send_quickly(&broker, "in turns"));
            runtime.block_on(send_at_once(&broker, 4));
        }
    }
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 4 * 3 * 5);
    let made: Vec<_> = connections(&server);
    assert_eq!(made.len(), 3, "one for each runtime: {made:#?}");
}

#[test]
fn a_message_passes_through_a_runtime_for_each_step() {
    let server = Server::start();
    let runtimes: Vec<_> = (0..4).map(|_| runtime()).collect();
    let broker = runtimes[0].block_on(server.broker());
    let consumer = runtimes[0].block_on(worker(&broker));
    for _ in 0..3 {
        let began = Instant::now();
        runtimes[1].block_on(send(&broker, vec![message("a")]));
        let mut delivered = runtimes[2].block_on(claim(&broker, &consumer, 1));
        assert_eq!(bodies(&delivered), ["a"]);
        let settled = settle(&broker, &consumer, delivered.remove(0).receipt, Outcome::Done.into());
        assert_eq!(runtimes[3].block_on(settled), Settled::Applied);
        assert!(began.elapsed() < 2 * QUICK, "{:?}", began.elapsed());
    }
}

/// A runtime that stands still until this is dropped, after `first` was begun in it.
struct Blocked {
    release: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Blocked {
    fn after<F: Future<Output = ()>>(first: impl FnOnce() -> F + Send + 'static) -> Self {
        let (release, released) = mpsc::channel::<()>();
        let (stands, stood) = mpsc::channel();
        let blocked = thread::spawn(move || {
            runtime().block_on(async move {
                first().await;
                tokio::spawn(async move {
                    stands.send(()).unwrap();
                    let _ = released.recv();
                });
                tokio::task::yield_now().await;
            });
        });
        stood.recv().unwrap();
        Self { release: Some(release), thread: Some(blocked) }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        drop(self.release.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn a_runtime_that_is_blocked_holds_up_no_other() {
    let server = Server::start();
    let other = runtime();
    let broker = other.block_on(async { RedisBroker::builder(&server.url()).unwrap().connect_lazy().unwrap() });
    let theirs = broker.clone();
    // The connection that is made first is the blocked runtime's.
    let _blocked = Blocked::after(move || async move { send_quickly(&theirs, "before").await });
    for _ in 0..3 {
        other.block_on(send_quickly(&broker, "meanwhile"));
        other.block_on(send_at_once(&broker, 4));
    }
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 1 + 3 * 5);
}

#[test]
fn a_flush_that_is_blocked_holds_up_no_other() {
    let server = Server::start();
    let other = runtime();
    let broker = other.block_on(server.broker());
    let theirs = broker.clone();
    // The first goes by itself, the second begins a flush, which stands behind what blocks.
    let _blocked = Blocked::after(move || async move {
        for _ in 0..3 {
            let broker = theirs.clone();
            tokio::spawn(async move { send(&broker, vec![message("blocked")]).await });
        }
    });
    other.block_on(send_at_once(&broker, 4));
    other.block_on(send_quickly(&broker, "meanwhile"));
    assert!(server.run::<i64>("XLEN {actor:mail}:ready:normal") >= 5);
}

#[test]
fn a_thread_for_each_core_sends_at_the_same_time() {
    const THREADS: usize = 4;
    let server = Server::start();
    let broker = runtime().block_on(server.broker());
    let start = Arc::new(Barrier::new(THREADS));
    let send_all = |_| {
        let (broker, start) = (broker.clone(), Arc::clone(&start));
        thread::spawn(move || {
            let runtime = runtime();
            start.wait();
            for _ in 0..20 {
                runtime.block_on(send_at_once(&broker, 10));
            }
        })
    };
    for sent in (0..THREADS).map(send_all).collect::<Vec<_>>() {
        sent.join().unwrap();
    }
    assert_eq!(server.run::<usize>("XLEN {actor:mail}:ready:normal"), THREADS * 200);
}

#[test]
fn a_thousand_short_runtimes_leave_nothing_behind() {
    let server = Server::start();
    let broker = runtime().block_on(server.broker());
    for _ in 0..1_000 {
        runtime().block_on(send_quickly(&broker, "short"));
    }
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 1_000);
    let left = connections(&server);
    assert!(left.len() <= 1, "{left:#?}");
    // What it counts as its own is told where the server is full.
    let _held = server.raw();
    let _: String = server.run("CONFIG SET maxclients 1");
    let error = runtime().block_on(broker.enqueue(&queue(), vec![message("a")])).remove(0).unwrap_err();
    assert!(error.to_string().contains("1 connection so far"), "{error}");
}

#[test]
fn what_a_runtime_left_behind_when_it_ended_cannot_happen_later() {
    let server = Server::start();
    let broker = runtime().block_on(server.broker());
    let consumer = runtime().block_on(worker(&broker));
    assert!(runtime().block_on(claim(&broker, &consumer, 1)).is_empty());
    // A read that waits, and a runtime that ends under it.
    let ended = runtime();
    ended.spawn({
        let (broker, consumer) = (broker.clone(), consumer.clone());
        async move { broker.claim(&consumer, 1, &Wait::new(Duration::from_secs(3_600))).await.map(drop) }
    });
    ended.block_on(server.until_a_read_waits());
    drop(ended);
    let runtime = runtime();
    assert!(runtime.block_on(claim(&broker, &consumer, 1)).is_empty());
    runtime.block_on(send(&broker, vec![message("a")]));
    assert_eq!(bodies(&runtime.block_on(claim(&broker, &consumer, 1))), ["a"]);
}

#[test]
fn what_the_server_closed_while_nobody_drove_the_runtime_is_known_before_a_send() {
    let server = Server::start();
    let runtime = runtime();
    let broker = runtime.block_on(server.broker());
    for _ in 0..2 {
        runtime.block_on(send_quickly(&broker, "a"));
        server.cut_all();
        thread::sleep(Duration::from_millis(1_100)); // Time itself makes it quiet.
    }
    runtime.block_on(send_quickly(&broker, "a"));
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 3);
}

/// The connections that the server has, but for the one that asks.
fn connections(server: &Server) -> Vec<String> {
    let clients: String = server.run("CLIENT LIST");
    clients.lines().filter(|client| !client.contains("cmd=client|list")).map(str::to_owned).collect()
}
