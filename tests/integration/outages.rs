use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actor_core::{Broker, Context, SendError, actor};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::support::{Gate, Probe, RedisServer, RunningWorker, Stage, by_hand, probe};

/// The longest time from a cut to the next run.
const SOON: Duration = Duration::from_secs(1);

/// How many messages each sender sends.
const LOAD: u32 = 500;
const SENDERS: u32 = 4;

/// How often each message ran to its end.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<BTreeMap<u32, u32>>>);

impl Runs {
    fn count(&self, number: u32) {
        *self.0.lock().unwrap().entry(number).or_insert(0) += 1;
    }

    fn all(&self) -> BTreeMap<u32, u32> {
        self.0.lock().unwrap().clone()
    }
}

/// Fails now and then, so that retries are stored too when the server is killed.
#[actor(queue = "load", max_retries = 20, min_backoff = "1ms", max_backoff = "20ms")]
async fn load(cx: &Context, number: u32, #[state] runs: &Runs) -> Result<(), String> {
    sleep(Duration::from_millis(2)).await;
    if number.is_multiple_of(3) && cx.attempt() == 1 {
        return Err("at first".to_owned());
    }
    runs.count(number);
    Ok(())
}

#[actor(queue = "cut")]
async fn cut(number: u32, #[state] probe: &Probe, #[state] gate: &Gate) {
    gate.pass().await;
    probe.report(number.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_and_restarted_under_load_loses_nothing_and_nothing_is_stuck() {
    let mut stage = Stage::on(RedisServer::durable()).await;
    let runs = Runs::default();
    let mut workers = Vec::new();
    for _ in 0..2 {
        workers.push(RunningWorker::start(stage.worker("load").await.state(runs.clone())));
    }
    let (stored, mut progress) = mpsc::unbounded_channel();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let numbers = sender * LOAD..(sender + 1) * LOAD;
            tokio::spawn(send_all(Arc::clone(&stage.broker), numbers, stored.clone()))
        })
        .collect();
    drop(stored);
    let mut acknowledged = Vec::new();
    while let Some(number) = progress.recv().await {
        acknowledged.push(number);
        if acknowledged.len() % 500 == 400 {
            stage.server().restart();
        }
    }
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(acknowledged.len() > 1_900, "only {} messages were stored", acknowledged.len());
    let counts = stage.until_empty("load").await;
    assert_eq!(counts.dead, 0);
    for worker in workers {
        worker.stop().await;
    }
    let runs = runs.all();
    let lost: Vec<_> = acknowledged.iter().filter(|number| !runs.contains_key(number)).collect();
    assert!(lost.is_empty(), "stored, and never done: {lost:?}");
}

/// Sends each number until it is stored, or may have been.
async fn send_all(broker: Arc<dyn Broker>, numbers: std::ops::Range<u32>, stored: mpsc::UnboundedSender<u32>) {
    for number in numbers {
        loop {
            match load.send_with(&broker, number).await {
                Ok(_) => break stored.send(number).unwrap(),
                Err(error) if error.is_unknown() => break,
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn an_idle_worker_works_again_within_a_second_of_the_cut_of_every_connection() {
    let mut stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    let worker = RunningWorker::start(stage.worker("cut").await.state(probe).state(Gate::opened()));
    for round in 0..5 {
        stage.server().until_waiting(1).await;
        let began = Instant::now();
        stage.server().cut_connections();
        let stream = "{actor:cut}:ready:normal";
        stage.server().cli(&["XADD", stream, "*", "m", &by_hand("cut", "cut", &format!("[{round}]"))]);
        assert_eq!(reports.next().await, round.to_string());
        let took = began.elapsed();
        assert!(took < SOON, "it took {took:?} from the cut to the next run");
        stage.until_empty("cut").await;
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_sender_sends_again_within_a_second_of_the_cut_of_every_connection() {
    let mut stage = Stage::redis().await;
    for _ in 0..5 {
        let before = stage.counts("cut").await.ready;
        let began = Instant::now();
        stage.server().cut_connections();
        while let Err(error) = cut.send_with(&stage.broker, 1).await {
            assert!(error.is_transient(), "{error:?}");
            sleep(Duration::from_millis(5)).await;
        }
        let took = began.elapsed();
        assert!(took < SOON, "it took {took:?} from the cut to the next message");
        assert!(stage.counts("cut").await.ready > before);
    }
}

#[tokio::test]
async fn a_busy_worker_works_again_within_a_second_of_the_cut_of_every_connection() {
    const BACKLOG: u32 = 3_000;
    let mut stage = Stage::redis().await;
    let (probe, mut reports) = probe();
    cut.send_many_with(&stage.broker, 0..BACKLOG).await.unwrap();
    let gate = Gate::closed();
    let builder = stage.worker("cut").await.concurrency(16);
    let worker = RunningWorker::start(builder.state(probe).state(gate.clone()));
    let mut runs = vec![0; BACKLOG as usize];
    for round in 0..3 {
        // What the worker held at the cut does not prove that it works again.
        let in_hand = usize::try_from(stage.counts("cut").await.in_flight).unwrap();
        let began = Instant::now();
        stage.server().cut_connections();
        gate.let_pass(1_000);
        for nth in 0..1_000 {
            runs[reports.next().await.parse::<usize>().unwrap()] += 1;
            let took = began.elapsed();
            assert!(nth != in_hand || took < SOON, "round {round}: it took {took:?} from the cut to the next run");
        }
    }
    let counts = stage.until_empty("cut").await;
    assert_eq!(counts.dead, 0);
    worker.stop().await;
    assert!(runs.iter().all(|runs| *runs == 1), "a cut costs no second run while the worker lives");
}

#[tokio::test]
async fn sending_while_redis_is_away_says_that_nothing_was_stored() {
    let mut stage = Stage::on(RedisServer::durable()).await;
    cut.send_with(&stage.broker, 1).await.unwrap();
    stage.server().kill();
    // The connection may break only now, under the first of them.
    let _ = cut.send_with(&stage.broker, 2).await;
    let error = cut.send_with(&stage.broker, 3).await.unwrap_err();
    assert!(error.is_transient() && !error.is_unknown() && !error.is_invalid(), "{error:?}");
    assert_eq!(error.to_string(), "the message was not stored");
    assert!(
        ["could not", "cannot"].iter().any(|word| causes(&error).contains(&format!("{word} be reached"))),
        "{}",
        causes(&error)
    );
    let failed = cut.send_many_with(&stage.broker, 4..2_000).await.unwrap_err();
    assert!(failed.sent.is_empty() && failed.unknown.is_empty(), "{failed:?}");
    assert_eq!((failed.not_sent.len(), failed.taken), (1_000, 1_000));
    stage.server().revive();
    while cut.send_with(&stage.broker, 5).await.is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    let ready = stage.counts("cut").await.ready;
    assert!((2..=3).contains(&ready), "{ready} are stored: the first, the last, and the second at most");
}

#[tokio::test]
async fn what_was_in_flight_when_the_connection_broke_may_have_been_stored() {
    let mut stage = Stage::on(RedisServer::durable()).await;
    // The first message of a queue also lists it.
    cut.send_with(&stage.broker, 0).await.unwrap();
    stage.server().cli(&["CLIENT", "PAUSE", "600000", "WRITE"]);
    let broker = Arc::clone(&stage.broker);
    let in_flight = tokio::spawn(async move { cut.send_with(&broker, 1).await });
    stage.server().until_waiting(1).await;
    stage.server().kill();
    let error = in_flight.await.unwrap().unwrap_err();
    assert!(error.is_unknown() && error.is_transient(), "{error:?}");
    assert_eq!(error.to_string(), "the message may or may not have been stored");
    stage.server().revive();
    assert_eq!(stage.until("cut", |_| true).await.ready, 1, "it is not sent again by itself");
}

#[tokio::test]
async fn a_worker_that_starts_while_redis_is_away_begins_when_it_is_there() {
    let mut stage = Stage::on(RedisServer::durable()).await;
    let (probe, mut reports) = probe();
    let builder = stage.worker("cut").await.state(probe).state(Gate::opened());
    cut.send_with(&stage.broker, 1).await.unwrap();
    stage.server().kill();
    let worker = RunningWorker::start(builder);
    sleep(Duration::from_millis(200)).await; // No event shows that it does not give up.
    stage.server().revive();
    assert_eq!(reports.next().await, "1");
    worker.stop().await;
}

/// The texts of an error's causes.
fn causes(error: &SendError) -> String {
    let mut text = String::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
