//! Messages a second: sending, draining, and both at once.
//!
//! `cargo bench --bench throughput`. Each run sends messages and then drains them in this process, and verifies that
//! each ran exactly once. Each row below is a variant.

use std::ops::Range;
use std::sync::Arc;

use actor_bench::{Args, Cost, Figure, Meter, Pairs, Persistence, Report, Result, Server, Tally, floor, library, work};
use serde_json::{Value, json};

mod durable;
mod limits;
mod rate;
mod results;
mod special;
mod unique;

/// The settings with which the library's worker is at its best.
const BEST_CONCURRENCY: usize = 256;

/// How messages are sent.
#[derive(Clone, Copy)]
enum Sending {
    /// One after another.
    Each,
    /// From 64 concurrent senders.
    From64,
    /// In bulk.
    Many,
}

/// A variant of sending and draining.
struct Scenario {
    name: &'static str,
    messages: u64,
    sending: Sending,
    text: Text,
    persistence: Persistence,
    /// `None` for the default.
    concurrency: Option<usize>,
    shows: &'static [Shown],
}

/// The length of a message.
#[derive(Clone, Copy)]
enum Text {
    /// Arguments of so many bytes.
    Arguments(usize),
    /// A body of so many bytes.
    Body(usize),
}

/// Which figures of a scenario are shown.
#[derive(Clone, Copy)]
enum Shown {
    Send,
    Drain,
    /// Redis's CPU a message, for sending and draining together.
    Redis,
}

use Sending::{Each, From64, Many};
use Shown::{Drain, Redis, Send};

/// The settings of most scenarios.
const PLAIN: Scenario = Scenario {
    name: "",
    messages: 200_000,
    sending: Many,
    text: Text::Arguments(100),
    persistence: Persistence::Off,
    concurrency: None,
    shows: &[Send, Drain],
};

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "send_one", messages: 20_000, sending: Each, shows: &[Send], ..PLAIN },
    Scenario { name: "send_64", sending: From64, shows: &[Send], ..PLAIN },
    Scenario { name: "send_many", shows: &[Send], ..PLAIN },
    Scenario { name: "drain_default", shows: &[Drain], ..PLAIN },
    Scenario { name: "drain_best", concurrency: Some(BEST_CONCURRENCY), shows: &[Drain], ..PLAIN },
    Scenario { name: "body_311", sending: From64, text: Text::Body(311), shows: &[Redis], ..PLAIN },
    Scenario { name: "arguments_1k", messages: 100_000, text: Text::Arguments(1_000), ..PLAIN },
    Scenario { name: "arguments_16k", messages: 20_000, text: Text::Arguments(16_000), ..PLAIN },
    Scenario { name: "aof_everysec", sending: From64, persistence: Persistence::EverySecond, ..PLAIN },
    Scenario { name: "aof_always", messages: 50_000, sending: From64, persistence: Persistence::Always, ..PLAIN },
];

/// The two stages of a run.
struct Run {
    send: Cost,
    drain: Cost,
}

#[tokio::main]
async fn main() -> Result {
    let args = Args::read()?;
    let report = Report::new(&args, "Throughput");
    for scenario in SCENARIOS.iter().filter(|scenario| args.wants(scenario.name)) {
        let server = Server::start(scenario.persistence).await?;
        let pairs = Pairs::run(
            &args,
            async || by_library(scenario, &args, &server).await,
            async || by_hand(scenario, &args, &server).await,
        )
        .await?;
        show(scenario, &args, &report, &pairs);
    }
    special::run(&args, &report).await?;
    limits::run(&args, &report).await?;
    rate::run(&args, &report).await?;
    durable::run(&args, &report).await?;
    unique::run(&args, &report).await?;
    results::run(&args, &report).await
}

async fn by_library(scenario: &Scenario, args: &Args, server: &Server) -> Result<Run> {
    let (ids, text) = (scenario.ids(args), scenario.text());
    let broker = server.broker().await?;
    let meter = Meter::start(server).await?;
    match scenario.sending {
        Each => library::send_each(&broker, ids.clone(), &text).await?,
        From64 => {
            let text = Arc::clone(&text);
            library::send_from(&broker, 64, ids.clone(), move |n| work::noop.message(n, &text)).await?;
        }
        Many => library::send_many(&broker, ids.clone(), &text).await?,
    }
    let send = meter.stop(server, ids.end - ids.start).await?;
    let tally = Arc::new(Tally::of(ids));
    let mut worker = library::worker(&broker, work::QUEUE, &tally);
    if let Some(slots) = scenario.concurrency {
        worker = worker.concurrency(slots);
    }
    let drain = library::drain(server, worker, work::QUEUE, &tally).await?;
    Ok(Run { send, drain })
}

async fn by_hand(scenario: &Scenario, args: &Args, server: &Server) -> Result<Run> {
    let (ids, text) = (scenario.ids(args), scenario.text());
    let floor = server.floor().await?;
    let meter = Meter::start(server).await?;
    match scenario.sending {
        Each => floor.send_each(ids.clone(), &text).await?,
        From64 => floor.send_from(64, ids.clone(), &text).await?,
        Many => floor.send_many(ids.clone(), &text).await?,
    }
    let send = meter.stop(server, ids.end - ids.start).await?;
    let tally = Arc::new(Tally::of(ids));
    let drain = floor.drain(server, &tally).await?;
    Ok(Run { send, drain })
}

fn show(scenario: &Scenario, args: &Args, report: &Report, pairs: &Pairs<Run>) {
    let (name, settings) = (scenario.name, scenario.settings(args));
    for shown in scenario.shows {
        match shown {
            Send => report.cost(&format!("{name}/send"), pairs, |run| run.send, "floor", &settings),
            Drain => report.cost(&format!("{name}/drain"), pairs, |run| run.drain, "floor", &settings),
            Redis => {
                let redis = |run: &Run| run.send.and_then(run.drain).redis_us();
                report.show(&Figure::beside(format!("{name}/redis_cpu"), "us", pairs, redis, "floor", &settings));
            }
        }
    }
}

impl Scenario {
    fn ids(&self, args: &Args) -> Range<u64> {
        floor::FIRST..floor::FIRST + args.messages(self.messages)
    }

    fn text(&self) -> Arc<str> {
        match self.text {
            Text::Arguments(bytes) => "x".repeat(bytes).into(),
            Text::Body(bytes) => floor::text_for_body(bytes).into(),
        }
    }

    fn settings(&self, args: &Args) -> Value {
        json!({
            "messages": args.messages(self.messages),
            "body": floor::body_len(floor::FIRST, &self.text()),
            "persistence": self.persistence.name(),
            "concurrency": self.concurrency.unwrap_or(64),
        })
    }
}
