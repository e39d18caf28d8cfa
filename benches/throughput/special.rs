//! Special scenarios: sending and draining at once, retries, scheduled messages, plain functions, batches, priorities,
//! tracing, and persistence.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actor_bench::library::{self, Running};
use actor_bench::work::{self, TEXT, fails_once, followed, noop, noop_batch, noop_sync};
use actor_bench::{Args, Cost, Meter, Pairs, Persistence, Report, Result, Server, Tally};
use actor_core::{Priority, QueueName};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// The number of messages in a scenario.
const MESSAGES: u64 = 100_000;

const NORMAL: &[Priority] = &[Priority::Normal];
const EVERY: &[Priority] = &[Priority::High, Priority::Normal, Priority::Low];

struct Special<'a> {
    args: &'a Args,
    report: &'a Report,
    server: &'a Server,
    messages: u64,
}

/// Runs the selected scenarios.
pub(crate) async fn run(args: &Args, report: &Report) -> Result {
    let server = Server::start(Persistence::Off).await?;
    let special = Special { args, report, server: &server, messages: args.messages(MESSAGES) };
    let plain_floor = async || special.floor_drain(&server).await;
    let plain = async || special.drain(&server, NORMAL).await;

    special.pairs("send_and_work", "floor", async || special.both().await, async || special.floor_both().await).await?;
    special.pairs("retries", "floor, each once", async || special.retries().await, plain_floor).await?;
    special.pairs("scheduled", "floor, not scheduled", async || special.scheduled().await, plain_floor).await?;
    special.pairs("sync_actor", "floor", async || special.sync().await, plain_floor).await?;
    special.pairs("batches", "one message a run", async || special.batches().await, plain).await?;
    special.pairs("chain", "one message in place of two", async || special.chain().await, plain).await?;
    special.pairs("priorities", "one priority", async || special.drain(&server, EVERY).await, plain).await?;
    if args.wants("tracing_info") {
        let level = install_tracing();
        let traced = async || {
            level.modify(|level| *level = LevelFilter::INFO)?;
            let cost = special.drain(&server, NORMAL).await;
            level.modify(|level| *level = LevelFilter::OFF)?;
            cost
        };
        special.pairs("tracing_info", "tracing off", traced, plain).await?;
    }
    if args.wants("aof_everysec_of_off") {
        let durable = Server::start(Persistence::EverySecond).await?;
        let ours = async || special.drain(&durable, NORMAL).await;
        special.pairs("aof_everysec_of_off", "no persistence", ours, plain).await?;
    }
    Ok(())
}

/// Spans and events at a level that can be changed, discarded.
fn install_tracing() -> reload::Handle<LevelFilter, Registry> {
    let (level, handle) = reload::Layer::new(LevelFilter::OFF);
    tracing_subscriber::registry().with(level).with(fmt::layer().with_writer(std::io::sink)).init();
    handle
}

impl Special<'_> {
    async fn pairs(
        &self,
        name: &str,
        base_name: &str,
        ours: impl AsyncFnMut() -> Result<Cost>,
        base: impl AsyncFnMut() -> Result<Cost>,
    ) -> Result {
        if self.args.wants(name) {
            let pairs = Pairs::run(self.args, ours, base).await?;
            let settings = json!({"messages": self.messages, "persistence": "off", "concurrency": 64});
            self.report.cost(&format!("{name}/drain"), &pairs, |cost| *cost, base_name, &settings);
        }
        Ok(())
    }

    fn tally(&self) -> Arc<Tally> {
        Arc::new(Tally::of(0..self.messages))
    }

    /// A backlog with alternating priorities.
    async fn drain(&self, server: &Server, priorities: &'static [Priority]) -> Result<Cost> {
        let broker = server.broker().await?;
        let message = move |n: u64| noop.message(n, TEXT).priority(priorities[n as usize % priorities.len()]);
        library::send_from(&broker, 64, 0..self.messages, message).await?;
        let tally = self.tally();
        library::drain(server, library::worker(&broker, work::QUEUE, &tally), work::QUEUE, &tally).await
    }

    async fn floor_drain(&self, server: &Server) -> Result<Cost> {
        let floor = server.floor().await?;
        floor.send_many(0..self.messages, TEXT).await?;
        floor.drain(server, &self.tally()).await
    }

    /// 64 senders and a worker at the same time, until all is done.
    async fn both(&self) -> Result<Cost> {
        let broker = self.server.broker().await?;
        let tally = self.tally();
        let worker = Running::start(library::worker(&broker, work::QUEUE, &tally));
        let meter = Meter::start(self.server).await?;
        library::send_from(&broker, 64, 0..self.messages, |n| noop.message(n, TEXT)).await?;
        self.finish(meter, worker, work::QUEUE, &tally).await
    }

    async fn floor_both(&self) -> Result<Cost> {
        let floor = self.server.floor().await?;
        let (tally, text) = (self.tally(), TEXT.into());
        let _worker = floor.work(&tally);
        let meter = Meter::start(self.server).await?;
        floor.send_from(64, 0..self.messages, &text).await?;
        tally.reached().await?;
        self.server.settled(work::QUEUE, 0).await?;
        let cost = meter.stop(self.server, self.messages).await?;
        tally.verify()?;
        Ok(cost)
    }

    /// Every message fails once and is retried.
    async fn retries(&self) -> Result<Cost> {
        let broker = self.server.broker().await?;
        fails_once.send_many_with(&broker, (0..self.messages).map(|n| (n, TEXT))).await?;
        let (tally, queue) = (self.tally(), "bench-retries");
        library::drain(self.server, library::worker(&broker, queue, &tally), queue, &tally).await
    }

    /// Each message is followed by one in another queue.
    async fn chain(&self) -> Result<Cost> {
        let broker = self.server.broker().await?;
        followed.send_many_with(&broker, (0..self.messages).map(|n| (n, TEXT))).await?;
        let tally = self.tally();
        let queues: [QueueName; 2] = [work::QUEUE.parse()?, "bench-chain".parse()?];
        let worker = library::worker(&broker, work::QUEUE, &tally).queues(queues);
        library::drain(self.server, worker, work::QUEUE, &tally).await
    }

    /// All messages fall due at once, while the worker waits. Time counts from then.
    async fn scheduled(&self) -> Result<Cost> {
        let broker = self.server.broker().await?;
        // Enough time to send all of them first.
        let wait = Duration::from_secs(2) + Duration::from_micros(40 * self.messages);
        let due = SystemTime::now() + wait;
        let at = tokio::time::Instant::now() + wait;
        library::send_from(&broker, 64, 0..self.messages, move |n| noop.message(n, TEXT).at(due)).await?;
        if tokio::time::Instant::now() >= at {
            return Err("scheduling took longer than it may".into());
        }
        let tally = self.tally();
        let worker = Running::start(library::worker(&broker, work::QUEUE, &tally));
        tokio::time::sleep_until(at).await;
        let meter = Meter::start(self.server).await?;
        self.finish(meter, worker, work::QUEUE, &tally).await
    }

    /// A plain function, on a thread of the worker.
    async fn sync(&self) -> Result<Cost> {
        let broker = self.server.broker().await?;
        noop_sync.send_many_with(&broker, (0..self.messages).map(|n| (n, TEXT))).await?;
        let (tally, queue) = (self.tally(), "bench-sync");
        library::drain(self.server, library::worker(&broker, queue, &tally), queue, &tally).await
    }

    /// Up to 100 messages in a run.
    async fn batches(&self) -> Result<Cost> {
        let broker = self.server.broker().await?;
        noop_batch.send_many_with(&broker, (0..self.messages).map(|n| (n, TEXT.to_owned()))).await?;
        let (tally, queue) = (self.tally(), "bench-batches");
        library::drain(self.server, library::worker(&broker, queue, &tally), queue, &tally).await
    }

    async fn finish(&self, meter: Meter, worker: Running, queue: &str, tally: &Tally) -> Result<Cost> {
        tally.reached().await?;
        self.server.settled(queue, 0).await?;
        let cost = meter.stop(self.server, self.messages).await?;
        worker.stop().await?;
        tally.verify()?;
        Ok(cost)
    }
}
