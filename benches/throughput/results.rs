//! What a result costs: draining messages whose runs return a small one that is kept, beside the same without.

use std::sync::Arc;

use actor_bench::work::{self, TEXT, noop, returns};
use actor_bench::{Args, Cost, Figure, Pairs, Persistence, Report, Result, Server, Tally, library};
use serde_json::json;

const NAME: &str = "results";
const MESSAGES: u64 = 100_000;

pub(crate) async fn run(args: &Args, report: &Report) -> Result {
    if !args.wants(NAME) {
        return Ok(());
    }
    let server = Server::start(Persistence::Off).await?;
    let pairs = Pairs::run(args, async || kept(args, &server).await, async || without(args, &server).await).await?;
    let settings = json!({ "messages": args.messages(MESSAGES), "persistence": "off", "concurrency": 64 });
    report.cost(&format!("{NAME}/drain"), &pairs, |cost| *cost, "no results", &settings);
    let redis = |cost: &Cost| cost.redis_us();
    report.show(&Figure::beside(format!("{NAME}/redis_cpu"), "us", &pairs, redis, "no results", &settings));
    Ok(())
}

async fn kept(args: &Args, server: &Server) -> Result<Cost> {
    let broker = server.broker().await?;
    library::send_from(&broker, 64, 0..args.messages(MESSAGES), |n| returns.message(n, TEXT)).await?;
    let tally = Arc::new(Tally::of(0..args.messages(MESSAGES)));
    library::drain(server, library::worker(&broker, work::RETURNS, &tally), work::RETURNS, &tally).await
}

async fn without(args: &Args, server: &Server) -> Result<Cost> {
    let broker = server.broker().await?;
    library::send_from(&broker, 64, 0..args.messages(MESSAGES), |n| noop.message(n, TEXT)).await?;
    let tally = Arc::new(Tally::of(0..args.messages(MESSAGES)));
    library::drain(server, library::worker(&broker, work::QUEUE, &tally), work::QUEUE, &tally).await
}
