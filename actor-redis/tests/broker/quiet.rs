use std::time::{Duration, Instant};

use actor_core::Inspect;
use actor_core::broker::Broker;
use actor_core::delivery::Wait;
use actor_core::settlement::{Outcome, Settled};
use actor_redis::RedisBroker;

use crate::proxy::Proxy;
use crate::server::{LEASE, Server, bodies, claim, message, queue, retry, send, settle, worker};

/// After which quiet the wire forgets a connection, and a pause that is longer.
const FORGETS: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(3_500);
/// What a call may take: finding out and connecting, on a machine that is busy.
const QUICK: Duration = Duration::from_secs(2);

/// A server, a broker, and a wire between them that forgets.
async fn forgetful() -> (Server, Proxy, RedisBroker) {
    let server = Server::start();
    let proxy = Proxy::before(&server).await;
    proxy.forget_after(FORGETS);
    let broker = RedisBroker::connect(&proxy.url()).await.unwrap();
    (server, proxy, broker)
}

async fn quickly<T>(call: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let answer = call.await;
    assert!(began.elapsed() < QUICK, "it took {:?}", began.elapsed());
    answer
}

#[tokio::test]
async fn what_is_sent_after_a_quiet_time_is_stored_once_where_the_connection_was_forgotten() {
    let (server, proxy, broker) = forgetful().await;
    for number in 0..4 {
        if number > 0 {
            tokio::time::sleep(PAUSE).await; // Time itself makes the wire forget.
        }
        let sent = quickly(broker.enqueue(&queue(), vec![message(&number.to_string())])).await;
        sent.into_iter().for_each(|sent| assert_eq!(sent.unwrap(), actor_core::broker::Enqueued::Stored));
    }
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 4);
    assert_eq!(proxy.forgotten(), 3);
}

#[tokio::test]
async fn what_concurrent_callers_send_after_a_quiet_time_is_stored_once() {
    let (server, proxy, broker) = forgetful().await;
    send(&broker, vec![message("before")]).await;
    tokio::time::sleep(PAUSE).await;
    let one = |number: usize| {
        let broker = broker.clone();
        tokio::spawn(async move { quickly(send(&broker, vec![message(&number.to_string())])).await })
    };
    for sent in (0..50).map(one).collect::<Vec<_>>() {
        sent.await.unwrap();
    }
    tokio::time::sleep(PAUSE).await;
    quickly(send(&broker, (0..50).map(|_| message("many")).collect())).await;
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 101);
    assert_eq!(proxy.forgotten(), 2);
}

#[tokio::test]
async fn whoever_asks_after_a_quiet_time_is_answered() {
    let (_server, _proxy, broker) = forgetful().await;
    let consumer = worker(&broker).await;
    send(&broker, ["done", "retry"].map(message).into()).await;
    let delivered = claim(&broker, &consumer, 2).await;
    let mut settlements = [Outcome::Done.into(), retry("again", LEASE)].into_iter();
    for delivery in delivered {
        tokio::time::sleep(PAUSE).await;
        let settled = quickly(settle(&broker, &consumer, delivery.receipt, settlements.next().unwrap())).await;
        assert_eq!(settled, Settled::Applied);
    }
    tokio::time::sleep(PAUSE).await;
    let counts = quickly(broker.counts(&queue())).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.scheduled), (0, 0, 1));
}

#[tokio::test]
async fn a_worker_whose_slots_were_full_for_long_claims_at_once() {
    let (_server, _proxy, broker) = forgetful().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    tokio::time::sleep(PAUSE).await;
    send(&broker, vec![message("a")]).await;
    let delivered = quickly(broker.claim(&consumer, 1, &Wait::new(Duration::from_secs(60)))).await.unwrap();
    assert_eq!(bodies(&delivered), ["a"]);
}

#[tokio::test]
async fn a_message_that_went_to_a_read_that_was_forgotten_is_found() {
    let (server, proxy, broker) = forgetful().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    let waiting = tokio::spawn({
        let (broker, consumer) = (broker.clone(), consumer.clone());
        async move { broker.claim(&consumer, 1, &Wait::new(Duration::from_secs(3_600))).await }
    });
    server.until_a_read_waits().await;
    tokio::time::sleep(PAUSE).await;
    let _: String = server.run("XADD {actor:mail}:ready:normal * m lost");
    assert!(waiting.await.unwrap().unwrap_err().is_unknown());
    assert!(proxy.forgotten() >= 1);
    assert_eq!(bodies(&quickly(claim(&broker, &consumer, 1)).await), ["lost"]);
}

#[tokio::test]
async fn a_server_that_stands_still_for_a_while_is_waited_for_after_a_quiet_time() {
    let server = Server::start();
    let broker = server.broker().await;
    send(&broker, vec![message("before")]).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    server.freeze();
    let sending = tokio::spawn(async move { broker.enqueue(&queue(), vec![message("a")]).await.remove(0) });
    // Longer than a connection may take to be made, and shorter than an answer may take.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    server.thaw();
    sending.await.unwrap().unwrap();
    assert_eq!(server.run::<i64>("XLEN {actor:mail}:ready:normal"), 2);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_quiet_connection_is_kept_alive_by_the_system() {
    let server = Server::on_port(|port| vec!["--port".to_owned(), port.to_owned()]);
    let broker = RedisBroker::connect(&format!("redis://127.0.0.1:{}", server.port())).await.unwrap();
    let consumer = worker(&broker).await;
    claim(&broker, &consumer, 1).await;
    let port = format!(":{:04X}", server.port().parse::<u16>().unwrap());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // sl, local, remote, state, queues, timer:when
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let ours = lines.iter().filter(|line| line[2].ends_with(&port) && line[3] == "01");
    let mut seen = 0;
    for line in ours {
        let (timer, when) = line[5].split_once(':').unwrap();
        assert_eq!(timer, "02", "no keepalive: {line:?}");
        let hundredths = u64::from_str_radix(when, 16).unwrap();
        assert!(hundredths <= 3_100, "the next probe comes in {hundredths} hundredths of a second");
        seen += 1;
    }
    assert_eq!(seen, 3, "{table}");
}
