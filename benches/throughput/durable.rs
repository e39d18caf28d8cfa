//! What durability costs: sends that a replica on this machine confirms, beside sends to the same server that do not
//! wait for it.

use actor_bench::work::{TEXT, noop};
use actor_bench::{Args, Meter, Pairs, Persistence, Report, Result, Server, library};
use actor_core::Durability;
use serde_json::json;

/// Each scenario's senders and messages.
const SCENARIOS: [(&str, u64, u64); 2] = [("replicated_one", 1, 10_000), ("replicated_64", 64, 100_000)];

/// Runs the selected scenarios.
pub(crate) async fn run(args: &Args, report: &Report) -> Result {
    for (name, senders, messages) in SCENARIOS.into_iter().filter(|(name, ..)| args.wants(name)) {
        let messages = args.messages(messages);
        let server = Server::start(Persistence::Off).await?;
        let _replica = server.replica().await?;
        let send = async |durability| {
            let broker = server.broker().await?;
            let meter = Meter::start(&server).await?;
            let message = move |n| noop.message(n, TEXT).durability(durability);
            library::send_from(&broker, senders, 0..messages, message).await?;
            meter.stop(&server, messages).await
        };
        let replicated = async || send(Durability::Replicated(1)).await;
        let pairs = Pairs::run(args, replicated, async || send(Durability::Stored).await).await?;
        let settings = json!({"messages": messages, "senders": senders, "persistence": "off", "replicas": 1});
        report.cost(&format!("{name}/send"), &pairs, |cost| *cost, "stored", &settings);
    }
    Ok(())
}
