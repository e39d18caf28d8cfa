use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Receipt, Wait};
use actor_core::settlement::Outcome;
use actor_redis::RedisBroker;

use super::members::{Cluster, await_that};
use super::{consumers, name, waits_at};
use crate::server::{LEASE, message};

/// What became of what was sent to one queue.
#[derive(Debug, Default)]
pub(super) struct Sent {
    stored: BTreeSet<String>,
    pub(super) unknown: BTreeSet<String>,
    pub(super) refused: BTreeSet<String>,
}

/// Sends one message after the other until it is told to stop.
async fn send_on(broker: RedisBroker, queue: String, stop: Arc<AtomicBool>) -> Sent {
    let (mut sent, mut number) = (Sent::default(), 0);
    while !stop.load(Ordering::SeqCst) {
        let body = format!("{queue}-{number}");
        number += 1;
        match broker.enqueue(&name(&queue), vec![message(&body)]).await.remove(0) {
            Ok(_) => sent.stored.insert(body),
            Err(error) if error.is_unknown() => sent.unknown.insert(body),
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                sent.refused.insert(body)
            }
        };
        tokio::time::sleep(Duration::from_millis(2)).await; // A load, and not all that two cores can do.
    }
    sent
}

/// Claims and settles until it is told to stop. Returns the receipts of each body.
async fn work_on(
    broker: RedisBroker,
    consumer: Consumer,
    stop: Arc<AtomicBool>,
) -> BTreeMap<String, BTreeSet<Vec<u8>>> {
    let mut delivered = BTreeMap::<_, BTreeSet<_>>::new();
    // An empty claim may be one after which the next looks for what was lost.
    let mut idle = 0;
    while !(idle >= 3 && stop.load(Ordering::SeqCst)) {
        match broker.claim(&consumer, 16, &Wait::new(Duration::from_millis(200))).await {
            Ok(some) => {
                idle = if some.is_empty() { idle + 1 } else { 0 };
                let mut settlements = Vec::new();
                for delivery in some {
                    let body = String::from_utf8(delivery.body.to_vec()).unwrap();
                    delivered.entry(body).or_default().insert(delivery.receipt.as_bytes().to_vec());
                    settlements.push((delivery.receipt, Outcome::Done.into()));
                }
                settle_all(&broker, &consumer, settlements).await;
            }
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                idle = 0;
                tokio::time::sleep(Duration::from_millis(20)).await; // As a worker's pause.
            }
        }
    }
    delivered
}

/// Settles until each is answered.
async fn settle_all(
    broker: &RedisBroker,
    consumer: &Consumer,
    mut settlements: Vec<(Receipt, actor_core::settlement::Settlement)>,
) {
    while !settlements.is_empty() {
        let answers = broker.settle(consumer, &settlements).await;
        let mut answers = answers.into_iter();
        settlements.retain(|_| match answers.next().unwrap() {
            Ok(_) => false,
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                true
            }
        });
        if !settlements.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await; // As a worker's pause.
        }
    }
}

/// Sends to and works on queues while something is done to the cluster. Returns what became of each queue.
pub(super) async fn under_load(
    cluster: &mut Cluster,
    queues: &[String],
    disturb: impl FnOnce(&mut Cluster),
) -> Vec<(Sent, BTreeMap<String, BTreeSet<Vec<u8>>>)> {
    let senders = RedisBroker::connect(&cluster.url()).await.unwrap();
    let workers = RedisBroker::connect(&cluster.url()).await.unwrap();
    let (stop_sending, stop_working) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let consumers = consumers(&workers, queues).await;
    let works: Vec<_> = consumers
        .iter()
        .map(|consumer| tokio::spawn(work_on(workers.clone(), consumer.clone(), Arc::clone(&stop_working))))
        .collect();
    let sends: Vec<_> = queues
        .iter()
        .map(|queue| tokio::spawn(send_on(senders.clone(), queue.clone(), Arc::clone(&stop_sending))))
        .collect();
    tokio::task::block_in_place(|| disturb(cluster));
    stop_sending.store(true, Ordering::SeqCst);
    let mut all = Vec::new();
    for sent in sends {
        all.push((sent.await.unwrap(), BTreeMap::new()));
    }
    stop_working.store(true, Ordering::SeqCst);
    for ((_, delivered), work) in all.iter_mut().zip(works) {
        *delivered = work.await.unwrap();
    }
    all
}

/// Nothing was stored twice, and what was refused was not stored.
pub(super) fn assert_once(sent: &Sent, delivered: &BTreeMap<String, BTreeSet<Vec<u8>>>) {
    for (body, receipts) in delivered {
        assert_eq!(receipts.len(), 1, "{body} was stored more than once");
        assert!(!sent.refused.contains(body), "{body} was refused, and stored");
        assert!(sent.stored.contains(body) || sent.unknown.contains(body), "{body}");
    }
}

/// Everything that was acknowledged was delivered.
pub(super) fn assert_all(sent: &Sent, delivered: &BTreeMap<String, BTreeSet<Vec<u8>>>) {
    let lost: Vec<_> = sent.stored.iter().filter(|body| !delivered.contains_key(*body)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_dies_under_load_is_an_outage_of_its_queues_alone_and_doubles_nothing() {
    let mut cluster = Cluster::start();
    let queues: Vec<_> = (0..3).flat_map(|at| cluster.queues_of(at, 2)).collect();
    let touched = cluster.queues_of(1, 2);
    let slot = cluster.slot(&touched[0]);
    let all = under_load(&mut cluster, &queues, |cluster| {
        std::thread::sleep(Duration::from_millis(500)); // Some load before.
        cluster.kill(1);
        await_that("the replica was promoted", || cluster.serves_for(0, slot) == Some(4));
        // The former primary is still away, and leads nobody to the new one.
        let key = format!("{{actor:{}}}:ready:normal", touched[0]);
        let last = |cluster: &Cluster| {
            let stream = cluster.ask(4, &format!("XINFO STREAM {key}"));
            stream.lines().skip_while(|line| *line != "last-generated-id").nth(1).map(str::to_owned)
        };
        let (before, began) = (last(cluster), Instant::now());
        await_that("the queue is served again", || last(cluster) != before);
        // Long before what was learnt gets old by itself.
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        std::thread::sleep(Duration::from_secs(1)); // Some load after.
        cluster.revive(1);
        await_that("the former primary follows", || cluster.ask(1, "INFO replication").contains("role:slave"));
        std::thread::sleep(Duration::from_millis(500)); // It is there, and nobody is led to it.
    })
    .await;
    for (queue, (sent, delivered)) in queues.iter().zip(&all) {
        assert_once(sent, delivered);
        if touched.contains(queue) {
            assert!(!sent.refused.is_empty() || !sent.unknown.is_empty(), "{queue} had no outage");
            let last = |bodies: &BTreeSet<String>| {
                bodies.iter().filter_map(|body| body.rsplit('-').next()?.parse::<usize>().ok()).max()
            };
            let failed = last(&sent.refused).max(last(&sent.unknown));
            assert!(last(&sent.stored) > failed, "{queue} stores nothing after the failover");
        } else {
            assert!(sent.refused.is_empty() && sent.unknown.is_empty(), "{queue}: {sent:?}");
            assert_all(sent, delivered);
        }
    }
}

#[tokio::test]
async fn a_primary_that_is_away_ends_no_lease_at_another_and_holds_up_no_renewal() {
    let mut cluster = Cluster::of(3, 0, &[]);
    let queues: Vec<_> = (0..3).flat_map(|at| cluster.queues_of(at, 2)).collect();
    let names: Vec<_> = queues.iter().map(|queue| name(queue)).collect();
    let away: Vec<_> = cluster.queues_of(2, 2).iter().map(|queue| name(queue)).collect();
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let consumers = consumers(&broker, &queues).await;
    let (worker, lease) = (&consumers[0].worker, Duration::from_secs(6));
    let ends = |cluster: &Cluster, at: usize| {
        let queue = cluster.queues_of(at, 1).remove(0);
        cluster.run(&queue, &format!("ZSCORE {{actor:{queue}}}:workers {worker}"))
    };
    cluster.freeze(2);
    for _ in 0..2 {
        let before = [ends(&cluster, 0), ends(&cluster, 1)];
        let asked = Instant::now();
        let renewal = broker.renew(worker, &names, lease).await.unwrap();
        assert!(asked.elapsed() < lease / 3, "{:?}", asked.elapsed());
        assert!(renewal.held);
        assert_eq!(renewal.unanswered, away);
        assert_ne!(before, [ends(&cluster, 0), ends(&cluster, 1)]);
    }
    cluster.thaw(2);
    cluster.kill(2);
    let renewal = broker.renew(worker, &names, lease).await.unwrap();
    assert_eq!((renewal.held, renewal.unanswered), (true, away.clone()));
    // Its queues are away, and no others.
    for (queue, consumer) in names.iter().zip(&consumers) {
        let began = Instant::now();
        let sent = broker.enqueue(queue, vec![message("a")]).await.remove(0);
        let claimed = broker.claim(consumer, 1, &Wait::new(Duration::ZERO)).await;
        if away.contains(queue) {
            let (sent, claimed) = (sent.unwrap_err(), claimed.unwrap_err());
            assert!(sent.is_transient() && !sent.is_unknown(), "{sent}");
            assert!(claimed.is_transient(), "{claimed}");
        } else {
            sent.unwrap();
            assert_eq!(claimed.unwrap().len(), 1);
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
    }
    // Back, and empty: a lease that Redis lost is made again.
    cluster.revive(2);
    let renewal = loop {
        match broker.renew(worker, &names, LEASE).await {
            Ok(renewal) if renewal.unanswered.is_empty() => break renewal,
            _ => tokio::task::yield_now().await,
        }
    };
    assert_eq!((renewal.held, renewal.forgotten), (true, away));
}

#[tokio::test]
async fn a_slot_that_nobody_serves_is_an_outage_of_its_queues_alone() {
    let cluster = Cluster::of(2, 0, &[]);
    let (lost, whole) = (cluster.queues_of(1, 1).remove(0), cluster.queues_of(0, 1).remove(0));
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let slot = cluster.slot(&lost);
    for at in [1, 0] {
        assert_eq!(cluster.ask(at, &format!("CLUSTER DELSLOTS {slot}")), "OK");
    }
    let mut said = BTreeSet::new();
    // First as the member says it, and once that was learnt, without asking.
    while said.len() < 2 {
        let error = broker.enqueue(&name(&lost), vec![message("a")]).await.remove(0).unwrap_err();
        assert!(error.is_transient() && !error.is_unknown(), "{error}");
        said.insert(error.to_string());
        broker.enqueue(&name(&whole), vec![message("a")]).await.remove(0).unwrap();
    }
    assert!(said.iter().any(|said| said.contains(&format!("serves hash slot {slot}"))), "{said:?}");
    assert_eq!(cluster.ask(1, &format!("CLUSTER ADDSLOTS {slot}")), "OK");
    await_that("the other knows", || cluster.serves_for(0, slot) == Some(1));
    while broker.enqueue(&name(&lost), vec![message("a")]).await.remove(0).is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_read_that_waits_at_a_primary_that_stands_still_is_left_for_the_replica_that_took_its_place() {
    let cluster = Cluster::of(3, 3, &[]);
    let queues = cluster.queues_of(1, 1);
    let (queue, slot) = (name(&queues[0]), cluster.slot(&queues[0]));
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let consumer = consumers(&broker, &queues).await.remove(0);
    let waiting = waits_at(&cluster, 1, &broker, &consumer).await;
    cluster.freeze(1);
    let began = Instant::now();
    let is_promoted = || cluster.serves_for(0, slot) == Some(4);
    while !is_promoted() {
        tokio::time::sleep(Duration::from_millis(20)).await; // Members tell each other ten times a second.
    }
    // The heartbeat is what finds out.
    while broker.renew(&consumer.worker, std::slice::from_ref(&queue), Duration::from_secs(6)).await.is_err() {}
    broker.enqueue(&queue, vec![message("a")]).await.remove(0).unwrap();
    let delivered = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it waits on").unwrap();
    assert_eq!(delivered.len(), 1, "after {:?}", began.elapsed());
    cluster.thaw(1);
}

#[tokio::test]
async fn a_send_that_waits_at_a_primary_that_stands_still_is_unknown_once_a_replica_took_its_place() {
    let cluster = Cluster::of(2, 2, &[]);
    let queues = cluster.queues_of(1, 1);
    let (queue, slot) = (name(&queues[0]), cluster.slot(&queues[0]));
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    broker.enqueue(&queue, vec![message("before")]).await.remove(0).unwrap();
    await_that("it is replicated", || cluster.ask(3, "DBSIZE") == cluster.ask(1, "DBSIZE"));
    cluster.freeze(1);
    let began = Instant::now();
    let waits = tokio::spawn({
        let (broker, queue) = (broker.clone(), queue.clone());
        async move { broker.enqueue(&queue, vec![message("waits")]).await.remove(0) }
    });
    tokio::task::yield_now().await; // It is sent.
    assert_eq!(cluster.ask(3, "CLUSTER FAILOVER TAKEOVER"), "OK");
    await_that("the replica serves the slot", || cluster.serves_for(0, slot) == Some(3));
    let error = waits.await.unwrap().unwrap_err();
    assert!(error.is_unknown(), "{error}");
    // Nothing is waited for as long as an answer may take.
    assert!(began.elapsed() < Duration::from_secs(4), "after {:?}", began.elapsed());
    broker.enqueue(&queue, vec![message("after")]).await.remove(0).unwrap();
    cluster.thaw(1);
    cluster.await_whole();
    assert_eq!(broker.counts(&queue).await.unwrap().ready, 2, "what waited died with the former primary");
}

#[tokio::test]
async fn a_lease_whose_last_renewal_was_lost_with_its_primary_counts_as_forgotten() {
    let cluster = Cluster::of(2, 2, &[]);
    let queues: Vec<_> = (0..2).flat_map(|at| cluster.queues_of(at, 1)).collect();
    let names: Vec<_> = queues.iter().map(|queue| name(queue)).collect();
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let worker = consumers(&broker, &queues).await.remove(0).worker;
    let slot = cluster.slot(&queues[1]);
    // A renewal that gets no answer for now is repeated.
    let renew = async || loop {
        match broker.renew(&worker, &names, LEASE).await {
            Ok(renewal) if renewal.unanswered.is_empty() => return renewal,
            Ok(_) => {}
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await; // As a heartbeat's pause.
    };
    assert_eq!(renew().await.forgotten, []);
    assert_eq!(renew().await.forgotten, []);
    let key = format!("{{actor:{}}}:workers", queues[1]);
    await_that("it is replicated", || cluster.ask(3, "DBSIZE") == cluster.ask(1, "DBSIZE"));
    assert_eq!(cluster.ask(1, "ACL SETUSER default -psync -sync"), "OK");
    cluster.ask(1, "CLIENT KILL TYPE replica");
    let before = cluster.ask(1, &format!("ZSCORE {key} {worker}"));
    // It must not end in the same millisecond.
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(renew().await.forgotten, []);
    assert_ne!(cluster.ask(1, &format!("ZSCORE {key} {worker}")), before);
    assert_eq!(cluster.ask(3, "CLUSTER FAILOVER TAKEOVER"), "OK");
    await_that("the replica serves the slot", || (0..4).all(|at| cluster.serves_for(at, slot) == Some(3)));
    let renewal = renew().await;
    assert!(renewal.held);
    assert_eq!(renewal.forgotten, [names[1].clone()], "what another renewed is missing there too");
    assert_eq!(renew().await.forgotten, []);
}
