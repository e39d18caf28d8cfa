use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Wait, WorkerId};
use actor_redis::RedisBroker;

use crate::server::{LEASE, Server};
use crate::warnings::Log;

/// A worker's consumers, each of a queue of its own.
fn consumers(count: usize) -> Vec<Consumer> {
    let worker = WorkerId::new("worker");
    (0..count).map(|number| Consumer::new(worker.clone(), format!("queue-{number}").parse().unwrap())).collect()
}

fn set(raw: &mut redis::Connection, limit: &str) {
    redis::cmd("CONFIG").arg("SET").arg("maxclients").arg(limit).exec(raw).unwrap();
}

/// Claims once from each; the errors.
async fn claim_all(broker: &RedisBroker, consumers: &[Consumer]) -> Vec<String> {
    let mut errors = Vec::new();
    for consumer in consumers {
        if let Err(error) = broker.claim(consumer, 1, &Wait::new(Duration::ZERO)).await {
            assert!(error.is_transient(), "{error}");
            // A connection that was cut just before is not yet known to be.
            if !error.is_unknown() {
                errors.push(error.to_string());
            }
        }
    }
    errors
}

#[tokio::test]
async fn a_server_that_takes_only_some_connections_is_away_once_until_it_takes_all() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _here = tracing::subscriber::set_default(subscriber);
    let server = Server::with(&["--appendonly", "yes"]);
    let broker = server.broker().await;
    let consumers = consumers(8);
    // One for what is sent, one for the heartbeat, and one for each consumer are ten; the test has one.
    let queues: Vec<_> = consumers.iter().map(|consumer| consumer.queue.clone()).collect();
    broker.register(&consumers[0].worker, &queues, LEASE).await.unwrap();
    let mut raw = server.raw();
    set(&mut raw, "6");
    let (began, mut refusals) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(2) {
        let errors = claim_all(&broker, &consumers).await;
        refusals += errors.len();
        for error in errors {
            assert!(error.contains("`maxclients`") && error.contains(" connections so far"), "{error}");
        }
        // Those that stand are cut, and others take their room.
        redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").exec(&mut raw).unwrap();
    }
    assert!(refusals > 0);
    assert_eq!((log.count("redis is away"), log.count("connected again")), (1, 0));
    set(&mut raw, "100");
    while !claim_all(&broker, &consumers).await.is_empty() {}
    assert_eq!((log.count("redis is away"), log.count("connected again")), (1, 1));
}
