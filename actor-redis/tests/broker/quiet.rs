use std::time::{Duration, Instant};

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_core::settlement::{Settled, Settlement};
use actor_redis::RedisBroker;

use crate::proxy::Proxy;
use crate::server::{Server, bodies, claim, message, queue, settle, worker};

/// How soon the wire forgets a connection, and a pause that is longer.
const FORGOTTEN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(3_500);

/// Less than what an answer may take that never comes.
const SOON: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_on_a_connection_that_the_network_forgot_is_stored_once_and_nothing_is_unknown() {
    let server = Server::start();
    let proxy = Proxy::before(&server).await;
    let broker = RedisBroker::connect(&proxy.url()).await.unwrap();
    proxy.forget_after(FORGOTTEN);
    let mut sent = Vec::new();
    for round in 0..3 {
        // Nothing tells that a connection was forgotten: it is, after this time.
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        let names: Vec<_> = (0..=round * 2).map(|n| format!("{round}.{n}")).collect();
        let messages = names.iter().map(|name| message(name)).collect();
        for answer in broker.enqueue(&queue(), messages).await {
            answer.unwrap();
        }
        assert!(began.elapsed() < SOON, "round {round} took {:?}", began.elapsed());
        sent.extend(names);
    }
    let reader = server.broker().await;
    assert_eq!(bodies(&claim(&reader, &worker(&reader).await, 100).await), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connections_the_network_forgot_settles_and_claims_all_the_same() {
    let server = Server::start();
    let proxy = Proxy::before(&server).await;
    let broker = RedisBroker::connect(&proxy.url()).await.unwrap();
    let consumer = worker(&broker).await;
    for body in ["a", "b"] {
        server.broker().await.enqueue(&queue(), vec![message(body)]).await.remove(0).unwrap();
    }
    let delivery = claim(&broker, &consumer, 1).await.remove(0);
    proxy.forget_after(FORGOTTEN);
    // As a long run does.
    tokio::time::sleep(PAUSE).await;
    let began = Instant::now();
    assert_eq!(settle(&broker, &consumer, delivery.receipt, Settlement::Done).await, Settled::Yes);
    assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["b"]);
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    assert_eq!(broker.counts(&queue()).await.unwrap().lent, 1);
}
