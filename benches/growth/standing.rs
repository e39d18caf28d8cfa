//! What a message costs while many others wait: through enqueue, claim and settle, or for scheduled ones through
//! schedule, promote, claim and settle.

use std::sync::Arc;
use std::time::Duration;

use actor_bench::library::{self, Running};
use actor_bench::work::{QUEUE, TEXT, noop};
use actor_bench::{Args, Cost, Figure, Meter, Pairs, Persistence, Report, Result, Server, Tally};
use actor_redis::RedisBroker;
use serde_json::json;
use tokio::sync::Mutex;

/// The smallest backlog, with which the others are compared.
const FEW: u64 = 10_000;

/// What waits.
#[derive(Clone, Copy)]
enum Kind {
    Ready,
    Scheduled,
}

/// Runs the selected scenarios.
pub(crate) async fn run(args: &Args, report: &Report) -> Result {
    for (kind, kind_name) in [(Kind::Ready, "ready"), (Kind::Scheduled, "scheduled")] {
        for (size, size_name) in [(100_000, "100k"), (1_000_000, "1m")] {
            let name = format!("{kind_name}_{size_name}");
            if !args.wants(&name) {
                continue;
            }
            let few = Mutex::new(Backlog::build(args, kind, FEW).await?);
            let many = Mutex::new(Backlog::build(args, kind, size).await?);
            let pairs =
                Pairs::run(args, async || many.lock().await.cycle().await, async || few.lock().await.cycle().await)
                    .await?;
            let settings = json!({"waiting": size, "messages": many.lock().await.each});
            report.cost(&format!("{name}/through"), &pairs, |cost| *cost, "10k", &settings);
            report.show(&Figure::beside(format!("{name}/cpu"), "us", &pairs, Cost::cpu_us, "10k", &settings));
        }
    }
    Ok(())
}

/// A standing backlog, and the messages that pass through it.
struct Backlog {
    kind: Kind,
    server: Server,
    broker: RedisBroker,
    /// How many wait, before and after each cycle.
    size: u64,
    /// How many pass through in a cycle.
    each: u64,
    tally: Arc<Tally>,
    /// The next message's number.
    next: u64,
}

impl Backlog {
    async fn build(args: &Args, kind: Kind, size: u64) -> Result<Self> {
        let server = Server::start(Persistence::Off).await?;
        let broker = RedisBroker::connect(&server.url()).await?;
        let (size, each) = (args.messages(size), args.messages(50_000));
        let tally = Arc::new(Tally::of(0..size + each * args.pairs as u64));
        match kind {
            Kind::Ready => library::send_many(&broker, 0..size, TEXT).await?,
            Kind::Scheduled => {
                let message = |n| noop.message(n, TEXT).delay(Duration::from_secs(3_600) + Duration::from_millis(n));
                library::send_from(&broker, 64, 0..size, message).await?;
            }
        }
        Ok(Self { kind, server, broker, size, each, tally, next: size })
    }

    /// Adds messages, and drains as many of the oldest.
    async fn cycle(&mut self) -> Result<Cost> {
        let ids = self.next..self.next + self.each;
        self.next = ids.end;
        let before = self.tally.started();
        self.tally.want_more(self.each);
        let meter = Meter::start(&self.server).await?;
        match self.kind {
            Kind::Ready => library::send_many(&self.broker, ids, TEXT).await?,
            Kind::Scheduled => {
                let message = |n| noop.message(n, TEXT).delay(Duration::from_millis(1));
                library::send_from(&self.broker, 64, ids, message).await?;
            }
        }
        let worker = Running::start(library::worker(&self.broker, QUEUE, &self.tally));
        self.tally.reached().await?;
        self.server.settled(QUEUE, self.size).await?;
        // A few more may have started, which the next cycle need not run.
        let cost = meter.stop(&self.server, self.tally.started() - before).await?;
        worker.stop().await?;
        self.tally.verify_once()?;
        let (held, started) = (self.server.held(QUEUE).await?, self.tally.started());
        if held + started == self.next {
            self.size = held;
            return Ok(cost);
        }
        Err(format!("of {} messages {started} were run and {held} are left", self.next).into())
    }
}
