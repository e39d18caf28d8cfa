//! Cron in one process, with no server: `cargo run --example schedules`.
//!
//! An actor declares a schedule, a program stores another, one must not overlap with itself, and an operator lists,
//! pauses and runs them. It ends by itself after some seconds.
#![allow(clippy::print_stdout)] // It shows what happens.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use actor_core::inspect::Page;
use actor_core::schedule::{Change, Overlap, Schedules, run_now};
use actor_core::{Context, MemoryBroker, QueueName, Schedule, Worker, actor};
use tokio::sync::oneshot;

/// What the actors share.
struct Clock(Instant);

impl Clock {
    fn say(&self, line: impl std::fmt::Display) {
        println!("{:4.1} s  {line}", self.0.elapsed().as_secs_f64());
    }
}

/// Every two seconds. Its workers store the schedule when they start.
#[actor(queue = "office", cron = "*/2 * * * * *")]
async fn tidy_up(cx: &Context, #[state] clock: &Arc<Clock>) {
    clock.say(format_args!("tidy up, the tick of second {}", second(cx)));
}

/// Takes longer than the second between two ticks.
#[actor(queue = "office")]
async fn report(cx: &Context, account: u64, #[state] clock: &Arc<Clock>) {
    clock.say(format_args!("report of {account} begins, the tick of second {}", second(cx)));
    tokio::time::sleep(Duration::from_millis(2_300)).await;
}

fn second(cx: &Context) -> u64 {
    let tick = cx.scheduled_for().unwrap_or_else(|| cx.sent_at());
    tick.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() % 60
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = MemoryBroker::new();
    actor_core::install(broker.clone())?;
    let (clock, office) = (Arc::new(Clock(Instant::now())), QueueName::new("office")?);

    // A program stores a schedule for each account. While the last report runs, ticks pass.
    Schedule::new("report:42", "* * * * * *").overlap(Overlap::Skip).upsert(report.message(42)).await?;
    // This one waits for the next working day's night in Berlin.
    Schedule::new("report:43", "30 2 * * 1-5").timezone("Europe/Berlin").upsert(report.message(43)).await?;

    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::builder(broker.clone()).state(Arc::clone(&clock));
    let worker = tokio::spawn(worker.run_until(async move {
        let _ = stopped.await;
    }));
    tokio::time::sleep(Duration::from_secs(5)).await;

    // The operator.
    for schedule in broker.list_schedules(&office, Page::first(10)).await?.schedules {
        let (pattern, timezone) = schedule.pattern()?;
        let next = schedule.next_runs(1)?.first().and_then(|next| next.duration_since(SystemTime::now()).ok());
        let next = next.unwrap_or_default().as_secs();
        clock.say(format_args!("{:10} {pattern:14} {timezone:14} next in {next} s", schedule.name));
    }
    broker.change_schedule(&office, "report:42", Change::Pause).await?;
    clock.say("report:42 is paused, and report:43 is run now");
    run_now(&broker, &office, "report:43").await?;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let _ = stop.send(());
    worker.await??;
    Ok(())
}
