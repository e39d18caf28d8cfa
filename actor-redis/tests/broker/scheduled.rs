use std::time::{Duration, Instant};

use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Delivery, Wait};
use actor_core::settlement::{Outcome, Settled};
use actor_redis::RedisBroker;
use tokio::task::JoinHandle;

use crate::proxy::Proxy;
use crate::server::{Server, bodies, claim, message, queue, retry, send, settle, wait_and_claim, worker};

const SOON: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_secs(3600);
/// Long enough for two workers to begin to wait meanwhile.
const LATER: Duration = Duration::from_secs(2);
/// Sooner than a worker would look without being woken.
const PROMPT: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_worker_that_waits_is_woken_for_what_becomes_due() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, vec![message("in an hour").after(HOUR)]).await;
    let waiting = tokio::spawn({
        let (broker, consumer) = (broker.clone(), consumer.clone());
        async move { broker.claim(&consumer, 1, &Wait::new(HOUR)).await.unwrap() }
    });
    server.until_a_read_waits().await;
    let sent = Instant::now();
    send(&broker, vec![message("soon").after(SOON)]).await;
    assert_eq!(bodies(&waiting.await.unwrap()), ["soon"]);
    assert!(sent.elapsed() >= SOON, "it came after {:?}", sent.elapsed());
    assert!(sent.elapsed() < PROMPT, "it came after {:?}", sent.elapsed());
    assert!(!server.is_wake_unread() && !server.holds_a_wake());
}

#[tokio::test]
async fn what_is_due_does_not_wait_for_the_servers_next_tick() {
    // Redis ends a read whose time is up at its next tick where nothing else wakes it: here each second.
    let server = Server::with(&["--hz", "1"]);
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let began = Instant::now();
    for body in ["1", "2", "3", "4", "5"] {
        send(&broker, vec![message(body).after(SOON)]).await;
        assert_eq!(bodies(&wait_and_claim(&broker, &consumer).await), [body]);
    }
    assert!(began.elapsed() < 3 * Duration::from_secs(1), "five took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_worker_that_waits_is_woken_for_a_retry() {
    let server = Server::start();
    let broker = server.broker().await;
    let (one, two) = (worker(&broker).await, worker(&broker).await);
    send(&broker, vec![message("first")]).await;
    let delivered = claim(&broker, &one, 1).await.remove(0);
    let waiting = tokio::spawn({
        let broker = broker.clone();
        async move { broker.claim(&two, 1, &Wait::new(HOUR)).await.unwrap() }
    });
    server.until_a_read_waits().await;
    let sent = Instant::now();
    settle(&broker, &one, delivered.receipt, retry("second", SOON)).await;
    assert_eq!(bodies(&waiting.await.unwrap()), ["second"]);
    assert!((SOON..PROMPT).contains(&sent.elapsed()), "it came after {:?}", sent.elapsed());
}

#[tokio::test]
async fn messages_become_ready_in_the_order_of_their_times() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let after = |body: &str, ms| message(body).after(Duration::from_millis(ms));
    send(&broker, vec![after("3", 60), after("1", 20), after("2", 40)]).await;
    let mut got = Vec::new();
    while got.len() < 3 {
        got.extend(bodies(&wait_and_claim(&broker, &consumer).await));
    }
    assert_eq!(got, ["1", "2", "3"]);
}

#[tokio::test]
async fn more_than_one_look_can_move_become_due_at_once() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let soon = Duration::from_millis(1);
    send(&broker, (0..1_000).map(|number| message(&number.to_string()).after(soon)).collect()).await;
    let mut got = 0;
    while got < 1_000 {
        got += wait_and_claim(&broker, &consumer).await.len();
    }
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:scheduled"), 0);
    assert_eq!(server.run::<i64>("HLEN {actor:mail}:scheduled:bodies"), 0);
}

#[tokio::test]
async fn while_more_is_due_than_a_look_moves_settlements_move_as_many_as_they_settle() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    // The first claim of all makes the group, and looks twice.
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    let soon = Duration::from_millis(1);
    send(&broker, (0..600).map(|number| message(&number.to_string()).after(soon)).collect()).await;
    let last: Vec<(String, f64)> = server.run("ZRANGE {actor:mail}:scheduled -1 -1 WITHSCORES");
    let now_ms = || {
        let (seconds, micros): (f64, f64) = server.run("TIME");
        seconds * 1000.0 + micros / 1000.0
    };
    while now_ms() < last[0].1 {}
    let waiting = || server.run::<i64>("ZCARD {actor:mail}:scheduled");

    let mut delivered = wait_and_claim(&broker, &consumer).await;
    assert_eq!(waiting(), 600 - 512);
    let Delivery { receipt, .. } = delivered.pop().unwrap();
    assert_eq!(settle(&broker, &consumer, receipt, Outcome::Done.into()).await, Settled::Applied);
    assert_eq!(waiting(), 600 - 513);
    let Delivery { receipt, .. } = delivered.pop().unwrap();
    assert_eq!(settle(&broker, &consumer, receipt, retry("again", HOUR)).await, Settled::Applied);
    assert_eq!(waiting(), 600 - 514 + 1);

    assert_eq!(wait_and_claim(&broker, &consumer).await.len(), 10);
    assert_eq!(waiting(), 1, "what is due in an hour");
    let Delivery { receipt, .. } = delivered.pop().unwrap();
    assert_eq!(settle(&broker, &consumer, receipt, Outcome::Done.into()).await, Settled::Applied);
    assert_eq!(waiting(), 1, "only what is due was moved");
}

#[tokio::test]
async fn times_are_those_of_the_server() {
    let server = Server::start();
    let broker = server.broker().await;
    send(&broker, vec![message("in an hour").after(HOUR)]).await;
    let (seconds, micros): (f64, f64) = server.run("TIME");
    let now = seconds * 1000.0 + micros / 1000.0;
    let waiting: Vec<(String, f64)> = server.run("ZRANGE {actor:mail}:scheduled 0 -1 WITHSCORES");
    assert!((now + 3_600_000.0 - waiting[0].1).abs() < 10_000.0);
    let here = broker.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0;
    assert!((here - now).abs() < 10_000.0);
}

#[tokio::test]
async fn the_longest_delay_there_is_does_not_overflow() {
    let server = Server::start();
    let broker = server.broker().await;
    send(&broker, vec![message("never").after(Duration::MAX)]).await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    let waiting: Vec<(String, f64)> = server.run("ZRANGE {actor:mail}:scheduled 0 -1 WITHSCORES");
    // Beyond this, a score could not tell one millisecond from the next.
    assert!(waiting[0].1 < (1_u64 << 53) as f64);
}

#[tokio::test]
async fn an_index_without_its_body_is_let_go() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    let _: i64 = server.run("ZADD {actor:mail}:scheduled 1 normal:gone");
    let _: i64 = server.run("ZADD {actor:mail}:scheduled 2 normal:here");
    let _: i64 = server.run("HSET {actor:mail}:scheduled:bodies normal:here here");
    assert_eq!(bodies(&wait_and_claim(&broker, &consumer).await), ["here"]);
    assert_eq!(server.run::<i64>("ZCARD {actor:mail}:scheduled"), 0);
}

#[tokio::test]
async fn a_paused_queue_delivers_nothing_and_goes_on_where_it_was() {
    use actor_core::Inspect;
    let server = Server::start();
    let (broker, elsewhere) = (server.broker().await, server.broker().await);
    let consumer = worker(&broker).await;
    let waiting = tokio::spawn({
        let (broker, consumer) = (broker.clone(), consumer.clone());
        async move { broker.claim(&consumer, 1, &Wait::new(HOUR)).await.unwrap() }
    });
    server.until_a_read_waits().await;
    elsewhere.pause(&queue()).await.unwrap();
    broker.renew(&consumer.worker, &[queue()], HOUR).await.unwrap();
    // The heartbeat has ended the read: what comes now is not in flight.
    tokio::time::timeout(PROMPT, server.until_no_read_waits()).await.unwrap();
    send(&elsewhere, vec![message("held back")]).await;
    let counts = elsewhere.counts(&queue()).await.unwrap();
    assert_eq!((counts.ready, counts.in_flight, counts.paused), (1, 0, true));
    elsewhere.resume(&queue()).await.unwrap();
    broker.renew(&consumer.worker, &[queue()], HOUR).await.unwrap();
    assert_eq!(bodies(&waiting.await.unwrap()), ["held back"]);
}

/// Claims one, and waits for it.
fn start_waiting(broker: &RedisBroker, consumer: &Consumer, wait: &Wait) -> JoinHandle<Vec<Delivery>> {
    let (broker, consumer, wait) = (broker.clone(), consumer.clone(), wait.clone());
    tokio::spawn(async move { broker.claim(&consumer, 1, &wait).await.unwrap() })
}

/// Schedules a message, and has two workers wait: of these the first knows of it, and the second does not.
/// Returns when it was sent, too.
async fn one_knows(
    server: &Server,
    broker: &RedisBroker,
    wait: &Wait,
) -> (Instant, JoinHandle<Vec<Delivery>>, JoinHandle<Vec<Delivery>>) {
    let (one, two) = (worker(broker).await, worker(broker).await);
    // It looks now, and by itself not again before PROMPT.
    assert!(claim(broker, &two, 1).await.is_empty());
    let knows = start_waiting(broker, &one, wait);
    server.until_a_read_waits().await;
    let sent = Instant::now();
    send(broker, vec![message("due").after(LATER)]).await;
    server.until_woken().await;
    server.until_a_read_waits().await;
    let waits = start_waiting(broker, &two, &Wait::new(HOUR));
    server.until_two_reads_wait().await;
    (sent, knows, waits)
}

async fn comes_at_its_time(sent: Instant, waiting: JoinHandle<Vec<Delivery>>) {
    assert_eq!(bodies(&waiting.await.unwrap()), ["due"]);
    assert!((LATER..LATER + PROMPT).contains(&sent.elapsed()), "it came after {:?}", sent.elapsed());
}

#[tokio::test]
async fn a_worker_whose_slots_are_full_leaves_what_is_due_to_another() {
    let server = Server::start();
    let broker = server.broker().await;
    let (sent, knows, waits) = one_knows(&server, &broker, &Wait::new(HOUR)).await;
    // Of those who wait, the server gives it to the one who has waited longest.
    send(&broker, vec![message("long")]).await;
    assert_eq!(bodies(&knows.await.unwrap()), ["long"]);
    comes_at_its_time(sent, waits).await;
}

#[tokio::test]
async fn a_worker_that_stops_leaves_what_is_due_to_another() {
    let server = Server::start();
    let broker = server.broker().await;
    let stopped = Wait::new(HOUR);
    let (sent, knows, waits) = one_knows(&server, &broker, &stopped).await;
    stopped.stop();
    assert!(knows.await.unwrap().is_empty());
    comes_at_its_time(sent, waits).await;
}

#[tokio::test]
async fn a_worker_that_was_woken_and_got_its_fill_in_one_read_has_another_look_at_what_is_due() {
    let server = Server::start();
    let broker = server.broker().await;
    let (one, two) = (worker(&broker).await, worker(&broker).await);
    for consumer in [&one, &two] {
        assert!(claim(&broker, consumer, 1).await.is_empty());
    }
    let sent = Instant::now();
    send(&broker, vec![message("due").after(LATER), message("long")]).await;
    assert_eq!(bodies(&claim(&broker, &one, 1).await), ["long"]);
    comes_at_its_time(sent, start_waiting(&broker, &two, &Wait::new(HOUR))).await;
}

#[tokio::test]
async fn a_busy_worker_does_not_pass_on_for_ever_what_it_has_seen_to() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    let _: String = server.run("XADD {actor:mail}:wake * w 1");
    send(&broker, (0..10).map(|number| message(&number.to_string())).collect()).await;
    // It has not checked for this yet.
    assert_eq!(claim(&broker, &consumer, 2).await.len(), 2);
    assert!(server.is_wake_unread(), "what it was woken for, it has passed on");
    // Busy consumers wake others once a second at most: now this one may again.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(claim(&broker, &consumer, 2).await.len(), 2);
    assert_eq!(claim(&broker, &consumer, 2).await.len(), 2);
    assert!(!server.is_wake_unread());
}

/// As where the worker died that was woken for it.
#[tokio::test]
async fn a_retry_wakes_a_worker_for_what_is_overdue() {
    let server = Server::start();
    let broker = server.broker().await;
    let consumer = worker(&broker).await;
    send(&broker, ["a", "b", "c"].map(message).into()).await;
    let mut held = claim(&broker, &consumer, 3).await.into_iter().map(|delivery| delivery.receipt);
    settle(&broker, &consumer, held.next().unwrap(), retry("a", Duration::from_millis(1))).await;
    assert!(server.is_wake_unread(), "nothing else is due sooner");
    let read = "XREADGROUP GROUP workers dead STREAMS {actor:mail}:wake >";
    let _: redis::Value = server.run(read);
    let member: Vec<String> = server.run("ZRANGE {actor:mail}:scheduled 0 0");
    let _: u64 = server.run(&format!("ZADD {{actor:mail}}:scheduled 1 {}", member[0]));
    for body in ["b", "c"] {
        settle(&broker, &consumer, held.next().unwrap(), retry(body, Duration::from_millis(1))).await;
        assert!(server.is_wake_unread());
        assert_eq!(server.run::<u64>("XLEN {actor:mail}:wake"), 1, "one is enough");
    }
}

#[tokio::test]
async fn what_is_due_is_not_missed_where_the_answer_that_named_it_was_lost() {
    let server = Server::start();
    let proxy = Proxy::before(&server).await;
    let broker = RedisBroker::connect(&proxy.url()).await.unwrap();
    let consumer = worker(&broker).await;
    assert!(claim(&broker, &consumer, 1).await.is_empty());
    let claiming = tokio::spawn({
        let (broker, consumer) = (broker.clone(), consumer.clone());
        async move { broker.claim(&consumer, 1, &Wait::new(HOUR)).await }
    });
    server.until_a_read_waits().await;
    proxy.swallow_the_next_answer();
    send(&server.broker().await, vec![message("soon").after(Duration::from_millis(1))]).await;
    assert!(claiming.await.unwrap().is_err());
    // By itself the consumer looks at what is due no sooner than after eleven seconds.
    let claimed = tokio::time::timeout(Duration::from_secs(8), wait_and_claim(&broker, &consumer)).await;
    assert_eq!(bodies(&claimed.expect("it looks")), ["soon"]);
}
