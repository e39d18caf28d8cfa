//! What a queue with limits costs, beside one without: messages of many keys, whose limits are not reached.

use std::sync::Arc;

use actor_bench::work::{self, TEXT, limited, noop};
use actor_bench::{Args, Cost, Figure, Meter, Pairs, Persistence, Report, Result, Server, Tally, library};
use serde_json::json;

/// The number of messages in a scenario, if it has few keys.
const MESSAGES: u64 = 100_000;
/// The number of keys in the scenario with many, and how many messages each has.
const KEYS: u64 = 100_000;
const OF_EACH_KEY: u64 = 10;
/// A run with a million messages takes so long that more pairs would take too long.
const PAIRS_OF_MANY: usize = 3;

struct Run {
    send: Cost,
    drain: Cost,
    /// What Redis holds for all that waits.
    bytes: f64,
}

/// Runs the selected scenarios.
pub(crate) async fn run(args: &Args, report: &Report) -> Result {
    let mut many = args.clone();
    many.pairs = many.pairs.min(PAIRS_OF_MANY);
    let (few_messages, many_messages) = (args.messages(MESSAGES), args.messages(KEYS * OF_EACH_KEY));
    for (name, messages, keys, args) in [
        ("limited_1", few_messages, 1, args),
        ("limited_100", few_messages, 100, args),
        ("limited_many", many_messages, many_messages / OF_EACH_KEY, &many),
    ] {
        if !args.wants(name) {
            continue;
        }
        let server = Server::start(Persistence::Off).await?;
        let ours = async || of_keys(&server, messages, keys).await;
        let pairs = Pairs::run(args, ours, async || plain(&server, messages).await).await?;
        let settings = json!({"messages": messages, "keys": keys, "persistence": "off", "concurrency": 64});
        let base = "without limits";
        report.cost(&format!("{name}/send"), &pairs, |run| run.send, base, &settings);
        report.cost(&format!("{name}/drain"), &pairs, |run| run.drain, base, &settings);
        let redis = |run: &Run| run.send.and_then(run.drain).redis_us();
        report.show(&Figure::beside(format!("{name}/redis_cpu"), "us", &pairs, redis, base, &settings));
        #[allow(clippy::cast_precision_loss)] // A figure.
        let each = |run: &Run| run.bytes / messages as f64;
        report.show(&Figure::beside(format!("{name}/waiting_bytes"), "bytes", &pairs, each, base, &settings));
    }
    Ok(())
}

async fn of_keys(server: &Server, messages: u64, keys: u64) -> Result<Run> {
    let broker = server.broker().await?;
    let before = server.memory().await?;
    let meter = Meter::start(server).await?;
    limited.send_many_with(&broker, (0..messages).map(|n| (n, n % keys, TEXT))).await?;
    let send = meter.stop(server, messages).await?;
    let bytes = server.memory().await? - before;
    let tally = Arc::new(Tally::of(0..messages));
    let queue = work::LIMITED.name();
    let drain = library::drain(server, library::worker(&broker, queue, &tally), queue, &tally).await?;
    Ok(Run { send, drain, bytes })
}

async fn plain(server: &Server, messages: u64) -> Result<Run> {
    let broker = server.broker().await?;
    let before = server.memory().await?;
    let meter = Meter::start(server).await?;
    noop.send_many_with(&broker, (0..messages).map(|n| (n, TEXT))).await?;
    let send = meter.stop(server, messages).await?;
    let bytes = server.memory().await? - before;
    let tally = Arc::new(Tally::of(0..messages));
    let drain = library::drain(server, library::worker(&broker, work::QUEUE, &tally), work::QUEUE, &tally).await?;
    Ok(Run { send, drain, bytes })
}
