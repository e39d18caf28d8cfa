//! Who waits for results, as one server sees it. That a cluster tells them too is tested at the seam.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::results::waits_at_the_gate;
use crate::support::probe::within;
use crate::support::{Gate, RedisServer, RunningWorker, Stage};

/// Longer than any test waits for what comes.
const LONG: Duration = Duration::from_secs(60);

/// Who is subscribed to results.
fn subscribers(server: &RedisServer) -> usize {
    server.cli(&["CLIENT", "LIST", "TYPE", "pubsub"]).lines().filter(|line| !line.is_empty()).count()
}

async fn until_subscribers(server: &RedisServer, count: usize) {
    within(async {
        while subscribers(server) != count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_thousand_who_wait_share_one_connection_and_leave_nothing() {
    const MANY: u64 = 1_000;
    let mut stage = Stage::on(RedisServer::alone()).await;
    let gate = Gate::closed();
    let worker = stage.worker("waits_at_the_gate").await.concurrency(2_000).state(gate.clone());
    let worker = RunningWorker::start(worker);
    let mut waiting = tokio::task::JoinSet::new();
    let mut left = Vec::new();
    for number in 0..MANY {
        let sent = waits_at_the_gate.send_with(&stage.broker, number).await.unwrap();
        let broker = Arc::clone(&stage.broker);
        waiting.spawn(async move { (number, sent.result_with(&*broker, LONG).await) });
        if number < 10 {
            let (sent, broker) = (sent, Arc::clone(&stage.broker));
            left.push(tokio::spawn(async move { sent.result_with(&*broker, LONG).await }));
        }
    }
    let channels = |server: &RedisServer| server.cli(&["PUBSUB", "CHANNELS", "*"]).lines().count();
    within(async {
        while channels(stage.server()) < 1_000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(subscribers(stage.server()), 1);
    left.iter().for_each(tokio::task::JoinHandle::abort);
    gate.open();
    for (number, result) in within(waiting.join_all()).await {
        assert_eq!(result.unwrap(), number);
    }
    within(async {
        while channels(stage.server()) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // The connection is kept for a while, for whoever waits next. Without a channel it is no subscriber.
    let listens = |server: &RedisServer| server.cli(&["CLIENT", "LIST"]).contains("cmd=unsubscribe");
    assert!(listens(stage.server()));
    within(async {
        while listens(stage.server()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn whoever_is_subscribed_learns_of_an_end_at_once() {
    let mut stage = Stage::on(RedisServer::alone()).await;
    let gate = Gate::closed();
    let worker = RunningWorker::start(stage.worker("waits_at_the_gate").await.state(gate.clone()));
    let mut soonest = LONG;
    for number in 0..5 {
        let sent = waits_at_the_gate.send_with(&stage.broker, number).await.unwrap();
        let broker = Arc::clone(&stage.broker);
        let waits = tokio::spawn(async move { sent.result_with(&*broker, LONG).await });
        until_subscribers(stage.server(), 1).await;
        let opened = Instant::now();
        gate.let_pass(1);
        assert_eq!(within(waits).await.unwrap().unwrap(), number);
        soonest = soonest.min(opened.elapsed());
    }
    // Who only looks does so every 1.5 s at the earliest.
    assert!(soonest < Duration::from_millis(500), "{soonest:?}");
    worker.stop().await;
}

#[tokio::test]
async fn a_subscription_that_is_cut_is_made_again_and_nothing_is_missed() {
    let mut stage = Stage::on(RedisServer::alone()).await;
    let gate = Gate::closed();
    let worker = RunningWorker::start(stage.worker("waits_at_the_gate").await.state(gate.clone()));
    let sent = waits_at_the_gate.send_with(&stage.broker, 7).await.unwrap();
    let broker = Arc::clone(&stage.broker);
    let waits = tokio::spawn(async move { sent.result_with(&*broker, LONG).await });
    until_subscribers(stage.server(), 1).await;
    stage.server().cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    gate.open();
    assert_eq!(within(waits).await.unwrap().unwrap(), 7);
    worker.stop().await;
}

#[tokio::test]
async fn whoever_may_not_subscribe_learns_by_looking() {
    let mut stage = Stage::on(RedisServer::alone()).await;
    stage.server().cli(&["ACL", "SETUSER", "default", "resetchannels"]);
    let worker = RunningWorker::start(stage.worker("waits_at_the_gate").await.state(Gate::opened()));
    let sent = waits_at_the_gate.message(7).delay(Duration::from_millis(300)).send_with(&*stage.broker).await.unwrap();
    assert_eq!(sent.result_with(&*stage.broker, LONG).await.unwrap(), 7);
    worker.stop().await;
}

#[tokio::test]
async fn a_waiter_outlives_an_outage() {
    let mut stage = Stage::on(RedisServer::durable_alone()).await;
    let sent = waits_at_the_gate.send_with(&stage.broker, 7).await.unwrap();
    let broker = Arc::clone(&stage.broker);
    let waits = tokio::spawn(async move { sent.result_with(&*broker, LONG).await });
    until_subscribers(stage.server(), 1).await;
    stage.server().kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.server().restart();
    let worker = RunningWorker::start(stage.worker("waits_at_the_gate").await.state(Gate::opened()));
    assert_eq!(within(waits).await.unwrap().unwrap(), 7);
    worker.stop().await;
}
