use std::time::Instant;

use actor_core::{Worker, actor};

use crate::support::{RunningWorker, Stage, stage::name};

/// How many commands an idle worker may send, for each of its queues.
const COMMANDS_PER_SECOND: f64 = 3.0;
/// The number of ready streams of a queue.
const STREAMS: u64 = 6;

#[actor(queue = "quiet")]
async fn quiet() {}

#[actor(queue = "silent")]
async fn silent() {}

#[tokio::test]
async fn an_idle_worker_costs_at_most_three_commands_a_second_and_queue() {
    let mut stage = Stage::redis().await;
    let queues = ["quiet", "silent"];
    // The default lease: a shorter one costs more.
    let builder = Worker::builder(stage.another().await).queues(queues.map(name));
    let worker = RunningWorker::with_own_lease(builder);
    quiet.send_with(&stage.broker).await.unwrap();
    silent.send_with(&stage.broker).await.unwrap();
    for queue in queues {
        stage.until_empty(queue).await;
    }
    // The first check for dead workers has loaded the last script, which happens once.
    stage.server().until_called("xinfo", 1).await;
    let (before, began) = (stage.server().calls(), Instant::now());
    // The rarest request is this check: once for each queue, for each of its streams.
    stage.server().until_called("xinfo", 2 * STREAMS).await;
    let (after, span) = (stage.server().calls(), began.elapsed());
    worker.stop().await;

    // Commands within scripts count separately. INFO is this test's own.
    let calls = after.iter().filter(|(command, _)| *command != "info");
    let calls: u64 = calls.map(|(command, calls)| calls - before.get(command).unwrap_or(&0)).sum();
    #[allow(clippy::cast_precision_loss)] // A float is precise enough for a rate.
    let rate = calls as f64 / span.as_secs_f64() / queues.len() as f64;
    let allowed = COMMANDS_PER_SECOND;
    assert!(rate <= allowed, "{rate} a second and queue: from {before:?} to {after:?}");
    assert!(rate > 0.1, "nobody kept a lease: the worker was not there");
}
