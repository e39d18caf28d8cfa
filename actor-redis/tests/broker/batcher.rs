use std::time::Duration;

use actor_core::broker::Broker;

use crate::server::{Server, bodies, claim, message, queue, send, worker};

/// For hangs only.
const HANG: Duration = Duration::from_secs(60);

async fn send_one(broker: &actor_redis::RedisBroker, body: &str) {
    broker.enqueue(&queue(), vec![message(body)]).await.remove(0).unwrap();
}

/// How many times the server has read from a client.
fn reads(server: &Server) -> u64 {
    let stats: String = server.run("INFO stats");
    stats.lines().find_map(|line| line.strip_prefix("total_reads_processed:")).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn what_concurrent_callers_send_goes_together() {
    let server = Server::start();
    let broker = server.broker().await;
    send_one(&broker, "the connection stands").await;
    let before = reads(&server);
    let sending: Vec<_> = (0..200)
        .map(|n| {
            let broker = broker.clone();
            tokio::spawn(async move { send_one(&broker, &n.to_string()).await })
        })
        .collect();
    for sent in sending {
        sent.await.unwrap();
    }
    assert_eq!(server.run::<u64>("XLEN {actor:mail}:ready:normal"), 201);
    let reads = reads(&server) - before;
    assert!(reads < 50, "200 messages took {reads} reads");
}

#[tokio::test]
async fn a_caller_that_is_dropped_takes_no_other_message_along() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let start = |body: &'static str| {
        let broker = broker.clone();
        tokio::spawn(async move { send_one(&broker, body).await })
    };
    // The first goes by itself; the second begins a flush, and the third comes along.
    let sending = [start("alone"), start("dropped"), start("kept")];
    tokio::task::yield_now().await;
    sending[1].abort();
    let [alone, _, kept] = sending;
    alone.await.unwrap();
    kept.await.unwrap();
    let got = bodies(&claim(&broker, &consumer, 3).await);
    assert!(got.contains(&"alone".to_owned()) && got.contains(&"kept".to_owned()), "{got:?}");
}

#[tokio::test]
async fn a_runtime_that_ends_with_a_message_unsent_stops_nobody_else() {
    let server = Server::start();
    let broker = server.broker().await;
    send(&broker, vec![message("the connection stands")]).await;
    server.freeze();
    let alone = tokio::spawn({
        let broker = broker.clone();
        async move { send_one(&broker, "alone").await }
    });
    tokio::task::yield_now().await;
    let other = broker.clone();
    let ended = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move {
            tokio::spawn(async move { send_one(&other, "in a runtime that ends").await });
            tokio::task::yield_now().await;
        });
    });
    ended.join().unwrap();
    let after = tokio::spawn({
        let broker = broker.clone();
        async move { send_one(&broker, "after it").await }
    });
    tokio::task::yield_now().await;
    server.thaw();
    alone.await.unwrap();
    tokio::time::timeout(HANG, after).await.expect("nobody began another flush").unwrap();
}
