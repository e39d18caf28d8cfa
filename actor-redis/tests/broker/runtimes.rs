use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_redis::RedisBroker;
use tokio::runtime::{Builder, Runtime};

use crate::server::{Server, bodies, claim, message, queue, worker};

/// Less than what an answer may take that never comes.
const SOON: Duration = Duration::from_secs(2);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn send_one(broker: &RedisBroker, body: &str) {
    let began = Instant::now();
    broker.enqueue(&queue(), vec![message(body)]).await.remove(0).unwrap();
    assert!(began.elapsed() < SOON, "{body} took {:?}", began.elapsed());
}

/// How many clients the server has, its reader not counted.
fn clients(server: &Server) -> usize {
    server.run::<String>("CLIENT LIST").lines().count() - 1
}

#[test]
fn two_runtimes_that_are_used_in_turns_send_alike() {
    let server = Server::start();
    let (one, other) = (runtime(), runtime());
    let broker = one.block_on(server.broker());
    for round in 0..4 {
        one.block_on(send_one(&broker, &format!("one {round}")));
        other.block_on(send_one(&broker, &format!("other {round}")));
    }
    assert_eq!(server.run::<u64>("XLEN {actor:mail}:ready:normal"), 8);
    assert_eq!(clients(&server), 2, "each has a connection of its own, and keeps it");
}

#[test]
fn a_runtime_that_stands_still_holds_up_no_other() {
    let server = Server::start();
    let (one, other) = (runtime(), runtime());
    let broker = one.block_on(server.broker());
    let (blocked, is_blocked) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let blocks = thread::spawn({
        let broker = broker.clone();
        move || {
            one.block_on(async move {
                send_one(&broker, "before").await;
                // It has begun to send with others, and stands still before they are sent.
                let sending: Vec<_> = (0..10)
                    .map(|n| {
                        let broker = broker.clone();
                        tokio::spawn(async move { broker.enqueue(&queue(), vec![message(&n.to_string())]).await })
                    })
                    .collect();
                tokio::task::yield_now().await;
                blocked.send(()).unwrap();
                goes_on.recv().unwrap();
                for sent in sending {
                    sent.await.unwrap().remove(0).unwrap();
                }
            });
        }
    });
    is_blocked.recv().unwrap();
    other.block_on(async {
        let sending: Vec<_> = (0..10)
            .map(|n| {
                let broker = broker.clone();
                tokio::spawn(async move { send_one(&broker, &format!("other {n}")).await })
            })
            .collect();
        for sent in sending {
            sent.await.unwrap();
        }
    });
    go_on.send(()).unwrap();
    blocks.join().unwrap();
    assert_eq!(server.run::<u64>("XLEN {actor:mail}:ready:normal"), 21);
}

#[test]
fn a_thread_for_each_core_sends_through_one_broker() {
    let server = Server::start();
    let broker = runtime().block_on(server.broker());
    thread::scope(|scope| {
        for core in 0..4 {
            let broker = &broker;
            scope.spawn(move || {
                runtime().block_on(async {
                    for n in 0..50 {
                        let [a, b, c] = ["a", "b", "c"].map(|name| format!("{core} {n} {name}"));
                        tokio::join!(send_one(broker, &a), send_one(broker, &b), send_one(broker, &c));
                    }
                });
            });
        }
    });
    assert_eq!(server.run::<u64>("XLEN {actor:mail}:ready:normal"), 600);
}

#[test]
fn runtimes_that_ended_leave_no_connection_behind() {
    let server = Server::start();
    let broker = runtime().block_on(server.broker());
    for n in 0..100 {
        runtime().block_on(send_one(&broker, &n.to_string()));
    }
    // The last one's may be on its way out.
    let began = Instant::now();
    while clients(&server) > 1 {
        assert!(began.elapsed() < Duration::from_secs(20), "there are {}", clients(&server));
        thread::yield_now();
    }
    assert_eq!(server.run::<u64>("XLEN {actor:mail}:ready:normal"), 100);
}

#[test]
fn a_program_that_takes_all_threads_for_blocking_work_keeps_no_connection_from_being_made() {
    let server = Server::listening();
    let runtime = Builder::new_multi_thread().worker_threads(2).max_blocking_threads(1).enable_all().build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    runtime.block_on(async {
        let url = format!("redis://localhost:{}", server.port());
        let broker = RedisBroker::connect(&url).await.unwrap();
        let consumer = worker(&broker).await;
        let taken = tokio::task::spawn_blocking(move || released.recv());
        server.cut_all();
        let began = Instant::now();
        while broker.enqueue(&queue(), vec![message("a")]).await.remove(0).is_err() {
            assert!(began.elapsed() < SOON, "no connection is made");
        }
        assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["a"]);
        assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
        release.send(()).unwrap();
        taken.await.unwrap().unwrap();
    });
}
