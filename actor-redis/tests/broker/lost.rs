use std::time::Duration;

use actor_core::Inspect;
use actor_core::broker::{Broker, Enqueue};
use actor_core::delivery::{Consumer, Receipt, Renewal, Wait};
use actor_core::settlement::{Outcome, Settled};
use actor_redis::RedisBroker;

use crate::proxy::Proxy;
use crate::server::{
    LEASE, Server, bodies, claim, end_lease, message, queue, retry, send, settle, wait_and_claim, worker,
};

/// A server, and a broker whose answers can be lost.
async fn spoiled() -> (Server, Proxy, RedisBroker) {
    let server = Server::start();
    let proxy = Proxy::before(&server).await;
    let broker = RedisBroker::connect(&proxy.url()).await.unwrap();
    (server, proxy, broker)
}

/// A worker that lives, beside a dead one that holds the message `a`. It has recovered once, and found nothing.
async fn beside_the_dead(server: &Server, broker: &RedisBroker) -> Consumer {
    let (dead, alive) = (worker(broker).await, worker(broker).await);
    assert!(broker.recover(&alive, 1, Duration::ZERO).await.unwrap().is_empty());
    send(broker, vec![message("a")]).await;
    claim(broker, &dead, 1).await;
    end_lease(server, &dead);
    alive
}

#[tokio::test]
async fn a_message_in_a_lost_answer_to_a_claim_is_delivered_by_the_next() {
    let (server, proxy, broker) = spoiled().await;
    let consumer = worker(&broker).await;
    // The consumer is connected before the answer is lost.
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    let before = server.broker().await;
    send(&before, vec![message("held")]).await;
    let held = claim(&broker, &consumer, 1).await;
    send(&before, ["lost", "waiting"].map(message).into()).await;
    proxy.swallow_the_next_answer();
    let error = broker.claim(&consumer, 1, &Wait::new(Duration::ZERO)).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    let delivered = broker.claim(&consumer, 5, &Wait::new(Duration::ZERO)).await.unwrap();
    assert_eq!(bodies(&delivered), ["lost"]);
    assert_eq!(delivered[0].crashes, 0);
    assert_eq!(bodies(&claim(&broker, &consumer, 5).await), ["waiting"]);
    assert_eq!(bodies(&held), ["held"]);
    assert_eq!(broker.counts(&queue()).await.unwrap().in_flight, 3);
}

#[tokio::test]
async fn a_message_that_arrives_while_the_waiting_read_is_cut_is_not_lost() {
    let (server, proxy, broker) = spoiled().await;
    let consumer = worker(&broker).await;
    let waiting = tokio::spawn({
        let (broker, consumer) = (broker.clone(), consumer.clone());
        async move { broker.claim(&consumer, 1, &Wait::new(Duration::from_secs(3600))).await }
    });
    server.until_a_read_waits().await;
    proxy.swallow_the_next_answer();
    let _: String = server.run("XADD {actor:mail}:ready:normal * m lost");
    assert!(waiting.await.unwrap().unwrap_err().is_unknown());
    assert!(proxy.has_swallowed());
    assert_eq!(bodies(&wait_and_claim(&broker, &consumer).await), ["lost"]);
    assert!(claim(&broker, &consumer, 1).await.is_empty());
}

#[tokio::test]
async fn a_message_in_a_lost_answer_to_a_recovery_is_delivered_by_the_next_claim() {
    let (server, proxy, broker) = spoiled().await;
    let alive = beside_the_dead(&server, &broker).await;
    proxy.swallow_the_next_answer();
    assert!(broker.recover(&alive, 1, Duration::ZERO).await.unwrap_err().is_unknown());
    let delivered = claim(&broker, &alive, 1).await;
    assert_eq!(bodies(&delivered), ["a"]);
    assert_eq!(delivered[0].crashes, 1);
    assert!(claim(&broker, &alive, 1).await.is_empty());
    assert!(broker.recover(&alive, 1, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test]
async fn more_messages_than_one_claim_takes_are_found_by_several() {
    let (_server, proxy, broker) = spoiled().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    send(&broker, (0..700).map(|number| message(&number.to_string())).collect()).await;
    proxy.swallow_the_next_answer();
    broker.claim(&consumer, 700, &Wait::new(Duration::ZERO)).await.unwrap_err();
    let mut found = Vec::new();
    while found.len() < 700 {
        let delivered = claim(&broker, &consumer, 100).await;
        assert!(!delivered.is_empty(), "only {} were found", found.len());
        found.extend(bodies(&delivered));
    }
    let mut numbers: Vec<u32> = found.iter().map(|body| body.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..700).collect::<Vec<_>>());
    assert!(claim(&broker, &consumer, 100).await.is_empty());
}

#[tokio::test]
async fn what_a_look_for_lost_messages_had_found_when_it_failed_is_found_by_the_next() {
    let (server, proxy, broker) = spoiled().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    send(&broker, vec![message("lost")]).await;
    proxy.swallow_the_next_answer();
    broker.claim(&consumer, 1, &Wait::new(Duration::ZERO)).await.unwrap_err();
    // The check is refused at a level that comes after the one where the message is.
    let _: i64 = server.run("DEL {actor:mail}:ready:low");
    let _: String = server.run("SET {actor:mail}:ready:low strange");
    broker.claim(&consumer, 10, &Wait::new(Duration::ZERO)).await.unwrap_err();
    let _: i64 = server.run("DEL {actor:mail}:ready:low");
    assert_eq!(bodies(&claim(&broker, &consumer, 10).await), ["lost"]);
    assert!(claim(&broker, &consumer, 10).await.is_empty());
}

#[tokio::test]
async fn what_is_too_much_for_one_answer_of_a_slow_network_comes_in_several() {
    let (server, proxy, broker) = spoiled().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    send(&server.broker().await, large()).await;
    proxy.be_slow();
    let first = broker.claim(&consumer, 12, &Wait::new(Duration::ZERO)).await.unwrap().len();
    assert!((1..12).contains(&first), "{first}");
    assert_eq!(claim(&broker, &consumer, 12 - first).await.len(), 12 - first);
}

#[tokio::test]
async fn what_was_lost_and_is_too_much_for_one_answer_of_a_slow_network_comes_in_several() {
    let (server, proxy, broker) = spoiled().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    send(&server.broker().await, large()).await;
    // What this reads for the worker never reaches it.
    let read = format!("XREADGROUP GROUP workers {} STREAMS {{actor:mail}}:ready:normal >", consumer.worker);
    let _: redis::Value = server.run(&read);
    server.cut_all();
    proxy.be_slow();
    let delivered = loop {
        match broker.claim(&consumer, 1, &Wait::new(Duration::ZERO)).await {
            // The connection was cut, or another answers now: the next claim looks for what was lost.
            Err(_) => {}
            Ok(delivered) if delivered.is_empty() => {}
            Ok(delivered) => break delivered,
        }
    };
    assert!((1..12).contains(&delivered.len()), "{}", delivered.len());
}

#[tokio::test]
async fn what_is_too_much_for_one_request_of_a_slow_network_goes_in_several() {
    let (_server, proxy, broker) = spoiled().await;
    let consumer = worker(&broker).await;
    send(&broker, large()).await;
    let delivered = claim(&broker, &consumer, 12).await;
    let back =
        delivered.into_iter().map(|delivery| (delivery.receipt, Outcome::Release { body: delivery.body }.into()));
    proxy.be_slow();
    for settled in broker.settle(&consumer, &back.collect::<Vec<_>>()).await {
        assert_eq!(settled.unwrap(), Settled::Applied);
    }
}

/// What takes a slow network 6 s, and an answer may take 5.
fn large() -> Vec<Enqueue> {
    (0..12).map(|_| message(&"a".repeat(1 << 20))).collect()
}

#[tokio::test]
async fn of_a_message_whose_answer_was_lost_it_is_said_that_it_is_not_known() {
    let (server, proxy, broker) = spoiled().await;
    send(&broker, vec![message("first"), message("first").after(LEASE)]).await;
    proxy.swallow_the_next_answer();
    let answers = broker.enqueue(&queue(), vec![message("a"), message("b").after(LEASE)]).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(error.is_unknown() && error.is_transient(), "{error}");
    }
    // It was stored, and it was not sent again.
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 2);
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:scheduled"), 2);
    send(&broker, vec![message("c")]).await;
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 3);
}

#[tokio::test]
async fn a_settlement_whose_answer_was_lost_can_be_repeated() {
    let (server, proxy, broker) = spoiled().await;
    let consumer = worker(&broker).await;
    send(&broker, ["a", "b", "c"].map(message).into()).await;
    let known = claim(&broker, &consumer, 1).await.remove(0).receipt;
    settle(&broker, &consumer, known, retry("known", LEASE)).await;
    let settlements: Vec<_> = claim(&broker, &consumer, 2)
        .await
        .into_iter()
        .zip([Outcome::Done.into(), retry("again", LEASE)])
        .map(|(delivery, settlement)| (delivery.receipt, settlement))
        .collect();
    proxy.swallow_the_next_answer();
    for answer in broker.settle(&consumer, &settlements).await {
        assert!(answer.unwrap_err().is_unknown());
    }
    for answer in broker.settle(&consumer, &settlements).await {
        assert_eq!(answer.unwrap(), Settled::Stale);
    }
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:scheduled"), 2);
    assert_eq!(broker.counts(&queue()).await.unwrap().outstanding(), 2);
}

#[tokio::test]
async fn what_an_unanswered_request_asked_for_cannot_happen_later() {
    let (_server, proxy, broker) = spoiled().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    proxy.hold_the_next_request();
    let error = broker.claim(&consumer, 1, &Wait::new(Duration::ZERO)).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    // The old request arrives now: it would deliver this message to nobody.
    send(&broker, vec![message("a")]).await;
    proxy.let_it_go().await;
    assert_eq!(broker.counts(&queue()).await.unwrap().in_flight, 0);
    assert_eq!(bodies(&claim(&broker, &consumer, 1).await), ["a"]);
}

#[tokio::test]
async fn a_server_that_stood_still_loses_nothing() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    send(&broker, vec![message("a")]).await;
    // The request reaches a server that does not read it yet.
    server.freeze();
    let error = broker.claim(&consumer, 1, &Wait::new(Duration::ZERO)).await.unwrap_err();
    assert!(error.is_unknown(), "{error}");
    server.thaw();
    let delivered = loop {
        if let Ok(delivered) = broker.claim(&consumer, 1, &Wait::new(Duration::from_secs(30))).await {
            break delivered;
        }
    };
    assert_eq!(bodies(&delivered), ["a"]);
    assert_eq!(broker.counts(&queue()).await.unwrap().in_flight, 1);
}

#[tokio::test]
async fn a_claim_that_was_dropped_loses_nothing() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let claiming = || {
        let (broker, consumer) = (broker.clone(), consumer.clone());
        tokio::spawn(async move { wait_and_claim(&broker, &consumer).await })
    };
    // It must not be dropped, and a program that does so all the same pays with a check of what it holds.
    let dropped = claiming();
    server.until_a_read_waits().await;
    dropped.abort();
    let _ = dropped.await;
    send(&broker, vec![message("a")]).await;
    server.until_no_read_waits().await;
    assert_eq!(bodies(&wait_and_claim(&broker, &consumer).await), ["a"]);
    // Also where the read that was left behind still waits when the next one comes.
    let dropped = claiming();
    server.until_a_read_waits().await;
    dropped.abort();
    let _ = dropped.await;
    let mut next = claiming();
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut next).await.is_err());
    send(&broker, vec![message("b")]).await;
    let found = tokio::time::timeout(Duration::from_secs(4), next).await.unwrap();
    assert_eq!(bodies(&found.unwrap()), ["b"]);
}

#[tokio::test]
async fn a_claim_that_was_dropped_while_it_woke_others_loses_nothing() {
    let (server, proxy, broker) = spoiled().await;
    let (elsewhere, consumer) = (server.broker().await, worker(&broker).await);
    let dropped = tokio::spawn({
        let (broker, consumer) = (broker.clone(), consumer.clone());
        async move { broker.claim(&consumer, 1, &Wait::new(LEASE)).await }
    });
    server.until_a_read_waits().await;
    send(&elsewhere, vec![message("due").after(Duration::from_secs(8))]).await;
    server.until_woken().await;
    server.until_a_read_waits().await;
    proxy.hold_the_next_request();
    send(&elsewhere, vec![message("a")]).await;
    while !proxy.has_held() {
        tokio::task::yield_now().await;
    }
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    proxy.let_it_go().await;
    assert_eq!(bodies(&wait_and_claim(&broker, &consumer).await), ["a"]);
}

#[tokio::test]
async fn a_renewal_that_is_not_answered_ends_while_the_lease_still_stands() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let lease = Duration::from_millis(1_500);
    broker.renew(&consumer.worker, &[queue()], lease).await.unwrap();
    server.freeze();
    let asked = std::time::Instant::now();
    let error = broker.renew(&consumer.worker, &[queue()], lease).await.unwrap_err();
    assert!(error.is_unknown() && asked.elapsed() < lease, "{error} after {:?}", asked.elapsed());
    server.thaw();
    let renewed = loop {
        if let Ok(renewed) = broker.renew(&consumer.worker, &[queue()], LEASE).await {
            break renewed;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(renewed, Renewal::held());
}

#[tokio::test]
async fn a_receipt_of_another_broker_settles_nothing() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let strange = [(Receipt::new("another"), Outcome::Done.into()), (Receipt::new(vec![0; 16]), Outcome::Done.into())];
    for answer in broker.settle(&consumer, &strange).await {
        assert_eq!(answer.unwrap(), Settled::Stale);
    }
}

#[tokio::test]
async fn a_message_whose_settlement_redis_has_forgotten_is_delivered_again() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("a")]).await;
    let settled = claim(&broker, &consumer, 1).await.remove(0).receipt;
    settle(&broker, &consumer, settled, Outcome::Done.into()).await;
    // As a replica that was promoted, or a server on an older file, would have it: delivered to this worker.
    let _: String = server.run("XADD {actor:mail}:ready:normal * m a");
    let read = format!("XREADGROUP GROUP workers {} STREAMS {{actor:mail}}:ready:normal >", consumer.worker);
    let _: redis::Value = server.run(&read);
    assert!(claim(&broker, &consumer, 1).await.is_empty(), "nobody has been away");
    server.cut_all();
    // The consumer learns of it while it claims nothing: no answer is in doubt.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    // The first answer of another connection is a reason to reclaim; the second has reclaimed.
    let mut delivered = claim(&broker, &consumer, 1).await;
    delivered.extend(claim(&broker, &consumer, 1).await);
    assert_eq!(bodies(&delivered), ["a"]);
    assert!(claim(&broker, &consumer, 1).await.is_empty());
}

#[tokio::test]
async fn a_lost_answer_to_a_recovery_wakes_the_claim_that_waits() {
    let (server, proxy, broker) = spoiled().await;
    let alive = beside_the_dead(&server, &broker).await;
    let waiting = tokio::spawn({
        let (broker, alive) = (broker.clone(), alive.clone());
        async move { broker.claim(&alive, 1, &Wait::new(Duration::from_secs(3600))).await }
    });
    server.until_a_read_waits().await;
    proxy.swallow_the_next_answer();
    assert!(broker.recover(&alive, 1, Duration::ZERO).await.unwrap_err().is_unknown());
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    let mut delivered = waited.expect("the claim waits on").unwrap().unwrap();
    delivered.extend(claim(&broker, &alive, 1).await);
    assert_eq!(bodies(&delivered), ["a"]);
    assert_eq!(delivered[0].crashes, 1);
}
