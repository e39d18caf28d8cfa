//! What runs return, and how far they are, with no server: `cargo run --example results`.
//!
//! Three reports are built. One is watched as it grows, one fails for good, and one takes longer than anybody waits.
#![allow(clippy::print_stdout)] // It shows what happens.

use std::time::Duration;

use actor_core::results::Status;
use actor_core::{Context, Failure, MemoryBroker, Worker, actor};

#[actor(queue = "reports", results = "1h", max_retries = 0)]
async fn build_report(cx: &Context, pages: u64) -> Result<String, Failure> {
    if pages == 0 {
        return Err(Failure::do_not_retry("a report has at least one page"));
    }
    for page in 1..=pages {
        cx.progress(page, pages);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(format!("a report of {pages} pages"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = MemoryBroker::new();
    actor_core::install(broker.clone())?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(Worker::builder(broker).run_until(async {
        let _ = stopped.await;
    }));

    let watched = build_report.send(8).await?;
    loop {
        match watched.status().await? {
            Status::InFlight { progress: Some(progress), .. } => println!("report {watched}: page {progress}"),
            Status::Done { .. } => break,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!("report {watched}: {}", watched.result(Duration::ZERO).await?);

    let fails = build_report.send(0).await?;
    match fails.result(Duration::from_secs(5)).await {
        Err(error) if error.is_failed() => println!("{error}"),
        other => println!("unexpected: {other:?}"),
    }

    let slow = build_report.send(10).await?;
    match slow.result(Duration::from_secs(1)).await {
        // It goes on: whoever has its id asks again.
        Err(error) if error.is_timed_out() => println!("{error}"),
        other => println!("unexpected: {other:?}"),
    }
    println!("report {slow}: {}", build_report.result(slow.id(), Duration::from_secs(10)).await?);

    let _ = stop.send(());
    worker.await??;
    Ok(())
}
