//! What a unique key costs: sending and draining messages of which each has its own, beside the same without.

use std::sync::Arc;

use actor_bench::{Args, Meter, Pairs, Persistence, Report, Result, Server, Tally, floor, library, work};
use serde_json::json;

use crate::Run;

const NAME: &str = "unique_64";
const MESSAGES: u64 = 100_000;
const SENDERS: u64 = 64;

pub(crate) async fn run(args: &Args, report: &Report) -> Result {
    if !args.wants(NAME) {
        return Ok(());
    }
    let server = Server::start(Persistence::Off).await?;
    let pairs =
        Pairs::run(args, async || once(args, &server, true).await, async || once(args, &server, false).await).await?;
    let settings = json!({ "messages": args.messages(MESSAGES), "senders": SENDERS });
    report.cost(&format!("{NAME}/send"), &pairs, |run| run.send, "plain", &settings);
    report.cost(&format!("{NAME}/drain"), &pairs, |run| run.drain, "plain", &settings);
    Ok(())
}

async fn once(args: &Args, server: &Server, is_unique: bool) -> Result<Run> {
    let ids = floor::FIRST..floor::FIRST + args.messages(MESSAGES);
    let text: Arc<str> = "x".repeat(100).into();
    let broker = server.broker().await?;
    let meter = Meter::start(server).await?;
    let message = move |n: u64| {
        let message = work::noop.message(n, &text);
        if is_unique { message.unique_key(n) } else { message }
    };
    library::send_from(&broker, SENDERS, ids.clone(), message).await?;
    let send = meter.stop(server, ids.end - ids.start).await?;
    let tally = Arc::new(Tally::of(ids));
    let drain = library::drain(server, library::worker(&broker, work::QUEUE, &tally), work::QUEUE, &tally).await?;
    Ok(Run { send, drain })
}
