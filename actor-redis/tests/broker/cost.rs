use std::collections::HashMap;
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::delivery::Wait;
use actor_redis::RedisBroker;

use crate::server::{LEASE, Server, claim, end_lease, message, queue, send, worker};

/// How often each command ran.
fn calls(server: &Server) -> HashMap<String, u64> {
    let stats: String = server.run("INFO commandstats");
    let count = |line: &str| {
        let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_owned(), stats.split(',').next()?.parse().unwrap()))
    };
    stats.lines().filter_map(count).collect()
}

/// The commands that ran between two counts, but for reads, connecting, and the counting itself.
fn between(before: &HashMap<String, u64>, after: &HashMap<String, u64>) -> u64 {
    let other = ["xreadgroup", "info", "hello", "client", "config"];
    // Redis before 7.0 does not tell `client|id` from other commands of `client`.
    let counted = |name: &String| !name.split('|').next().is_some_and(|name| other.contains(&name));
    let grown = |(name, count): (&String, &u64)| count - before.get(name).unwrap_or(&0);
    after.iter().filter(|(name, _)| counted(name)).map(grown).sum()
}

#[tokio::test]
async fn an_idle_worker_costs_less_than_three_commands_a_second() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    // The scripts are known and everything is connected.
    for _ in 0..2 {
        assert!(claim(&broker, &consumer, 1).await.is_empty());
        broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap();
        broker.recover(&consumer, 1, Duration::ZERO).await.unwrap();
    }
    let start = calls(&server);
    // A lease of another length, so that it does not end in the very millisecond that it would have.
    broker.renew(&consumer.worker, &[queue()], 2 * LEASE).await.unwrap();
    let renewed = calls(&server);
    broker.recover(&consumer, 1, Duration::ZERO).await.unwrap();
    let recovered = calls(&server);
    let heartbeat = between(&start, &renewed);
    let recovery = between(&renewed, &recovered);
    // A consumer's first claim looks for itself. Its connection asks for the time once.
    let other = worker(&broker).await;
    let before = calls(&server);
    assert!(claim(&broker, &other, 1).await.is_empty());
    let check = between(&before, &calls(&server)) - 1;
    assert_eq!((heartbeat, recovery, check), (4, 11, 4));
    // A heartbeat every 2 s, of which every sixteenth lists the queue again, a check every 11.25 s at the
    // most, a walk through the groups every 30 s, on a connection that was quiet and is asked before.
    let cost = heartbeat as f64 / 2.0 + 1.0 / 32.0 + check as f64 / 11.25 + (recovery + 1) as f64 / 30.0;
    assert!(cost < 3.0, "{cost} a second");
}

#[tokio::test]
async fn a_waiting_worker_asks_for_nothing() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    let wait = Wait::new(Duration::from_secs(3600));
    let waiting = tokio::spawn({
        let (broker, wait) = (broker.clone(), wait.clone());
        async move { broker.claim(&consumer, 1, &wait).await }
    });
    server.until_a_read_waits().await;
    let before = calls(&server);
    tokio::time::sleep(Duration::from_secs(1)).await; // That nothing is asked has no event.
    assert_eq!(between(&before, &calls(&server)), 0);
    wait.stop();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_recovery_reads_few_of_many_suspects() {
    let server = Server::start();
    let broker = server.broker().await;
    let [first, second, alive] = [worker(&broker).await, worker(&broker).await, worker(&broker).await];
    let recover = async |consumer| broker.recover(consumer, 256, Duration::ZERO).await.unwrap().len();
    let reads = || calls(&server).get("xrange").copied().unwrap_or_default();
    send(&broker, (0..100).map(|number| message(&number.to_string())).collect()).await;
    assert_eq!(claim(&broker, &first, 100).await.len(), 100);
    end_lease(&server, &first);
    assert_eq!(recover(&second).await, 100);
    end_lease(&server, &second);
    // All of them have outlived two deaths: the groups tell so.
    let before = reads();
    assert_eq!(recover(&alive).await, 1);
    assert_eq!(reads() - before, 1);
    // Of these, only their entries tell: they are read, and are not small.
    let third = worker(&broker).await;
    let fields = format!("m {} suspect 1", "x".repeat(256 << 10));
    for _ in 0..100 {
        let _: String = server.run(&format!("XADD {{actor:mail}}:ready:normal * {fields}"));
    }
    assert_eq!(claim(&broker, &third, 100).await.len(), 100);
    end_lease(&server, &third);
    let before = reads();
    assert_eq!(recover(&alive).await, 1);
    assert!(reads() - before < 20, "{}", reads() - before);
}

#[tokio::test]
async fn a_sender_that_may_not_list_its_queue_asks_for_it_once() {
    let server = Server::start();
    let _: String = server.run("ACL SETUSER sender on >secret ~{actor:mail}:* +@all");
    let url = format!("redis+unix://{}?user=sender&pass=secret", server.socket());
    let broker = RedisBroker::connect(&url).await.unwrap();
    for _ in 0..3 {
        send(&broker, vec![message("a")]).await;
    }
    let stats: String = server.run("INFO commandstats");
    let asked = stats.lines().find(|line| line.starts_with("cmdstat_sadd:")).unwrap();
    assert!(asked.contains("rejected_calls=1,"), "{asked}");
}
