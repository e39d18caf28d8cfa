//! From the end of a run to the start of the next message of its key, where one of a key may run at a time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actor_bench::latency::Latency;
use actor_bench::library::Running;
use actor_bench::{Args, Figure, Report, Result, Server, Spread};
use actor_core::{Limit, Queue, QueueName, Worker, actor};
use actor_redis::RedisBroker;
use serde_json::json;

/// How long each run takes: long enough that the workers wait for messages meanwhile.
const RUN: Duration = Duration::from_millis(7);
const MESSAGES: u64 = 500;

static ONE_OF_A_KEY: Queue = Queue::new("bench-freed").per_key(Limit::new().concurrency(1));

#[actor(queue = ONE_OF_A_KEY, key = "the only one")]
async fn hold(n: u64, #[state] seat: &Arc<Seat>) {
    let start = Instant::now();
    tokio::time::sleep(RUN).await;
    let mut runs = seat.runs.lock().unwrap_or_else(PoisonError::into_inner);
    runs.push(Run { n, worker: seat.worker, start, end: Instant::now() });
}

/// A worker, and where its runs are written down.
struct Seat {
    worker: usize,
    /// Actors push their runs; the benchmark takes them once all have ended.
    runs: Arc<Mutex<Vec<Run>>>,
}

struct Run {
    n: u64,
    worker: usize,
    start: Instant,
    end: Instant,
}

/// What one measurement found.
struct Freed {
    latency: Latency,
    /// The percentage of starts on another worker than the one that freed the slot.
    elsewhere: f64,
}

/// Runs the selected scenarios.
pub(crate) async fn run(args: &Args, report: &Report, server: &Server) -> Result {
    for (name, workers) in [("freed_slot_1", 1), ("freed_slot_2", 2)] {
        if !args.wants(name) {
            continue;
        }
        let messages = args.messages(MESSAGES).min(if args.smoke { 50 } else { MESSAGES });
        let mut measured = Vec::new();
        for _ in 0..args.pairs {
            measured.push(once(server, messages, workers).await?);
        }
        let settings = json!({"messages": messages, "workers": workers, "run_ms": RUN.as_millis()});
        let show = |figure: &str, unit, number: &dyn Fn(&Freed) -> f64| {
            let value = Spread::of(measured.iter().map(number));
            report.show(&Figure::single(format!("{name}/{figure}"), unit, value, &settings));
        };
        for (figure, part) in Latency::FIGURES {
            show(figure, "ms", &|freed| freed.latency.ms(part));
        }
        show("elsewhere", "%", &|freed| freed.elsewhere);
    }
    Ok(())
}

async fn once(server: &Server, messages: u64, workers: usize) -> Result<Freed> {
    let broker = server.broker().await?;
    let runs = Arc::new(Mutex::new(Vec::new()));
    let queue: QueueName = ONE_OF_A_KEY.name().parse()?;
    let mut running = Vec::new();
    for worker in 0..workers {
        let seat = Arc::new(Seat { worker, runs: Arc::clone(&runs) });
        let builder = Worker::builder(RedisBroker::connect(&server.url()).await?);
        running.push(Running::start(builder.state(seat).queues([queue.clone()])));
    }
    hold.send_many_with(&broker, 0..messages).await?;
    let began = Instant::now();
    while count(&runs) < messages {
        if began.elapsed() > Duration::from_secs(120) {
            return Err(format!("only {} of {messages} messages were run", count(&runs)).into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for worker in running {
        worker.stop().await?;
    }
    let mut runs = std::mem::take(&mut *runs.lock().unwrap_or_else(PoisonError::into_inner));
    runs.sort_by_key(|run| run.start);
    check(&runs, messages)?;
    let pairs: Vec<_> = runs.windows(2).skip(runs.len() / 10).collect();
    let elsewhere = pairs.iter().filter(|pair| pair[0].worker != pair[1].worker).count();
    Ok(Freed {
        latency: Latency::of_each(pairs.iter().map(|pair| pair[1].start - pair[0].end))?,
        elsewhere: 100.0 * elsewhere as f64 / pairs.len() as f64,
    })
}

fn count(runs: &Mutex<Vec<Run>>) -> u64 {
    runs.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
}

/// Checks that every message ran exactly once, and no two at the same time.
fn check(runs: &[Run], messages: u64) -> Result {
    let mut numbers: Vec<u64> = runs.iter().map(|run| run.n).collect();
    numbers.sort_unstable();
    if !numbers.into_iter().eq(0..messages) {
        return Err("a message was not run exactly once".into());
    }
    match runs.windows(2).find(|pair| pair[1].start < pair[0].end) {
        Some(pair) => Err(format!("messages {} and {} ran at the same time", pair[0].n, pair[1].n).into()),
        None => Ok(()),
    }
}
