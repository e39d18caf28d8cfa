//! One run for many messages, with no server: `cargo run --example batches`.
//!
//! Twelve rows are sent one by one, and inserted five at a time. One of them is refused, and is retried alone.
#![allow(clippy::print_stdout)] // It shows what happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actor_core::{BatchContext, MemoryBroker, Worker, actor};
use tokio::sync::Notify;

/// Where the rows go.
#[derive(Default)]
struct Table {
    rows: AtomicUsize,
    is_full: Notify,
}

const ROWS: usize = 12;

#[actor(queue = "rows", min_backoff = "100ms", max_backoff = "100ms", batch(max = 5, wait = "200ms"))]
async fn insert(cx: &BatchContext, rows: Vec<usize>, #[state] table: &Arc<Table>) -> Vec<Result<(), String>> {
    println!("insert {rows:?}");
    let ends = rows.iter().zip(cx.items()).map(|(row, message)| {
        if *row == 3 && message.attempt() == 1 {
            println!("row {row} is refused, and will be retried");
            return Err("the row is locked".to_owned());
        }
        if table.rows.fetch_add(1, Ordering::Relaxed) + 1 == ROWS {
            table.is_full.notify_one();
        }
        Ok(())
    });
    ends.collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = MemoryBroker::new();
    let table = Arc::new(Table::default());
    for row in 0..ROWS {
        insert.send_with(&broker, row).await?;
    }
    let full = async {
        // It ends by itself, also where something is wrong.
        let _ = tokio::time::timeout(Duration::from_secs(10), table.is_full.notified()).await;
    };
    Worker::builder(broker).state(Arc::clone(&table)).run_until(full).await?;
    println!("{} rows inserted", table.rows.load(Ordering::Relaxed));
    Ok(())
}
