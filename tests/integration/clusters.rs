use std::time::{Duration, Instant};

use actor_core::{Context, Worker, actor};
use tokio::time::sleep;

use crate::support::cluster::Cluster;
use crate::support::stage::name;
use crate::support::{Gate, Probe, RedisServer, RunningWorker, Stage, probe};

/// Long enough for a renewal that waits in vain for one primary to be in time at the others.
const LEASE: Duration = Duration::from_secs(3);
/// Far less than a person would wait, and more than a lease and what is granted after an absence.
const SOON: Duration = Duration::from_secs(30);

#[actor(queue = "western")]
async fn western(cx: &Context, #[state] probe: &Probe, #[state] gate: &Gate) {
    probe.report(format!("crashes {}", cx.crashes()));
    gate.pass().await;
    probe.report("end");
}

#[actor(queue = "eastern")]
async fn eastern(#[state] probe: &Probe) {
    probe.report("eastern");
}

pub(crate) fn cluster(stage: &mut Stage) -> &mut Cluster {
    match stage.server() {
        RedisServer::Cluster(cluster) => cluster,
        RedisServer::One(_) | RedisServer::Watched(..) => panic!("this is no cluster"),
    }
}

#[tokio::test]
async fn what_a_dead_worker_held_is_recovered_while_the_primary_of_another_queue_is_away() {
    let mut stage = Stage::on(RedisServer::Cluster(Cluster::start())).await;
    let (probe, mut reports) = probe();
    let gate = Gate::closed();
    let worker = async |stage: &Stage| {
        let builder = Worker::builder(stage.another().await).queues(["western", "eastern"].map(name)).lease(LEASE);
        RunningWorker::with_own_lease(builder.state(probe.clone()).state(gate.clone()))
    };
    let holder = worker(&stage).await;
    eastern.send_with(&stage.broker).await.unwrap();
    assert_eq!(reports.next().await, "eastern");
    western.send_with(&stage.broker).await.unwrap();
    assert_eq!(reports.next().await, "crashes 0");
    let successor = worker(&stage).await;
    sleep(LEASE).await; // A worker that has just started declares nobody dead.
    let away = cluster(&mut stage).primary_of("eastern");
    assert_ne!(cluster(&mut stage).primary_of("western"), away);
    // With its replica, so that nobody takes its place.
    for at in [away, away + 3] {
        cluster(&mut stage).freeze(at);
    }
    sleep(LEASE).await; // By now nobody has a lease there.
    assert_eq!(reports.rest(), [""; 0], "the holder lives");
    let killed = Instant::now();
    holder.kill();
    assert_eq!(reports.next().await, "crashes 1");
    assert!(killed.elapsed() < SOON, "it took {:?}", killed.elapsed());
    for at in [away, away + 3] {
        cluster(&mut stage).thaw(at);
    }
    gate.open();
    assert_eq!(reports.next().await, "end");
    while eastern.send_with(&stage.broker).await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(reports.next().await, "eastern");
    successor.stop().await;
}
