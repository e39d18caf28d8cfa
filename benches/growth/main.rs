//! Growth with the number of waiting messages, queues, primaries, slots and processes, and with the distance to Redis.
//!
//! `cargo bench --bench growth`. Each figure is compared with the library's own at the smallest size, and those at a
//! distance with the same without latency.

mod primaries;
mod queues;
mod standing;

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use actor_bench::library::{self, Running};
use actor_bench::work::{QUEUE, TEXT, noop, waits};
use actor_bench::{Args, Cost, Figure, Meter, Pairs, Persistence, Proxy, Report, Result, Server, Tally, WorkerProcess};
use actor_core::delivery::{Consumer, Delivery, Wait, WorkerId};
use actor_core::inspect::Which;
use actor_core::settlement::Outcome;
use actor_core::{Broker, Inspect, MessageId};
use actor_redis::RedisBroker;
use serde_json::{Value, json};

/// The number of messages in a drain.
const MESSAGES: u64 = 100_000;

/// The latency whose cost is measured.
const ROUND_TRIP: Duration = Duration::from_millis(1);

#[tokio::main]
async fn main() -> Result {
    if WorkerProcess::serve().await? {
        return Ok(());
    }
    let args = Args::read()?;
    let report = Report::new(&args, "Growth");
    standing::run(&args, &report).await?;
    primaries::run(&args, &report).await?;
    let growth = Growth { args: &args, report: &report, server: Server::start(Persistence::Off).await? };
    queues::run(&growth).await?;
    growth.concurrency().await?;
    growth.processes().await?;
    growth.distance().await
}

pub(crate) struct Growth<'a> {
    args: &'a Args,
    report: &'a Report,
    server: Server,
}

impl Growth<'_> {
    /// One worker with few slots and with many, for actors that do nothing and actors that wait.
    async fn concurrency(&self) -> Result {
        for slots in [8, 64, 256, 2_000] {
            let base = async || self.drain_noop(1).await;
            let settings = json!({"messages": self.args.messages(MESSAGES)});
            self.pairs(&format!("slots_{slots}"), async || self.drain_noop(slots).await, base, "1 slot", settings)
                .await?;
        }
        for slots in [64, 256, 2_000] {
            let base = async || self.drain_waits(8).await;
            let settings = json!({"each message": "waits 10 ms"});
            let ours = async || self.drain_waits(slots).await;
            self.pairs(&format!("waiting_slots_{slots}"), ours, base, "8 slots", settings).await?;
        }
        Ok(())
    }

    async fn drain_noop(&self, slots: usize) -> Result<Cost> {
        let (broker, messages) = (self.server.broker().await?, self.args.messages(MESSAGES));
        library::send_many(&broker, 0..messages, TEXT).await?;
        let tally = Arc::new(Tally::of(0..messages));
        let worker = library::worker(&broker, QUEUE, &tally).concurrency(slots);
        library::drain(&self.server, worker, QUEUE, &tally).await
    }

    /// As many messages as would take two seconds at full speed.
    async fn drain_waits(&self, slots: usize) -> Result<Cost> {
        let (broker, messages) = (self.server.broker().await?, self.args.messages(slots as u64 * 200));
        waits.send_many_with(&broker, (0..messages).map(|n| (n, TEXT))).await?;
        let tally = Arc::new(Tally::of(0..messages));
        let queue = "bench-waits";
        let worker = library::worker(&broker, queue, &tally).concurrency(slots);
        library::drain(&self.server, worker, queue, &tally).await
    }

    /// Several worker processes on one queue.
    async fn processes(&self) -> Result {
        for count in [2, 4, 8, 16] {
            let base = async || self.drain_by_processes(1).await;
            let settings = json!({"messages": self.args.messages(4 * MESSAGES)});
            let ours = async || self.drain_by_processes(count).await;
            self.pairs(&format!("processes_{count}"), ours, base, "1 process", settings).await?;
        }
        Ok(())
    }

    async fn drain_by_processes(&self, count: usize) -> Result<Cost> {
        let (broker, messages) = (self.server.broker().await?, self.args.messages(4 * MESSAGES));
        library::send_many(&broker, 0..messages, TEXT).await?;
        let preparing = (0..count).map(|_| WorkerProcess::prepare(&self.server, QUEUE, messages));
        let mut workers = preparing.collect::<Result<Vec<_>>>()?;
        let meter = Meter::start(&self.server).await?;
        workers.iter_mut().try_for_each(WorkerProcess::begin)?;
        self.server.settled(QUEUE, 0).await?;
        let cost = meter.stop(&self.server, messages).await?;
        let tally = Tally::of(0..messages);
        workers.into_iter().try_for_each(|worker| worker.stop(&tally))?;
        tally.verify()?;
        Ok(cost)
    }

    /// A millisecond between the program and Redis.
    async fn distance(&self) -> Result {
        let proxy = Proxy::start(&self.server, ROUND_TRIP)?;
        let settings = json!({"messages": self.args.messages(MESSAGES), "round trip": "1 ms more"});
        let (far, near) = (proxy.url(), self.server.url());
        let name = "distance_1ms_drain";
        self.pairs(name, async || self.drain_from(&far).await, async || self.drain_from(&near).await, "near", settings)
            .await?;
        let settings = json!({"messages": self.args.messages(MESSAGES / 5), "round trip": "1 ms more"});
        let name = "distance_1ms_send_64";
        self.pairs(name, async || self.send_from(&far).await, async || self.send_from(&near).await, "near", settings)
            .await?;
        let settings = json!({"messages": self.args.messages(MESSAGES / 5), "round trip": "1 ms more"});
        let name = "distance_1ms_replay";
        let (ours, base) = (async || self.replay_from(&far).await, async || self.replay_from(&near).await);
        self.pairs(name, ours, base, "near", settings).await
    }

    /// The replay of all dead letters, over `url`.
    async fn replay_from(&self, url: &str) -> Result<Cost> {
        let (near, messages) = (self.server.broker().await?, self.args.messages(MESSAGES / 5));
        let keep = NonZeroU64::new(messages).ok_or("none is replayed")?;
        let keeping = RedisBroker::builder(&self.server.url())?.dead_letters(Duration::from_secs(3_600), keep);
        let keeping = keeping.connect().await?;
        library::send_many(&near, 0..messages, TEXT).await?;
        let queue = QUEUE.parse()?;
        let consumer = Consumer::new(WorkerId::new("bench"), queue);
        keeping.register(&consumer.worker, std::slice::from_ref(&consumer.queue), Duration::from_secs(3_600)).await?;
        let mut dead = 0;
        while dead < messages {
            let delivered = keeping.claim(&consumer, 512, &Wait::new(Duration::from_secs(1))).await?;
            dead += delivered.len() as u64;
            let dead_letter = |Delivery { receipt, body, .. }: Delivery| {
                (
                    receipt,
                    Outcome::DeadLetter { id: Some(MessageId::new()), body, reason: "for a bench".to_owned() }.into(),
                )
            };
            let settlements: Vec<_> = delivered.into_iter().map(dead_letter).collect();
            for answer in keeping.settle(&consumer, &settlements).await {
                answer?;
            }
        }
        let broker = RedisBroker::connect(url).await?;
        let meter = Meter::start(&self.server).await?;
        let replayed = broker.replay(&consumer.queue, Which::All).await?;
        let cost = meter.stop(&self.server, messages).await?;
        if replayed == messages {
            Ok(cost)
        } else {
            Err(format!("of {messages} dead letters {replayed} were replayed").into())
        }
    }

    /// A drain by a worker that reaches Redis at `url`.
    async fn drain_from(&self, url: &str) -> Result<Cost> {
        let messages = self.args.messages(MESSAGES);
        library::send_many(&self.server.broker().await?, 0..messages, TEXT).await?;
        let broker = RedisBroker::connect(url).await?;
        let tally = Arc::new(Tally::of(0..messages));
        library::drain(&self.server, library::worker(&broker, QUEUE, &tally), QUEUE, &tally).await
    }

    /// 64 senders that reach Redis at `url`.
    async fn send_from(&self, url: &str) -> Result<Cost> {
        let messages = self.args.messages(MESSAGES / 5);
        let near = self.server.broker().await?;
        let broker = RedisBroker::connect(url).await?;
        let meter = Meter::start(&self.server).await?;
        library::send_from(&broker, 64, 0..messages, |n| noop.message(n, TEXT)).await?;
        let cost = meter.stop(&self.server, messages).await?;
        let tally = Arc::new(Tally::of(0..messages));
        let worker = Running::start(library::worker(&near, QUEUE, &tally));
        tally.reached().await?;
        worker.stop().await?;
        tally.verify()?;
        Ok(cost)
    }

    async fn pairs(
        &self,
        name: &str,
        ours: impl AsyncFnMut() -> Result<Cost>,
        base: impl AsyncFnMut() -> Result<Cost>,
        base_name: &str,
        settings: Value,
    ) -> Result {
        if self.args.wants(name) {
            let pairs = Pairs::run(self.args, ours, base).await?;
            self.report.show(&Figure::beside(format!("{name}/rate"), "/s", &pairs, Cost::rate, base_name, &settings));
            let redis = format!("{name}/redis_cpu");
            self.report.show(&Figure::beside(redis, "us", &pairs, Cost::redis_us, base_name, &settings));
        }
        Ok(())
    }
}
