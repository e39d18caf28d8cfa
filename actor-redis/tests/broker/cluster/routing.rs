use std::time::Duration;

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_core::delivery::{Renewal, Wait};
use actor_core::inspect::State;
use actor_core::settlement::{Outcome, Settled};
use actor_redis::RedisBroker;

use super::members::{Cluster, await_that};
use super::{claim_all, consumers, name, waits_at};
use crate::server::{LEASE, Server, bodies, message, retry};

/// Four queues of each of three primaries.
fn twelve_queues(cluster: &Cluster) -> Vec<String> {
    (0..3).flat_map(|at| cluster.queues_of(at, 4)).collect()
}

#[tokio::test]
async fn a_worker_of_twelve_queues_on_three_primaries_has_as_few_connections_as_that_needs() {
    let cluster = Cluster::start();
    let queues = twelve_queues(&cluster);
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let consumers = consumers(&broker, &queues).await;
    for (queue, consumer) in queues.iter().zip(&consumers) {
        let sent = [message("now"), message("too"), message("later").after(LEASE)];
        for answer in broker.enqueue(&name(queue), sent.into()).await {
            answer.unwrap();
        }
        let delivered = claim_all(&broker, consumer).await;
        assert_eq!(bodies(&delivered), ["now", "too"]);
        let outcomes = [Outcome::Done.into(), retry("again", LEASE)];
        let settlements: Vec<_> = delivered.into_iter().map(|delivery| delivery.receipt).zip(outcomes).collect();
        for answer in broker.settle(consumer, &settlements).await {
            assert_eq!(answer.unwrap(), Settled::Applied);
        }
        let counts = broker.counts(&name(queue)).await.unwrap();
        assert_eq!((counts.ready, counts.in_flight, counts.scheduled), (0, 0, 2), "{queue}");
        let audit = broker.audit(&name(queue), 1_000).await.unwrap();
        assert!(audit.violations.is_empty() && audit.complete, "{audit:?}");
    }
    let names: Vec<_> = queues.iter().map(|queue| name(queue)).collect();
    assert_eq!(broker.renew(&consumers[0].worker, &names, LEASE).await.unwrap(), Renewal::held());
    let mut listed = broker.queues().await.unwrap();
    let mut wanted = names.clone();
    listed.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(listed, wanted);
    // At each primary: what the worker sends, its lease, and a read for each of four queues. At the replicas none.
    await_that("as few connections as that", || cluster.clients() == [6, 6, 6, 0, 0, 0]);
    broker.deregister(&consumers[0].worker, &names).await.unwrap();
}

#[tokio::test]
async fn a_waiting_read_ends_when_it_is_asked_to() {
    let cluster = Cluster::of(2, 0, &[]);
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    for at in 0..2 {
        let queues = cluster.queues_of(at, 1);
        let consumers = consumers(&broker, &queues).await;
        let waiting = tokio::spawn({
            let (broker, consumer) = (broker.clone(), consumers[0].clone());
            async move { broker.claim(&consumer, 1, &Wait::new(LEASE)).await.unwrap() }
        });
        while !cluster.ask(at, "CLIENT LIST").contains("flags=b") {
            tokio::task::yield_now().await;
        }
        // Pausing ends the read, and resuming begins another.
        broker.pause(&name(&queues[0])).await.unwrap();
        while cluster.ask(at, "CLIENT LIST").contains("flags=b") {
            tokio::task::yield_now().await;
        }
        broker.resume(&name(&queues[0])).await.unwrap();
        broker.enqueue(&name(&queues[0]), vec![message("a")]).await.remove(0).unwrap();
        assert_eq!(bodies(&waiting.await.unwrap()), ["a"]);
    }
}

#[tokio::test]
async fn a_slot_that_moved_is_followed_by_what_is_sent_and_by_who_waits() {
    let cluster = Cluster::of(2, 0, &[]);
    let broker = RedisBroker::connect(&cluster.url()).await.unwrap();
    let queues = cluster.queues_of(0, 1);
    let consumers = consumers(&broker, &queues).await;
    let slot = cluster.slot(&queues[0]);
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        let waiting = waits_at(&cluster, from, &broker, &consumers[0]).await;
        cluster.migrate(slot, from, to);
        broker.enqueue(&name(&queues[0]), vec![message("a")]).await.remove(0).unwrap();
        let delivered = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
        assert_eq!(bodies(&delivered), ["a"]);
        let settled = broker.settle(&consumers[0], &[(delivered[0].receipt.clone(), Outcome::Done.into())]).await;
        assert_eq!(*settled[0].as_ref().unwrap(), Settled::Applied);
    }
    // The connections to the member that has no queue left are gone but for those that others may use.
    await_that("its reads have left", || cluster.clients()[0] == 2);
}

#[tokio::test]
async fn members_are_found_by_the_names_that_they_announce() {
    let named = ["--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname"];
    let cluster = Cluster::of(2, 0, &named);
    await_names(&cluster, "localhost");
    let seed = format!("redis+cluster://127.0.0.1:{}", cluster.port(1));
    sends_everywhere(&cluster, &RedisBroker::connect(&seed).await.unwrap()).await;
}

#[tokio::test]
async fn members_that_announce_what_leads_nowhere_are_found_by_the_address_map() {
    let named = ["--cluster-announce-hostname", "member.invalid", "--cluster-preferred-endpoint-type", "hostname"];
    let cluster = Cluster::of(2, 0, &named);
    await_names(&cluster, "member.invalid");
    let seed = format!("redis+cluster://127.0.0.1:{}", cluster.port(1));
    let map = |host: &str, port| (if host == "member.invalid" { "127.0.0.1" } else { host }.to_owned(), port);
    let builder = RedisBroker::builder(&seed).unwrap().address_map(map);
    sends_everywhere(&cluster, &builder.connect().await.unwrap()).await;
}

#[tokio::test]
async fn members_that_announce_no_host_are_where_the_one_is_that_was_asked() {
    let cluster = Cluster::of(2, 0, &["--cluster-preferred-endpoint-type", "unknown-endpoint"]);
    let seed = format!("redis+cluster://localhost:{}", cluster.port(1));
    sends_everywhere(&cluster, &RedisBroker::connect(&seed).await.unwrap()).await;
}

/// A user with the permissions that the documentation gives it, but for these.
async fn documented(cluster: &Cluster, without: &str) -> RedisBroker {
    let page = include_str!("../../../../docs/redis-keys.md");
    let user = page.lines().find(|line| line.starts_with("ACL SETUSER actor ")).unwrap();
    let more = page.split("In a cluster add `").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    let user = format!("{user} {more}").replace("<password>", "secret").replace(without, "");
    let words: Vec<_> = user.split_whitespace().collect();
    for at in 0..cluster.len() {
        assert_eq!(cluster.ask_words(at, &words), "OK");
    }
    let url = cluster.url().replace("://", "://actor:secret@");
    RedisBroker::connect(&url).await.unwrap()
}

#[tokio::test]
async fn the_documented_permissions_are_enough_for_a_cluster_and_without_shards_slots_will_do() {
    let cluster = Cluster::of(2, 0, &[]);
    for without in ["+cluster|nothing", "+cluster|shards"] {
        let broker = documented(&cluster, without).await;
        sends_everywhere(&cluster, &broker).await;
        let queues = cluster.queues_of(0, 1);
        consumers(&broker, &queues).await;
        let slot = cluster.slot(&queues[0]);
        cluster.begin_to_migrate(slot, 0, 1);
        while cluster.migrate_key(slot, 0, 1) {}
        broker.enqueue(&name(&queues[0]), vec![message("asked for")]).await.remove(0).unwrap();
        cluster.assign(slot, 1, &[1, 0]);
        for at in 0..2 {
            let denied = cluster.ask(at, "ACL LOG");
            assert!(
                denied.is_empty() || (without.ends_with("shards") && denied.contains("cluster|shards")),
                "{denied}"
            );
            assert!(!denied.contains("asking") && !denied.contains("slots"), "{denied}");
        }
    }
}

/// Waits until each member knows the name of the other.
pub(crate) fn await_names(cluster: &Cluster, host: &str) {
    let knows = |at| cluster.ask(at, "CLUSTER SLOTS").lines().filter(|line| *line == host).count() == 2;
    await_that("names are known", || (0..2).all(knows));
}

pub(crate) async fn sends_everywhere(cluster: &Cluster, broker: &RedisBroker) {
    for at in 0..2 {
        let queue = cluster.queues_of(at, 1).remove(0);
        // Also by a redirection.
        cluster.migrate(cluster.slot(&queue), at, 1 - at);
        broker.enqueue(&name(&queue), vec![message("a")]).await.remove(0).unwrap();
        let newest = format!("XREVRANGE {{actor:{queue}}}:ready:normal + - COUNT 1");
        assert!(cluster.ask(1 - at, &newest).ends_with("m\na"));
    }
}

#[tokio::test]
async fn a_server_that_is_no_member_is_refused_under_a_clusters_url() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _server = Server::alone(&["--port", &port.to_string()]);
    let error = RedisBroker::connect(&format!("redis+cluster://127.0.0.1:{port}")).await.unwrap_err();
    assert!(error.is_unsupported() && error.to_string().contains("redis://"), "{error}");
    let nobody = RedisBroker::connect("redis+cluster://127.0.0.1:1,127.0.0.1:2").await.unwrap_err();
    assert!(nobody.is_transient(), "{nobody}");
}

#[tokio::test]
async fn a_member_under_another_url_refuses_the_queues_of_others_and_says_which_url_to_write() {
    let cluster = Cluster::of(2, 0, &[]);
    let broker = RedisBroker::connect(&format!("redis://127.0.0.1:{}", cluster.port(0))).await.unwrap();
    let (here, there) = (cluster.queues_of(0, 1).remove(0), cluster.queues_of(1, 1).remove(0));
    let first = |mut answers: Vec<Result<_, actor_core::BrokerError>>| answers.remove(0);
    first(broker.enqueue(&name(&here), vec![message("a")]).await).unwrap();
    let error = first(broker.enqueue(&name(&there), vec![message("a")]).await).unwrap_err();
    assert!(error.to_string().contains("redis+cluster://") && !error.is_unknown(), "{error}");
}

#[tokio::test]
async fn a_member_that_does_not_know_who_serves_a_slot_is_not_the_last_that_is_asked() {
    let cluster = Cluster::of(3, 0, &[]);
    let queue = &cluster.queues_of(1, 1)[0];
    // As one that has just met the others: for a minute it takes nobody's word for who that is.
    let forgotten = cluster.ask(1, "CLUSTER MYID");
    assert_eq!(cluster.ask(0, &format!("CLUSTER FORGET {forgotten}")), "OK");
    assert_eq!(cluster.serves_for(0, cluster.slot(queue)), None);
    // It is the only one that is known at first, and the first that is asked of several.
    for url in [format!("redis+cluster://127.0.0.1:{}", cluster.port(0)), cluster.url()] {
        let broker = RedisBroker::connect(&url).await.unwrap();
        broker.enqueue(&name(queue), vec![message("hello")]).await.remove(0).unwrap();
        assert_eq!(broker.counts(&name(queue)).await.unwrap().ready, 1);
        assert_eq!(broker.purge(&name(queue), State::Ready).await.unwrap(), 1);
    }
}
