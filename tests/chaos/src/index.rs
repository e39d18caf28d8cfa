//! Indexes of Redis that a person deletes by hand.

use std::time::Duration;

use crate::process::QUEUES;
use crate::stage::Stage;
use crate::storage;
use crate::tasks::gated;

fn queue(rng: u64) -> &'static str {
    QUEUES[(rng % QUEUES.len() as u64) as usize]
}

/// A key of one of the queues.
pub(crate) fn key(rng: u64, name: &str) -> String {
    storage::key(queue(rng), name)
}

/// Deletes an index of bodies, and repairs the queue.
pub(crate) fn lose(stage: &Stage, rng: u64, name: &str) -> redis::RedisResult<()> {
    stage.redis(&format!("DEL {}", key(rng, name)))?;
    repair(stage, queue(rng));
    Ok(())
}

/// Counts slots as taken that no message holds, as if somebody had leaked them, and repairs the queue.
pub(crate) fn miscount(stage: &Stage, rng: u64) -> redis::RedisResult<()> {
    let slots = 1 + rng % 3;
    stage.redis(&format!("HINCRBY {} n {slots}", storage::key(gated::QUEUE, "gate")))?;
    let lane = rng / 3 % gated::KEYS;
    stage.redis(&format!("HINCRBY {} {lane} {slots}", storage::key(gated::QUEUE, "lanes:running")))?;
    repair(stage, gated::QUEUE);
    Ok(())
}

/// Repairs a queue, as a person would who has read what the auditor found.
fn repair(stage: &Stage, queue: &str) {
    let (broker, queue) = (stage.broker.clone(), queue.parse().expect("a queue of this suite"));
    tokio::spawn(async move {
        while broker.repair(&queue).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

/// One of the streams.
pub(crate) fn stream(rng: u64) -> String {
    // Most messages are of normal priority.
    key(rng, ["ready:normal", "ready:normal", "ready:high", "ready:low"][(rng / 2 % 4) as usize])
}

/// Deletes the consumers of a stream, and the group's knowledge of their messages.
pub(crate) fn lose_consumers(stage: &Stage, rng: u64) -> redis::RedisResult<()> {
    let stream = stream(rng);
    let mut connection = stage.server().connection()?;
    let consumers: Vec<std::collections::HashMap<String, redis::Value>> =
        redis::cmd("XINFO").arg("CONSUMERS").arg(&stream).arg("workers").query(&mut connection)?;
    for consumer in consumers {
        if let Some(name) = consumer.get("name").and_then(|name| redis::from_redis_value_ref::<String>(name).ok()) {
            redis::cmd("XGROUP").arg("DELCONSUMER").arg(&stream).arg("workers").arg(name).exec(&mut connection)?;
        }
    }
    Ok(())
}
