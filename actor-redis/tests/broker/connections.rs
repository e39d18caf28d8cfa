//! How many connections a worker has, by the number of its queues: docs/running-redis.md says what that means.

use std::time::{Duration, Instant};

use actor_core::{Worker, actor};
use actor_redis::RedisBroker;
use tokio::sync::oneshot;

use crate::cluster::members::Cluster;
use crate::sentinel::set::Set;
use crate::server::Server;

#[actor(queue = "connections-0")]
async fn nothing() {}

#[tokio::test]
async fn a_worker_has_a_connection_for_each_queue_and_two_more() {
    let server = Server::alone(&[]);
    for queues in [1, 50, 500] {
        has(&server.url(), queues, &[queues + 2], || vec![server.run("CLIENT LIST")]).await;
    }
}

#[tokio::test]
async fn with_sentinels_a_worker_has_one_more_at_one_of_them() {
    let set = Set::start();
    let lists = || {
        let sentinels = set.sentinels.iter().map(|sentinel| sentinel.run("CLIENT LIST"));
        // At Sentinels, only those that listen stay.
        vec![set.primary().run("CLIENT LIST"), sentinels.collect::<Vec<String>>().concat()]
    };
    has(&set.url(), 500, &[502, 1], lists).await;
}

#[tokio::test]
async fn in_a_cluster_a_worker_has_a_connection_for_each_queue_and_two_to_each_of_their_primaries() {
    let cluster = Cluster::start();
    let mut expected = [2; 3];
    (0..50).for_each(|number| expected[cluster.primary_of(&format!("connections-{number}"))] += 1);
    has(&cluster.url(), 50, &expected, || (0..3).map(|at| cluster.ask(at, "CLIENT LIST")).collect()).await;
}

#[tokio::test]
async fn who_only_sends_has_a_connection_to_each_server_that_it_needs() {
    let server = Server::alone(&[]);
    let broker = RedisBroker::connect(&server.url()).await.unwrap();
    nothing.send_with(&broker).await.unwrap();
    until_counted(0, &[1], || vec![server.run("CLIENT LIST")]).await;

    let cluster = Cluster::start();
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    nothing.send_with(&broker).await.unwrap();
    let set_of_queues = cluster.ask(0, "CLUSTER KEYSLOT {actor}").parse().unwrap();
    let needed = [cluster.primary_of("connections-0"), cluster.serves(set_of_queues).unwrap()];
    let expected = [0, 1, 2, 3, 4, 5].map(|at| usize::from(needed.contains(&at)));
    until_counted(0, &expected, || (0..6).map(|at| cluster.ask(at, "CLIENT LIST")).collect()).await;
}

/// Starts a worker of so many queues, and waits until it has these connections.
async fn has(url: &str, queues: usize, expected: &[usize], lists: impl Fn() -> Vec<String>) {
    let names = (0..queues).map(|number| format!("connections-{number}"));
    let broker = RedisBroker::connect(url).await.unwrap();
    let worker = Worker::builder(broker).queues(["connections-0"]);
    let worker = names.fold(worker, |worker, name| worker.also_serve(&*name));
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run_until(async { _ = stopped.await }));
    until_counted(queues, expected, lists).await;
    drop(stop);
    worker.await.unwrap().unwrap();
}

/// Waits until so many reads wait, and there are these connections: to each server of which `lists` gives the clients.
async fn until_counted(reads: usize, expected: &[usize], lists: impl Fn() -> Vec<String>) {
    let began = Instant::now();
    loop {
        let clients: Vec<Vec<String>> = lists().iter().map(|list| ours(list)).collect();
        let waiting = clients.iter().flatten().filter(|client| client.contains("cmd=xreadgroup")).count();
        if waiting == reads && clients.iter().map(Vec::len).eq(expected.iter().copied()) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{waiting} reads, and not {expected:?}: {clients:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Without who asks, what replication has, and what Sentinels have with servers and each other.
fn ours(list: &str) -> Vec<String> {
    let others = ["cmd=client|list", "flags=S", "flags=M", "name=sentinel-"];
    let is_ours = |client: &&str| !others.iter().any(|other| client.contains(other));
    list.lines().filter(is_ours).map(str::to_owned).collect()
}
