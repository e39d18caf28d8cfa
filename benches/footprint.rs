//! Footprint: Redis's memory, the worker's memory, commands when idle, allocations.
//!
//! `cargo bench --bench footprint`.

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actor_bench::floor;
use actor_bench::library::{self, Running};
use actor_bench::work::{QUEUE, TEXT, noop, slow};
use actor_bench::{Args, Figure, Pairs, Persistence, Report, Result, Server, Spread, Tally, WorkerProcess};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[tokio::main]
async fn main() -> Result {
    if WorkerProcess::serve().await? {
        return Ok(());
    }
    let args = Args::read()?;
    let report = Report::new(&args, "Footprint");
    let server = Server::start(Persistence::Off).await?;
    let footprint = Footprint { args: &args, report: &report, server };
    footprint.redis_memory().await?;
    footprint.worker_memory().await?;
    footprint.idle_commands().await?;
    #[cfg(feature = "cron")]
    footprint.schedules().await?;
    footprint.allocations().await
}

struct Footprint<'a> {
    args: &'a Args,
    report: &'a Report,
    server: Server,
}

impl Footprint<'_> {
    /// Redis's memory for each waiting message, including keys.
    async fn redis_memory(&self) -> Result {
        let text: Arc<str> = floor::text_for_body(311).into();
        let messages = self.args.messages(100_000);
        let ids = floor::FIRST..floor::FIRST + messages;
        for name in ["ready_bytes", "scheduled_bytes"] {
            if !self.args.wants(name) {
                continue;
            }
            let ours = async || {
                let broker = self.server.broker().await?;
                let before = self.server.memory().await?;
                if name == "ready_bytes" {
                    library::send_many(&broker, ids.clone(), &text).await?;
                } else {
                    let text = Arc::clone(&text);
                    let message = move |n| noop.message(n, &text).delay(Duration::from_secs(3_600));
                    library::send_from(&broker, 64, ids.clone(), message).await?;
                }
                self.bytes_each(before, messages).await
            };
            let base = async || {
                let floor = self.server.floor().await?;
                let before = self.server.memory().await?;
                floor.send_many(ids.clone(), &text).await?;
                self.bytes_each(before, messages).await
            };
            let pairs = Pairs::run(self.args, ours, base).await?;
            let settings = json!({"messages": messages, "body": 311});
            let metric = format!("{name}/each");
            self.report.show(&Figure::beside(metric, "bytes", &pairs, |bytes| *bytes, "floor, ready", &settings));
        }
        Ok(())
    }

    /// A worker process's memory: idle, draining a large backlog, and running a slow actor before one.
    async fn worker_memory(&self) -> Result {
        let backlog = self.args.messages(1_000_000);
        if self.args.wants("memory_idle") {
            self.server.broker().await?;
            let worker = WorkerProcess::start(&self.server, QUEUE, 0)?;
            tokio::time::sleep(Duration::from_secs(if self.args.smoke { 1 } else { 5 })).await;
            let settings = json!({});
            self.show_memory("memory_idle", &[memory(&worker)?], &settings);
            worker.stop(&Tally::of(0..0))?;
        }
        if self.args.wants("memory_draining") {
            let broker = self.server.broker().await?;
            library::send_many(&broker, 0..backlog, TEXT).await?;
            let worker = WorkerProcess::start(&self.server, QUEUE, backlog)?;
            let mut measured = Vec::new();
            while self.server.held(QUEUE).await? > 0 {
                measured.push(memory(&worker)?);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let tally = Tally::of(0..backlog);
            worker.stop(&tally)?;
            tally.verify()?;
            // The tally belongs to the harness, not to the worker.
            let settings = json!({"backlog": backlog, "of it the tally's": format!("{} MiB", (backlog * 8) >> 20)});
            self.show_memory("memory_draining", &measured, &settings);
        }
        if self.args.wants("memory_slow") {
            self.slow_worker(backlog).await?;
        }
        Ok(())
    }

    /// The memory of a worker with a slow actor, once its slots are full and from then on.
    async fn slow_worker(&self, backlog: u64) -> Result {
        let broker = self.server.broker().await?;
        slow.send_many_with(&broker, (0..backlog).map(|n| (n, TEXT))).await?;
        let worker = WorkerProcess::start(&self.server, "bench-slow", backlog)?;
        let (settle, watch) = if self.args.smoke { (1, 1) } else { (5, 30) };
        tokio::time::sleep(Duration::from_secs(settle)).await;
        let at_first = memory(&worker)?;
        let (began, mut measured) = (Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_secs(watch) {
            measured.push(memory(&worker)?);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let tally = Tally::of(0..backlog);
        worker.stop(&tally)?;
        tally.verify_once()?;
        let (held, ran) = (self.server.held("bench-slow").await?, tally.started());
        if held + ran != backlog {
            return Err(format!("of {backlog} messages {ran} were run and {held} are left").into());
        }
        let settings = json!({"backlog": backlog, "each message": "takes 1 s", "watched_s": watch});
        let last = Spread::of(measured);
        let figure = Figure::single("memory_slow/last", "MiB", Spread::one(last.high / MIB), &settings);
        self.report.show(&figure.within("when its slots were full", at_first / MIB));
        Ok(())
    }

    fn show_memory(&self, name: &str, measured: &[f64], settings: &serde_json::Value) {
        let value = Spread::of(measured.iter().map(|bytes| bytes / MIB));
        self.report.show(&Figure::single(format!("{name}/rss"), "MiB", value, settings));
    }

    /// Commands a second for each of some idle workers, including those within scripts.
    async fn idle_commands(&self) -> Result {
        for workers in [1_u32, 10, 100] {
            let name = format!("idle_commands_{workers}");
            if !self.args.wants(&name) {
                continue;
            }
            let broker = self.server.broker().await?;
            let tally = Arc::new(Tally::of(0..1));
            let running: Vec<_> =
                (0..workers).map(|_| Running::start(library::worker(&broker, QUEUE, &tally))).collect();
            let (watched, commands) = self.watch_idle(u64::from(workers)).await?;
            let each = commands / watched.as_secs_f64() / f64::from(workers);
            noop.send_with(&broker, 0, TEXT).await?;
            tally.reached().await?;
            for worker in running {
                worker.stop().await?;
            }
            tally.verify()?;
            let settings = json!({"workers": workers, "watched_s": watched.as_secs()});
            let figure = Figure::single(format!("{name}/each"), "/s", Spread::one(each), &settings);
            self.report.show(&figure.within("bound", 3.0));
        }
        Ok(())
    }

    /// Commands a second of an idle worker whose queue has many schedules, none of which is due.
    #[cfg(feature = "cron")]
    async fn schedules(&self) -> Result {
        use actor_core::Schedule;
        use actor_core::delivery::Wait;
        use actor_core::schedule::{Change, Schedules};

        if !self.args.wants("schedules") {
            return Ok(());
        }
        let (broker, queue) = (self.server.broker().await?, noop.queue());
        let count = self.args.messages(10_000);
        for n in 0..count {
            let schedule = Schedule::new(n.to_string(), "0 0 1 1 *").timezone("Europe/Berlin");
            schedule.upsert_with(&broker, noop.message(n, TEXT)).await?;
        }
        let tally = Arc::new(Tally::of(0..1));
        let running = Running::start(library::worker(&broker, QUEUE, &tally));
        // It finds the first tick of each.
        while !broker.due(&queue, 1, &Wait::new(Duration::ZERO)).await?.schedules.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (watched, commands) = self.watch_idle(1).await?;
        noop.send_with(&broker, 0, TEXT).await?;
        tally.reached().await?;
        running.stop().await?;
        tally.verify()?;
        for n in 0..count {
            broker.change_schedule(&queue, &n.to_string(), Change::Remove).await?;
        }
        let settings = json!({"schedules": count, "workers": 1, "watched_s": watched.as_secs()});
        let each = Spread::one(commands / watched.as_secs_f64());
        self.report.show(&Figure::single("schedules/each".to_owned(), "/s", each, &settings).within("bound", 3.2));
        Ok(())
    }

    /// Counts the commands of idle workers until each has checked for dead workers once: this is the rarest of their
    /// requests, and the most expensive.
    async fn watch_idle(&self, workers: u64) -> Result<(Duration, f64)> {
        let settle = if self.args.smoke { 1 } else { 10 };
        tokio::time::sleep(Duration::from_secs(settle)).await;
        if !self.args.smoke {
            self.until_checked(1).await?;
        }
        let (began, before) = (Instant::now(), self.server.commands().await?);
        let asked = if self.args.smoke {
            tokio::time::sleep(Duration::from_secs(1)).await;
            0.0
        } else {
            self.until_checked(workers).await?
        };
        // Without the harness's own requests.
        let commands = self.server.commands().await? - before - 1.0 - asked;
        Ok((began.elapsed(), commands))
    }

    /// Waits for so many checks for dead workers. Returns how often it asked.
    async fn until_checked(&self, checks: u64) -> Result<f64> {
        /// A check asks for each ready stream, and for `wake`.
        const STREAMS: u64 = 7;
        let until = self.server.calls("xinfo").await? + checks * STREAMS;
        let mut asked = 1.0;
        while self.server.calls("xinfo").await? < until {
            asked += 1.0;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(asked + 1.0)
    }

    /// Allocations a message: sent one by one, sent in bulk, and drained.
    async fn allocations(&self) -> Result {
        let messages = self.args.messages(20_000);
        if self.args.wants("allocations") {
            let ours = async || self.allocations_of_library(messages).await;
            let pairs = Pairs::run(self.args, ours, async || self.allocations_of_floor(messages).await).await?;
            let settings = json!({"messages": messages});
            for (index, name) in ["send", "send_many", "drain"].into_iter().enumerate() {
                let count = |stages: &Stages| stages[index].0 / messages as f64;
                let bytes = |stages: &Stages| stages[index].1 / messages as f64;
                let metric = format!("allocations/{name}");
                self.report.show(&Figure::beside(&metric, "", &pairs, count, "floor", &settings));
                let metric = format!("{metric}_bytes");
                self.report.show(&Figure::beside(metric, "bytes", &pairs, bytes, "floor", &settings));
            }
        }
        Ok(())
    }

    async fn allocations_of_library(&self, messages: u64) -> Result<Stages> {
        let broker = self.server.broker().await?;
        let tally = Arc::new(Tally::of(0..2 * messages));
        let send = counted(library::send_each(&broker, 0..messages, TEXT)).await?;
        let send_many = counted(library::send_many(&broker, messages..2 * messages, TEXT)).await?;
        let worker = library::worker(&broker, QUEUE, &tally);
        let drain = counted(library::drain(&self.server, worker, QUEUE, &tally)).await?;
        Ok([send, send_many, (drain.0 / 2.0, drain.1 / 2.0)])
    }

    async fn allocations_of_floor(&self, messages: u64) -> Result<Stages> {
        let floor = self.server.floor().await?;
        let tally = Arc::new(Tally::of(0..2 * messages));
        let send = counted(floor.send_each(0..messages, TEXT)).await?;
        let send_many = counted(floor.send_many(messages..2 * messages, TEXT)).await?;
        let drain = counted(floor.drain(&self.server, &tally)).await?;
        Ok([send, send_many, (drain.0 / 2.0, drain.1 / 2.0)])
    }

    /// What each message takes. All must be there.
    async fn bytes_each(&self, before: f64, messages: u64) -> Result<f64> {
        let held = self.server.held(QUEUE).await?;
        if held != messages {
            return Err(format!("{held} of {messages} messages are there").into());
        }
        Ok((self.server.memory().await? - before) / messages as f64)
    }
}

const MIB: f64 = 1_048_576.0;

/// Allocations and bytes of `send`, of `send_many` and of a drain.
type Stages = [(f64, f64); 3];

/// Allocations of all threads while `stage` runs, and their bytes.
async fn counted<T>(stage: impl Future<Output = Result<T>>) -> Result<(f64, f64)> {
    let region = Region::new(ALLOCATOR);
    stage.await?;
    let change = region.change();
    let count = change.allocations + change.reallocations;
    Ok((count as f64, change.bytes_allocated as f64))
}

fn memory(worker: &WorkerProcess) -> Result<f64> {
    worker.memory().ok_or_else(|| "this system does not say how much memory a process has".into())
}
