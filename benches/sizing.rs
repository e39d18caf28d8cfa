//! Sizing: what messages, connections, replicas and rewrites take of a Redis, as in `docs/running-redis.md`.
//!
//! `cargo bench --bench sizing`.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actor_bench::library::{self, Running};
use actor_bench::work::{QUEUE, REASON, fails, noop};
use actor_bench::{Args, Figure, Persistence, Report, Result, Server, Spread, Tally};
use actor_core::broker::Broker;
use actor_core::delivery::{Consumer, Wait, WorkerId};
use actor_core::inspect::Inspect;
use actor_core::{QueueName, Worker};
use actor_redis::RedisBroker;
use serde_json::json;

/// Longer than any of this takes.
const LONG: Duration = Duration::from_secs(3_600);
/// What the page reckons with, in bytes beside a body. What is in flight is ready too.
const READY: f64 = 40.0;
const IN_FLIGHT: f64 = 90.0;
const SCHEDULED: f64 = 250.0;
/// Beside its reason too.
const DEAD: f64 = 360.0;
/// All numbers of messages have as many digits.
const FIRST: u64 = 1_000_000;

#[tokio::main]
async fn main() -> Result {
    let args = Args::read()?;
    let report = Report::new(&args, "Sizing");
    let sizing = Sizing { args: &args, report: &report };
    for bytes in [311, 2_048, 16_384] {
        sizing.messages(bytes).await?;
    }
    for queues in [50, 500] {
        sizing.connections(queues).await?;
    }
    sizing.replication().await?;
    sizing.rewrite().await
}

struct Sizing<'a> {
    args: &'a Args,
    report: &'a Report,
}

impl Sizing<'_> {
    /// What a message takes in each state, with a body of so many bytes.
    async fn messages(&self, bytes: usize) -> Result {
        let name = format!("message_{bytes}");
        if !self.args.wants(&name) {
            return Ok(());
        }
        let server = Server::start(Persistence::Off).await?;
        let count = self.args.messages(100_000);
        let settings = json!({"messages": count, "body": bytes});
        // Beside what the page reckons with, over a body that the allocator rounds up by a quarter.
        let show = |state: &str, grown: f64, over: f64| {
            let each = Spread::one(grown / count as f64);
            let figure = Figure::single(format!("{name}/{state}"), "bytes", each, &settings);
            self.report.show(&figure.within("the page's formula", 1.25 * bytes as f64 + over));
        };

        let (broker, text) = empty(&server, bytes).await?;
        let before = server.memory().await?;
        noop.send_many_with(&broker, (FIRST..FIRST + count).map(|n| (n, &*text))).await?;
        let ready = server.memory().await?;
        show("ready", ready - before, READY);
        let consumer = consumer(&broker).await?;
        let mut claimed = 0;
        while claimed < count {
            claimed += claim(&broker, &consumer).await?.len() as u64;
        }
        show("in_flight", server.memory().await? - before, READY + IN_FLIGHT);

        let (broker, text) = empty(&server, bytes).await?;
        let before = server.memory().await?;
        let message = move |n| noop.message(n, &text).delay(LONG);
        library::send_from(&broker, 64, FIRST..FIRST + count, message).await?;
        show("scheduled", server.memory().await? - before, SCHEDULED);

        let (broker, text) = empty(&server, bytes).await?;
        let before = server.memory().await?;
        fails.send_many_with(&broker, (FIRST..FIRST + count).map(|n| (n, &*text))).await?;
        let queue: QueueName = "bench-fails".parse()?;
        let tally = Arc::new(Tally::of(0..0));
        let worker = Running::start(library::worker(&broker, queue.as_str(), &tally));
        while broker.counts(&queue).await?.dead < count {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        worker.stop().await?;
        show("dead", server.memory().await? - before, DEAD + REASON.len() as f64);
        Ok(())
    }

    /// How many connections a worker of so many queues has, and what each takes.
    async fn connections(&self, queues: u32) -> Result {
        let name = format!("connections_{queues}");
        if !self.args.wants(&name) {
            return Ok(());
        }
        let server = Server::start(Persistence::Off).await?;
        let broker = server.broker().await?;
        let (before, standing) = (server.memory().await?, server.number("clients", "connected_clients").await?);
        let tally = Arc::new(Tally::of(0..0));
        let worker = Worker::builder(broker).state(tally).queues([QUEUE]);
        let worker = (1..queues).fold(worker, |worker, number| worker.also_serve(&*format!("bench-{number}")));
        let worker = Running::start(worker);
        while server.number("clients", "blocked_clients").await? < f64::from(queues) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let all = server.number("clients", "connected_clients").await?;
        // The broker's own stood before, beside the one that asks.
        let (count, made) = (all - 1.0, all - standing);
        let each = (server.memory().await? - before) / made / 1_024.0;
        let (began, used) = (Instant::now(), server.cpu().await?);
        // As long as it takes each queue to be checked for the dead.
        tokio::time::sleep(Duration::from_secs(if self.args.smoke { 1 } else { 40 })).await;
        let busy = 100.0 * (server.cpu().await? - used).div_duration_f64(began.elapsed());
        worker.stop().await?;
        let settings = json!({"queues": queues});
        for (figure, unit, value) in
            [("count", "", count), ("each_with_its_queue", "KiB", each), ("idle_cpu", "%", busy)]
        {
            self.report.show(&Figure::single(format!("{name}/{figure}"), unit, Spread::one(value), &settings));
        }
        Ok(())
    }

    /// How much a primary sends to a replica for each message: stored, delivered and settled.
    async fn replication(&self) -> Result {
        if !self.args.wants("replication") {
            return Ok(());
        }
        let server = Server::start(Persistence::Off).await?;
        let _replica = server.replica().await?;
        let count = self.args.messages(100_000);
        for bytes in [311, 2_048] {
            let (broker, text) = empty(&server, bytes).await?;
            let offset = async || server.number("replication", "master_repl_offset").await;
            let before = offset().await?;
            noop.send_many_with(&broker, (FIRST..FIRST + count).map(|n| (n, &*text))).await?;
            let sent = offset().await?;
            let tally = Arc::new(Tally::of(FIRST..FIRST + count));
            library::drain(&server, library::worker(&broker, QUEUE, &tally), QUEUE, &tally).await?;
            let drained = offset().await?;
            let settings = json!({"messages": count, "body": bytes});
            for (part, grown) in [("sent", sent - before), ("delivered_and_settled", drained - sent)] {
                let each = Spread::one(grown / count as f64);
                self.report.show(&Figure::single(format!("replication/{part}_{bytes}"), "bytes", each, &settings));
            }
        }
        Ok(())
    }

    /// How much of its memory Redis holds twice at most, when it rewrites its file while a backlog is drained.
    async fn rewrite(&self) -> Result {
        if !self.args.wants("rewrite") {
            return Ok(());
        }
        let server = Server::start(Persistence::EverySecond).await?;
        let count = self.args.messages(1_000_000);
        let (broker, text) = empty(&server, 311).await?;
        noop.send_many_with(&broker, (FIRST..FIRST + count).map(|n| (n, &*text))).await?;
        let used = server.memory().await?;
        let tally = Arc::new(Tally::of(FIRST..FIRST + count));
        let worker = Running::start(library::worker(&broker, QUEUE, &tally));
        server.rewrite().await?;
        while server.number("persistence", "aof_rewrite_in_progress").await? > 0.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (copied, left) = (server.number("persistence", "aof_last_cow_size").await?, server.held(QUEUE).await?);
        tally.reached().await?;
        worker.stop().await?;
        tally.verify()?;
        let settings = json!({"messages": count, "body": 311, "left at its end": left});
        self.report.show(&Figure::single("rewrite/copied", "%", Spread::one(100.0 * copied / used), &settings));
        Ok(())
    }
}

/// A broker of an empty server that keeps all dead letters, and the text that makes a body so many bytes long.
async fn empty(server: &Server, bytes: usize) -> Result<(RedisBroker, String)> {
    server.broker().await?;
    let many = NonZeroU64::MAX;
    let broker = RedisBroker::builder(&server.url())?.dead_letters(LONG, many).connect().await?;
    noop.send_with(&broker, FIRST, "").await?;
    let consumer = consumer(&broker).await?;
    let bare = claim(&broker, &consumer).await?.first().ok_or("a message without a body")?.body.len();
    server.broker().await?;
    Ok((broker, "x".repeat(bytes.saturating_sub(bare))))
}

async fn consumer(broker: &RedisBroker) -> Result<Consumer> {
    let (worker, queue) = (WorkerId::new("sizing"), QUEUE.parse::<QueueName>()?);
    broker.register(&worker, std::slice::from_ref(&queue), LONG).await?;
    Ok(Consumer::new(worker, queue))
}

async fn claim(broker: &RedisBroker, consumer: &Consumer) -> Result<Vec<actor_core::delivery::Delivery>> {
    Ok(broker.claim(consumer, 512, &Wait::new(Duration::ZERO)).await?)
}
