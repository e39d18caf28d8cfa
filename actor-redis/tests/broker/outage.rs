use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_core::delivery::{Renewal, Wait};
use actor_core::settlement::{Outcome, Settled};
use actor_core::{Inspect, Priority};
use actor_redis::RedisBroker;

use crate::proxy::Proxy;
use crate::server::{
    LEASE, Server, bodies, claim, dead_letter, message, message_of, queue, release, retry, send, settle,
    wait_and_claim, worker,
};

/// Every call of the broker once; whether all of them worked.
async fn round(broker: &RedisBroker) -> bool {
    let consumer = actor_core::delivery::Consumer::new(actor_core::delivery::WorkerId::new("round"), queue());
    let queues = [queue()];
    let mut works = broker.register(&consumer.worker, &queues, LEASE).await.is_ok();
    works &= broker.enqueue(&queue(), vec![message("round")]).await.iter().all(Result::is_ok);
    // One claim may end with a priority, where a lower one has more.
    for _ in Priority::High as u8..=Priority::Low as u8 {
        let delivered = broker.claim(&consumer, 10, &Wait::new(Duration::ZERO)).await;
        works &= delivered.is_ok();
        for delivery in delivered.into_iter().flatten() {
            works &= broker.settle(&consumer, &[(delivery.receipt, Outcome::Done.into())]).await[0].is_ok();
        }
    }
    works &= broker.recover(&consumer, 10, Duration::ZERO).await.is_ok();
    works &= broker.renew(&consumer.worker, &queues, LEASE).await.is_ok();
    works &= broker.counts(&queue()).await.is_ok();
    works & broker.deregister(&consumer.worker, &queues).await.is_ok()
}

#[tokio::test]
async fn a_read_that_a_pause_holds_back_is_ended_after_it() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    let wait = Wait::new(Duration::from_secs(3_600));
    server.pause_writers();
    let claiming = tokio::spawn({
        let (broker, wait) = (broker.clone(), wait.clone());
        async move { broker.claim(&consumer, 1, &wait).await }
    });
    server.until_held_back(1).await;
    wait.stop();
    // Many servers die of being told to end a read that is held back: so what goes before is held back too.
    server.until_held_back(2).await;
    server.resume_writers();
    assert!(claiming.await.unwrap().unwrap().is_empty());
}

async fn until_it_works(broker: &RedisBroker) -> Duration {
    let began = Instant::now();
    while !round(broker).await {
        assert!(began.elapsed() < Duration::from_secs(30), "it never worked again");
        tokio::task::yield_now().await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_every_connection_cut_all_works_again_within_a_second() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    for _ in 0..5 {
        assert!(claim(&broker, &consumer, 1).await.is_empty());
        server.cut_all();
        let cut = Instant::now();
        until_it_works(&broker).await;
        // The worker that was there before has connections of its own.
        while broker.claim(&consumer, 1, &Wait::new(Duration::ZERO)).await.is_err() {
            assert!(cut.elapsed() < Duration::from_secs(30), "it never claimed again");
        }
        while !broker.renew(&consumer.worker, &[queue()], LEASE).await.is_ok_and(|renewed| renewed.held) {
            assert!(cut.elapsed() < Duration::from_secs(30), "its lease was never prolonged again");
        }
        let took = cut.elapsed();
        assert!(took < Duration::from_secs(1), "it took {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_back_is_found_within_a_second() {
    let mut server = Server::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("in flight"), message("waiting"), message("scheduled").after(LEASE)]).await;
    let delivered = claim(&broker, &consumer, 1).await.remove(0);
    server.kill();
    // It is tried for a while, so that the pauses have grown.
    let down = Instant::now();
    while down.elapsed() < Duration::from_secs(1) {
        assert!(!round(&broker).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.start_again();
    let back = Instant::now();
    while broker.renew(&consumer.worker, &[queue()], LEASE).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(back.elapsed() < Duration::from_secs(1), "it took {:?}", back.elapsed());
    while claim_of(&broker, &consumer).await.is_none() {
        tokio::task::yield_now().await;
    }
    let settled = loop {
        let receipt = delivered.receipt.clone();
        match broker.settle(&consumer, &[(receipt, Outcome::Done.into())]).await.remove(0) {
            Ok(settled) => break settled,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(settled, Settled::Applied);
    let counts = broker.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.scheduled), (0, 1, 1));
}

async fn claim_of(broker: &RedisBroker, consumer: &actor_core::delivery::Consumer) -> Option<String> {
    let delivered = broker.claim(consumer, 1, &Wait::new(Duration::ZERO)).await.ok()?;
    bodies(&delivered).pop()
}

#[tokio::test]
async fn without_a_server_every_call_fails_soon_and_says_that_nothing_happened() {
    let mut server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("a")]).await;
    let delivered = claim(&broker, &consumer, 1).await.remove(0);
    server.kill();
    // The first of these may have been on its way: from the second on there is no connection.
    let _ = broker.enqueue(&queue(), vec![message("b")]).await;
    let began = Instant::now();
    for _ in 0..100 {
        let error = broker.enqueue(&queue(), vec![message("b")]).await.remove(0).unwrap_err();
        assert!(error.is_transient() && !error.is_unknown(), "{error}");
        assert!(error.to_string().contains("could not be reached"), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(
        broker.settle(&consumer, &[(delivered.receipt, Outcome::Done.into())]).await[0]
            .as_ref()
            .unwrap_err()
            .is_transient()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_died_while_idle_is_known_before_it_is_used() {
    let mut server = Server::start();
    let broker = server.broker().await;
    send(&broker, vec![message("a")]).await;
    server.kill();
    server.start_again();
    send(&broker, vec![message("b")]).await;
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 1);
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_given_to_it_again() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let forget = || server.run::<String>("SCRIPT FLUSH");
    send(&broker, ["a", "b", "c", "d"].map(message).into()).await;
    let mut delivered = claim(&broker, &consumer, 4).await.into_iter().map(|delivery| delivery.receipt);
    let mut next = || delivered.next().unwrap();
    for settlement in [retry("a", Duration::ZERO), dead_letter("b", "b"), release("c")] {
        forget();
        assert_eq!(settle(&broker, &consumer, next(), settlement).await, Settled::Applied);
    }
    forget();
    let both = [(next(), Outcome::Done.into())];
    assert_eq!(*broker.settle(&consumer, &both).await[0].as_ref().unwrap(), Settled::Applied);
    forget();
    assert!(round(&broker).await);
    forget();
    send(&broker, vec![message("e"), message_of(Priority::High, "f").after(Duration::from_millis(1))]).await;
    forget();
    let mut all = Vec::new();
    while all.len() < 2 {
        all.extend(bodies(&wait_and_claim(&broker, &consumer).await));
    }
}

#[tokio::test]
async fn after_everything_was_flushed_the_lease_is_made_again_and_work_goes_on() {
    let server = Server::start();
    let broker = server.broker().await;
    let (one, other) = (worker(&broker).await, worker(&broker).await);
    assert!(claim(&broker, &one, 1).await.is_empty());
    let _: String = server.run("FLUSHALL");
    for consumer in [&one, &other] {
        let renewed = broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap();
        assert!(renewed.held && !renewed.forgotten.is_empty(), "nobody declared it dead: {renewed:?}");
        assert_eq!(broker.renew(&consumer.worker, &[queue()], LEASE).await.unwrap(), Renewal::held());
    }
    send(&broker, vec![message("a")]).await;
    assert_eq!(bodies(&claim(&broker, &one, 1).await), ["a"]);
    // Also where only the stream is gone under a worker that waits.
    let _: i64 = server.run("DEL {actor:mail}:ready:normal");
    send(&broker, vec![message("b")]).await;
    assert_eq!(bodies(&wait_and_claim(&broker, &one).await), ["b"]);
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_script_takes_no_connection_of_which_nothing_is_known() {
    let server = Server::with(&["--lua-time-limit", "20"]);
    let mut raw = server.raw();
    let script = std::thread::spawn(move || {
        redis::cmd("EVAL").arg("while true do end").arg(0).query::<redis::Value>(&mut raw).unwrap_err()
    });
    while redis::cmd("PING").query::<redis::Value>(&mut server.raw()).is_ok() {}
    for database in ["", "?db=2"] {
        let error = RedisBroker::connect(&format!("{}{database}", server.url())).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    let _: String = server.run("SCRIPT KILL");
    script.join().unwrap();
    assert!(round(&server.broker().await).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_address_leads_elsewhere_a_server_that_became_read_only_is_left() {
    let former = Server::alone(&[]);
    let proxy = Proxy::before(&former).await;
    let broker = RedisBroker::connect(&proxy.url()).await.unwrap();
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    // As after a failover: the former primary is the replica of somebody, and cuts nobody.
    let promoted = Server::alone(&[]);
    proxy.lead_to(&promoted);
    let _: String = former.run("REPLICAOF 127.0.0.1 1");
    until_it_works(&broker).await;
    send(&broker, vec![message("a")]).await;
    let began = Instant::now();
    while claim_of(&broker, &consumer).await.is_none() {
        assert!(began.elapsed() < Duration::from_secs(10), "it claims at the former");
    }
    while !broker.renew(&consumer.worker, &[queue()], LEASE).await.is_ok_and(|renewed| !renewed.forgotten.is_empty()) {
        assert!(began.elapsed() < Duration::from_secs(10), "it renews at the former");
    }
}
