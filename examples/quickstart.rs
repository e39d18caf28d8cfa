//! Everything in one process, with no server: `cargo run --example quickstart`.
//!
//! One message runs at once, one fails twice and then succeeds, one is scheduled, and one becomes a dead
//! letter, which an operator replays after the cause is fixed.
#![allow(clippy::print_stdout)] // It shows what happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actor_core::inspect::{Page, State, Which};
use actor_core::{Context, Inspect, MemoryBroker, Worker, actor};
use tokio::sync::{mpsc, oneshot};

/// What the actors share: the worker passes it to every `#[state]` parameter.
struct Shop {
    began: Instant,
    bank_is_open: AtomicBool,
    finished: mpsc::UnboundedSender<&'static str>,
}

impl Shop {
    fn say(&self, line: impl std::fmt::Display) {
        println!("{:4.1} s  {line}", self.began.elapsed().as_secs_f64());
    }
}

#[actor(queue = "shop")]
async fn welcome(name: &str, #[state] shop: &Arc<Shop>) {
    shop.say(format_args!("welcome, {name}"));
    let _ = shop.finished.send("welcome");
}

#[actor(queue = "shop", max_retries = 3, min_backoff = "400ms", max_backoff = "800ms")]
async fn reserve(cx: &Context, item: &str, #[state] shop: &Arc<Shop>) -> Result<(), String> {
    if cx.attempt() < 3 {
        shop.say(format_args!("reserve {item}: attempt {} fails", cx.attempt()));
        return Err("the warehouse does not answer".to_owned());
    }
    shop.say(format_args!("reserve {item}: attempt {} succeeds", cx.attempt()));
    let _ = shop.finished.send("reserve");
    Ok(())
}

#[actor(queue = "shop")]
fn remind(name: &str, #[state] shop: &Arc<Shop>) {
    shop.say(format_args!("a reminder for {name}, 1.5 s after it was sent"));
    let _ = shop.finished.send("remind");
}

#[actor(queue = "shop", max_retries = 0)]
async fn charge(cents: u64, #[state] shop: &Arc<Shop>) -> Result<(), String> {
    if !shop.bank_is_open.load(Ordering::Relaxed) {
        shop.say(format_args!("charge {cents} cents: the bank is closed, and no retry is allowed"));
        return Err("the bank is closed".to_owned());
    }
    shop.say(format_args!("charge {cents} cents: paid"));
    let _ = shop.finished.send("charge");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = MemoryBroker::new();
    actor_core::install(broker.clone())?;

    // The producer: it only sends.
    welcome.send("Ada").await?;
    reserve.send("a bicycle").await?;
    remind.message("Ada").delay(Duration::from_millis(1500)).send().await?;
    charge.send(49_900).await?;
    println!("        4 messages sent");

    // The worker: here in the same process, in production in one of its own.
    let (finished, mut ended) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let shop = Arc::new(Shop { began: Instant::now(), bank_is_open: AtomicBool::new(false), finished });
    let worker = Worker::builder(broker.clone()).state(Arc::clone(&shop));
    let worker = tokio::spawn(worker.run_until(async move {
        let _ = stopped.await;
    }));

    for _ in 0..3 {
        ended.recv().await;
    }

    // The operator: finds the dead letter, fixes its cause and replays it.
    let queue = "shop".parse()?;
    let dead = broker.list(&queue, State::Dead, Page::first(10)).await?;
    for dead_letter in &dead.messages {
        shop.say(format_args!("a dead letter: {}", dead_letter.reason.as_deref().unwrap_or_default()));
    }
    shop.bank_is_open.store(true, Ordering::Relaxed);
    let replayed = broker.replay(&queue, Which::All).await?;
    shop.say(format_args!("the bank opens, {replayed} message replayed"));
    ended.recv().await;

    let _ = stop.send(());
    worker.await??;
    println!("        the worker has stopped: nothing lost, nothing left");
    Ok(())
}
