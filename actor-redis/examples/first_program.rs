//! The first program of the README, with the URL as its argument: one server, `redis+sentinel://`, `redis+cluster://`.
//!
//! `cargo run -p actor-redis --example first_program -- redis://127.0.0.1/`
#![allow(clippy::print_stdout)] // It shows what happens.

use actor_core::{Context, Worker, actor};
use actor_redis::RedisBroker;

#[actor(queue = "mail", max_retries = 5)]
async fn welcome(cx: &Context, address: &str) -> Result<(), std::io::Error> {
    println!("attempt {}: welcome, {address}", cx.attempt());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().init(); // Shows what the library logs.
    let broker = RedisBroker::connect(&std::env::args().nth(1).expect("a URL")).await?;
    actor_core::install(broker.clone())?; // The broker that `send` uses.

    welcome.send("ada@example.com").await?;

    Worker::builder(broker).run().await?; // Until SIGTERM or SIGINT.
    Ok(())
}
