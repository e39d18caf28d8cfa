//! The library, as its users use it.

use std::ops::Range;
use std::sync::Arc;

use actor_core::{Actor, Message, QueueName, Worker, WorkerBuilder, WorkerError};
use actor_redis::RedisBroker;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::work::noop;
use crate::{Cost, Meter, Result, Server, Tally};

/// A worker of one queue with default settings.
///
/// # Panics
///
/// The queue's name is invalid.
pub fn worker(broker: &RedisBroker, queue: &str, tally: &Arc<Tally>) -> WorkerBuilder {
    let queue: QueueName = queue.parse().expect("a benchmark's queue has a proper name");
    Worker::builder(broker.clone()).state(Arc::clone(tally)).queues([queue])
}

/// Sends messages one after another.
///
/// # Errors
///
/// One was not sent.
pub async fn send_each(broker: &RedisBroker, ids: Range<u64>, text: &str) -> Result {
    for n in ids {
        noop.send_with(broker, n, text).await?;
    }
    Ok(())
}

/// Sends from so many concurrent tasks, each one message after another.
///
/// # Errors
///
/// One was not sent.
pub async fn send_from<A: Actor>(
    broker: &RedisBroker,
    senders: u64,
    ids: Range<u64>,
    message: impl Fn(u64) -> Message<A> + Clone + Send + 'static,
) -> Result {
    let mut sending = JoinSet::new();
    for share in shares(ids, senders) {
        let (broker, message) = (broker.clone(), message.clone());
        sending.spawn(async move {
            for n in share {
                message(n).send_with(&broker).await?;
            }
            Result::Ok(())
        });
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    Ok(())
}

/// Sends in bulk.
///
/// # Errors
///
/// One was not sent.
pub async fn send_many(broker: &RedisBroker, ids: Range<u64>, text: &str) -> Result {
    noop.send_many_with(broker, ids.map(|n| (n, text))).await?;
    Ok(())
}

/// Runs a worker until the tally's messages are drained, and measures it.
///
/// # Errors
///
/// A message was not run exactly once, or the worker failed.
pub async fn drain(server: &Server, worker: WorkerBuilder, queue: &str, tally: &Tally) -> Result<Cost> {
    let meter = Meter::start(server).await?;
    let worker = Running::start(worker);
    tally.reached().await?;
    server.settled(queue, 0).await?;
    let cost = meter.stop(server, tally.started()).await?;
    worker.stop().await?;
    tally.verify()?;
    Ok(cost)
}

/// A worker that runs beside the benchmark, in the same process.
#[derive(Debug)]
pub struct Running {
    stop: oneshot::Sender<()>,
    done: JoinHandle<std::result::Result<(), WorkerError>>,
}

impl Running {
    /// Starts a worker.
    pub fn start(worker: WorkerBuilder) -> Self {
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(worker.run_until(async {
            let _ = stopped.await;
        }));
        Self { stop, done }
    }

    /// Stops it in good order.
    ///
    /// # Errors
    ///
    /// The worker failed.
    pub async fn stop(self) -> Result {
        let _ = self.stop.send(());
        Ok(self.done.await??)
    }
}

/// Divides numbers into so many shares, as evenly as possible.
pub fn shares(ids: Range<u64>, shares: u64) -> impl Iterator<Item = Range<u64>> {
    let (first, count) = (ids.start, ids.end - ids.start);
    (0..shares).map(move |share| first + count * share / shares..first + count * (share + 1) / shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_leave_no_number_out_and_have_none_twice() {
        for (ids, count) in [(0..10, 3), (5..5, 2), (7..1_007, 64), (0..2, 5)] {
            let all: Vec<u64> = shares(ids.clone(), count).flatten().collect();
            assert_eq!(all, ids.collect::<Vec<_>>());
        }
    }
}
