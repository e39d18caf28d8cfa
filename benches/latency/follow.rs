//! From the end of a run to the start of the message that follows from it, in another queue.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actor_bench::latency::Latency;
use actor_bench::library::{self, Running};
use actor_bench::work::{QUEUE, TEXT, noop};
use actor_bench::{Args, Figure, Report, Result, Server, Spread, Tally};
use actor_core::{Context, QueueName, SendError, actor};
use serde_json::json;

use crate::{IDLE_RATE, send_at};

/// When each run ended.
struct Ends(Mutex<Vec<Option<Instant>>>);

#[actor(queue = "bench-follow")]
async fn parent(cx: &Context, n: u64, text: &str, #[state] ends: &Arc<Ends>) -> std::result::Result<(), SendError> {
    noop.message(n, text).send_after(cx)?;
    ends.0.lock().unwrap_or_else(PoisonError::into_inner)[n as usize] = Some(Instant::now());
    Ok(())
}

/// Runs the scenario, if it is selected.
pub(crate) async fn run(args: &Args, report: &Report, server: &Server) -> Result {
    if !args.wants("follow_idle") {
        return Ok(());
    }
    let seconds = if args.smoke { 1.0 } else { 10.0 };
    let mut measured = Vec::new();
    for _ in 0..args.pairs {
        measured.push(once(server, (IDLE_RATE * seconds) as u64).await?);
    }
    let settings = json!({"rate": IDLE_RATE});
    for (figure, part) in Latency::FIGURES {
        let value = Spread::of(measured.iter().map(|latency| latency.ms(part)));
        report.show(&Figure::single(format!("follow_idle/{figure}"), "ms", value, &settings));
    }
    Ok(())
}

async fn once(server: &Server, messages: u64) -> Result<Latency> {
    let broker = server.broker().await?;
    let tally = Arc::new(Tally::of(0..messages));
    let ends = Arc::new(Ends(Mutex::new(vec![None; messages as usize])));
    let queues: [QueueName; 2] = [QUEUE.parse()?, "bench-follow".parse()?];
    let worker = library::worker(&broker, QUEUE, &tally).queues(queues).state(Arc::clone(&ends));
    let worker = Running::start(worker);
    send_at(IDLE_RATE, messages, move |n| {
        let broker = broker.clone();
        async move { parent.send_with(&broker, n, TEXT).await.map(drop).expect("a private Redis takes it") }
    });
    tally.reached().await?;
    server.settled(QUEUE, 0).await?;
    worker.stop().await?;
    tally.verify()?;
    let ends = std::mem::take(&mut *ends.0.lock().unwrap_or_else(PoisonError::into_inner));
    let ends: Option<Vec<Instant>> = ends.into_iter().collect();
    let ends = ends.ok_or("a message ran before the one that it follows")?;
    Latency::of(&tally, messages, |n| ends[n as usize])
}
