//! How exactly a queue keeps its rate with four workers, and whether more ever start at once than its burst allows.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actor_bench::library::{self, Running};
use actor_bench::{Args, Figure, Persistence, Report, Result, Server, Spread, Tally};
use actor_core::{Queue, actor};
use actor_redis::RedisBroker;
use serde_json::json;

const NAME: &str = "rate_1000";
const RATE: u32 = 1_000;
/// What starts in 100 ms, as is the default.
const BURST: u32 = 100;
const WORKERS: usize = 4;

static PACED: Queue = Queue::new("bench-paced").rate(RATE, Duration::from_secs(1)).burst(BURST);

#[actor(queue = PACED)]
async fn paced(n: u64, #[state] tally: &Arc<Tally>) {
    tally.start(n);
}

pub(crate) async fn run(args: &Args, report: &Report) -> Result {
    if !args.wants(NAME) {
        return Ok(());
    }
    let server = Server::start(Persistence::Off).await?;
    let seconds = if args.smoke { 2 } else { 60 };
    // Besides the burst, which is spent at first and not measured, and some more until all workers are at work.
    let skipped = u64::from(2 * BURST);
    let Times { let_go, starts } = once(&server, skipped + u64::from(RATE) * seconds + 1).await?;
    let settings = json!({"rate": RATE, "burst": BURST, "workers": WORKERS, "seconds": seconds});
    let show = |figure: &str, unit, value| {
        report.show(&Figure::single(format!("{NAME}/{figure}"), unit, Spread::one(value), &settings));
    };
    show("error", "%", 100.0 * (rate(&starts[skipped as usize..]) / f64::from(RATE) - 1.0).abs());
    show("above_burst", "starts", above_burst(&let_go));
    show("started_above_burst", "starts", above_burst(&starts));
    Ok(())
}

/// When so many messages were let go and when they started, in seconds, in their order.
struct Times {
    let_go: Vec<f64>,
    starts: Vec<f64>,
}

async fn once(server: &Server, messages: u64) -> Result<Times> {
    let broker = server.broker().await?;
    paced.send_many_with(&broker, 0..messages).await?;
    let watch = watch(server, messages)?;
    let tally = Arc::new(Tally::of(0..messages));
    let began = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        let broker = RedisBroker::connect(&server.url()).await?;
        workers.push(Running::start(library::worker(&broker, PACED.name(), &tally)));
    }
    tally.reached().await?;
    server.settled(PACED.name(), 0).await?;
    for worker in workers {
        worker.stop().await?;
    }
    tally.verify()?;
    let start = |n| tally.start_of(n).map(|start| start.duration_since(began).as_secs_f64());
    let mut starts: Vec<f64> = (0..messages).filter_map(start).collect();
    starts.sort_by(f64::total_cmp);
    let let_go = watch.join().map_err(|_| "the watch panicked")??;
    Ok(Times { let_go, starts })
}

/// Reads from Redis itself when it adds each message to the ready stream: what starts follows that by a delivery, which
/// takes longer for one than for another.
fn watch(server: &Server, messages: u64) -> Result<JoinHandle<Result<Vec<f64>>>> {
    let mut connection = TcpStream::connect(("127.0.0.1", server.port()))?;
    connection.write_all(b"MONITOR\r\n")?;
    let mut lines = BufReader::new(connection).lines();
    lines.next().ok_or("Redis did not answer")??;
    let added = format!("\"XADD\" \"{{actor:{}}}:ready:", PACED.name());
    Ok(std::thread::spawn(move || {
        let mut times = Vec::new();
        while times.len() as u64 != messages {
            let line = lines.next().ok_or("Redis ended the connection")??;
            if line.contains(&added) {
                let time = line.trim_start_matches('+').split(' ').next().unwrap_or_default();
                times.push(time.parse()?);
            }
        }
        Ok(times)
    }))
}

/// How many started in a second.
fn rate(starts: &[f64]) -> f64 {
    (starts.len() - 1) as f64 / (starts[starts.len() - 1] - starts[0])
}

/// By how many whole starts any span of time had more than the rate and the burst allow in it; 0 where none had.
fn above_burst(times: &[f64]) -> f64 {
    // A span that begins with one start and ends with another has as many as lie between their numbers, and one. What it
    // has more than its rate allows is the difference of what each is ahead of the rate.
    let first = times.first().copied().unwrap_or_default();
    let ahead = |n: usize| n as f64 - f64::from(RATE) * (times[n] - first);
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for n in 0..times.len() {
        least = least.min(ahead(n));
        most = most.max(ahead(n) - least + 1.0);
    }
    (most - f64::from(BURST)).max(0.0).floor()
}
