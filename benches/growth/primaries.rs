//! Twelve queues on one server, and spread over the primaries of a cluster: what Redis spends on a message, all
//! primaries together and the busiest alone. On a machine with few cores only that shows what more primaries carry.

use std::sync::Arc;
use std::time::Duration;

use actor_bench::library::{self, Running};
use actor_bench::{Args, Cluster, Figure, Pairs, Report, Result, Tally};
use actor_core::{QueueName, Worker};
use serde_json::json;

use crate::MESSAGES;
use crate::queues::QUEUES;

/// The number of queues.
const SPREAD: usize = 12;

/// Runs the selected scenarios.
pub(crate) async fn run(args: &Args, report: &Report) -> Result {
    let names: Vec<_> = QUEUES.iter().take(SPREAD).map(|(name, _)| *name).collect();
    for count in 1..=3 {
        let name = format!("primaries_{count}");
        if !args.wants(&name) {
            continue;
        }
        let (cluster, one) = (Cluster::of(count, &names).await?, Cluster::none(&names).await?);
        let (ours, base) = (async || spent(args, &cluster).await, async || spent(args, &one).await);
        let pairs = Pairs::run(args, ours, base).await?;
        let settings = json!({"messages": args.messages(MESSAGES), "queues": SPREAD});
        let show = |figure: &str, unit, number: fn(&Spent) -> f64| {
            let metric = format!("{name}/{figure}");
            report.show(&Figure::beside(metric, unit, &pairs, number, "one server", &settings));
        };
        show("redis_cpu", "us", |spent| spent.each(spent.servers.iter().sum()));
        show("busiest_cpu", "us", |spent| spent.each(spent.busiest()));
        show("carried", "/s", |spent| 1e6 / spent.each(spent.busiest()));
    }
    Ok(())
}

/// The CPU time of each server for so many messages.
struct Spent {
    servers: Vec<Duration>,
    messages: u64,
}

impl Spent {
    fn busiest(&self) -> Duration {
        self.servers.iter().max().copied().unwrap_or_default()
    }

    /// In microseconds a message.
    fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.messages as f64
    }
}

/// Sends and drains.
async fn spent(args: &Args, cluster: &Cluster) -> Result<Spent> {
    let (broker, messages) = (cluster.broker().await?, args.messages(MESSAGES));
    let before = cluster.cpu().await?;
    let mut queues = Vec::new();
    for ((queue, send_many), share) in QUEUES.iter().zip(library::shares(0..messages, SPREAD as u64)) {
        send_many(&broker, share).await?;
        queues.push(queue.parse::<QueueName>()?);
    }
    let tally = Arc::new(Tally::of(0..messages));
    let worker = Running::start(Worker::builder(broker).state(Arc::clone(&tally)).queues(queues));
    tally.reached().await?;
    cluster.settled().await?;
    let servers = cluster.cpu().await?.into_iter().zip(before).map(|(after, before)| after - before).collect();
    worker.stop().await?;
    tally.verify()?;
    Ok(Spent { servers, messages })
}
