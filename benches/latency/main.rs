//! How long messages take from `send` to the start of their run, in an open loop: see [`Pace`].
//!
//! `cargo bench --bench latency`. Sender and worker share this process; every message goes through Redis. Latency
//! counts from when a message was due to be sent, or to start if scheduled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actor_bench::floor::Floor;
use actor_bench::latency::Latency;
use actor_bench::library::{self, Running};
use actor_bench::work::{QUEUE, TEXT, noop};
use actor_bench::{Args, Figure, Meter, Pace, Pairs, Persistence, Report, Result, Server, Spread, Tally};
use serde_json::json;
use tokio::runtime::Handle;

mod follow;
mod freed;

/// Slow enough that each message finds the worker idle, and out of step with timers of round numbers.
const IDLE_RATE: f64 = 97.0;

#[tokio::main]
async fn main() -> Result {
    let args = Args::read()?;
    let report = Report::new(&args, "Latency");
    let bench = Latencies { args: &args, report: &report, server: Server::start(Persistence::Off).await? };
    if args.wants("idle") {
        let seconds = if args.smoke { 1.0 } else { 10.0 };
        let base = async || bench.bare_read(IDLE_RATE, seconds).await;
        let pairs = Pairs::run(&args, async || bench.sent(IDLE_RATE, seconds).await, base).await?;
        bench.show("idle", IDLE_RATE, &pairs, "bare read");
    }
    if args.wants("half_load") || args.wants("scheduled_half_load") {
        let seconds = if args.smoke { 0.2 } else { 5.0 };
        let half = bench.most().await? / 2.0;
        if args.wants("half_load") {
            let base = async || bench.floor(half, seconds).await;
            let pairs = Pairs::run(&args, async || bench.sent(half, seconds).await, base).await?;
            bench.show("half_load", half, &pairs, "floor");
        }
        if args.wants("scheduled_half_load") {
            bench.scheduled("scheduled_half_load", Some(half)).await?;
        }
    }
    if args.wants("scheduled_idle") {
        bench.scheduled("scheduled_idle", None).await?;
    }
    freed::run(&args, &report, &bench.server).await?;
    follow::run(&args, &report, &bench.server).await
}

struct Latencies<'a> {
    args: &'a Args,
    report: &'a Report,
    server: Server,
}

impl Latencies<'_> {
    /// The library at this pace.
    async fn sent(&self, rate: f64, seconds: f64) -> Result<Latency> {
        let broker = self.server.broker().await?;
        let messages = (rate * seconds) as u64;
        let tally = Arc::new(Tally::of(0..messages));
        let worker = Running::start(library::worker(&broker, QUEUE, &tally));
        let pace = send_at(rate, messages, move |n| {
            let broker = broker.clone();
            async move { noop.send_with(&broker, n, TEXT).await.map(drop).expect("a private Redis takes it") }
        });
        self.finish(&tally).await?;
        worker.stop().await?;
        Latency::of(&tally, messages, |n| pace.due(n))
    }

    /// The floor at this pace.
    async fn floor(&self, rate: f64, seconds: f64) -> Result<Latency> {
        let floor = self.server.floor().await?;
        let messages = (rate * seconds) as u64;
        let tally = Arc::new(Tally::of(0..messages));
        let _worker = floor.work(&tally);
        self.by_hand(floor, &tally, rate, messages).await
    }

    /// A bare blocking read, woken by `XADD`.
    async fn bare_read(&self, rate: f64, seconds: f64) -> Result<Latency> {
        let floor = self.server.floor().await?;
        let messages = (rate * seconds) as u64;
        let tally = Arc::new(Tally::of(0..messages));
        let receiver = tokio::spawn(floor.clone().receive(Arc::clone(&tally)));
        let latency = self.by_hand(floor, &tally, rate, messages).await;
        receiver.abort();
        latency
    }

    async fn by_hand(&self, floor: Floor, tally: &Tally, rate: f64, messages: u64) -> Result<Latency> {
        let pace = send_at(rate, messages, move |n| {
            let floor = floor.clone();
            async move { floor.send(n, TEXT).await.expect("a private Redis takes it") }
        });
        self.finish(tally).await?;
        Latency::of(tally, messages, |n| pace.due(n))
    }

    /// Messages scheduled 100 ms to 2 s ahead, by themselves or beside others at this pace.
    async fn scheduled(&self, name: &str, beside: Option<f64>) -> Result {
        let mut measured = Vec::new();
        for _ in 0..self.args.pairs {
            measured.push(self.lateness(beside).await?);
        }
        let settings = json!({"beside": beside.unwrap_or_default().round(), "ahead_ms": "100 to 2000"});
        for (figure, part) in Latency::FIGURES {
            let value = Spread::of(measured.iter().map(|latency| latency.ms(part)));
            self.report.show(&Figure::single(format!("{name}/{figure}"), "ms", value, &settings));
        }
        Ok(())
    }

    async fn lateness(&self, beside: Option<f64>) -> Result<Latency> {
        let broker = self.server.broker().await?;
        let messages = self.args.messages(1_000).min(1_000);
        // The rest are the others, sent as long as scheduled messages may be due.
        let others = beside.map_or(0, |rate| (rate * if self.args.smoke { 0.2 } else { 4.0 }) as u64);
        let tally = Arc::new(Tally::of(0..messages + others));
        let worker = Running::start(library::worker(&broker, QUEUE, &tally));
        if let Some(rate) = beside {
            let broker = broker.clone();
            let send = move |n| {
                let broker = broker.clone();
                async move {
                    noop.send_with(&broker, messages + n, TEXT).await.map(drop).expect("a private Redis takes it");
                }
            };
            send_at(rate, others, send);
        }
        let mut due = Vec::new();
        for n in 0..messages {
            let delay = Duration::from_millis(100 + n * 1_900 / messages);
            due.push(Instant::now() + delay);
            noop.message(n, TEXT).delay(delay).send_with(&broker).await?;
        }
        self.finish(&tally).await?;
        worker.stop().await?;
        Latency::of(&tally, messages, |n| due[n as usize])
    }

    /// The maximum rate, with 64 senders and a worker.
    async fn most(&self) -> Result<f64> {
        let broker = self.server.broker().await?;
        let messages = self.args.messages(200_000);
        let tally = Arc::new(Tally::of(0..messages));
        let worker = Running::start(library::worker(&broker, QUEUE, &tally));
        let meter = Meter::start(&self.server).await?;
        library::send_from(&broker, 64, 0..messages, |n| noop.message(n, TEXT)).await?;
        self.finish(&tally).await?;
        let cost = meter.stop(&self.server, messages).await?;
        worker.stop().await?;
        Ok(cost.rate())
    }

    async fn finish(&self, tally: &Tally) -> Result {
        tally.reached().await?;
        self.server.settled(QUEUE, 0).await?;
        tally.verify()
    }

    fn show(&self, name: &str, rate: f64, pairs: &Pairs<Latency>, base: &str) {
        let settings = json!({"rate": rate.round()});
        for (figure, part) in Latency::FIGURES {
            let metric = format!("{name}/{figure}");
            self.report.show(&Figure::beside(metric, "ms", pairs, |latency| latency.ms(part), base, &settings));
        }
    }
}

/// Starts to send at this pace, and returns it. At a slow pace its own thread sends, so that no message waits for
/// another. At a fast one tasks send, so that none waits for an answer.
fn send_at<F: Future<Output = ()> + Send + 'static>(
    rate: f64,
    messages: u64,
    send: impl Fn(u64) -> F + Send + 'static,
) -> Pace {
    let (pace, runtime) = (Pace::new(rate), Handle::current());
    pace.run(messages, move |n| {
        if rate <= IDLE_RATE {
            runtime.block_on(send(n));
        } else {
            runtime.spawn(send(n));
        }
    });
    pace
}
