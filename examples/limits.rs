//! Three tenants at one limit, one of which is noisy: `cargo run --example limits`.
//!
//! With a Redis in place of memory:
//! `cargo run -p actor-examples --features redis --example limits -- redis://127.0.0.1/`.
#![allow(clippy::print_stdout)] // It shows what happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use actor_core::{Broker, Context, Limit, MemoryBroker, Queue, Worker, actor};
use tokio::sync::{mpsc, oneshot};

/// How long a call takes.
const CALL: Duration = Duration::from_millis(150);

/// Over all workers: four calls at a time, and two of each tenant; twenty starts a second; and the tenants share the
/// workers' time.
static CALLS: Queue = Queue::new("example.calls")
    .concurrency(4)
    .rate(20, Duration::from_secs(1))
    .per_key(Limit::new().concurrency(2))
    .fair();

/// What the runs have in common.
struct Office {
    began: Instant,
    tenants: Mutex<BTreeMap<String, Tenant>>,
    finished: mpsc::UnboundedSender<()>,
}

#[derive(Default)]
struct Tenant {
    running: usize,
    most: usize,
    waits: Vec<Duration>,
}

impl Office {
    fn with<T>(&self, tenant: &str, work: impl FnOnce(&mut Tenant) -> T) -> T {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        work(tenants.entry(tenant.to_owned()).or_default())
    }
}

#[actor(queue = CALLS, key = tenant)]
async fn call(cx: &Context, tenant: &str, number: u32, #[state] office: &Arc<Office>) {
    let waited = SystemTime::now().duration_since(cx.sent_at()).unwrap_or_default();
    office.with(tenant, |tenant| {
        tenant.running += 1;
        tenant.most = tenant.most.max(tenant.running);
        tenant.waits.push(waited);
    });
    let (at, waited) = (office.began.elapsed().as_secs_f64(), waited.as_secs_f64());
    println!("{at:4.2} s  {tenant:<8} call {number:2}, which waited {waited:4.2} s");
    tokio::time::sleep(CALL).await;
    office.with(tenant, |tenant| tenant.running -= 1);
    let _ = office.finished.send(());
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = broker().await?;
    let (finished, mut ended) = mpsc::unbounded_channel();
    let office = Arc::new(Office { began: Instant::now(), tenants: Mutex::default(), finished });

    // The noisy tenant is there before all others.
    for number in 1..=24 {
        call.send_with(&*broker, "noisy", number).await?;
    }

    // Two workers of 8 slots each. The limits hold over both.
    let mut workers = Vec::new();
    for _ in 0..2 {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::builder(Arc::clone(&broker)).concurrency(8).state(Arc::clone(&office));
        let worker = tokio::spawn(worker.run_until(async {
            let _ = stopped.await;
        }));
        workers.push((stop, worker));
    }

    // One sends a few at once, and one now and then.
    for number in 1..=4 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        call.send_with(&*broker, "quiet", number).await?;
        if number == 1 {
            for number in 1..=4 {
                call.send_with(&*broker, "another", number).await?;
            }
        }
    }

    for _ in 0..32 {
        ended.recv().await;
    }
    println!();
    for (name, tenant) in &*office.tenants.lock().unwrap_or_else(PoisonError::into_inner) {
        let (runs, most) = (tenant.waits.len(), tenant.most);
        let longest = tenant.waits.iter().max().map_or(0.0, Duration::as_secs_f64);
        println!("{name:<8} {runs:2} calls, at most {most} at a time; the longest wait was {longest:4.2} s");
    }
    for (stop, worker) in workers {
        let _ = stop.send(());
        worker.await??;
    }
    Ok(())
}

#[cfg(not(feature = "redis"))]
async fn broker() -> Result<Arc<dyn Broker>, Box<dyn std::error::Error>> {
    match std::env::args().nth(1) {
        None => Ok(Arc::new(MemoryBroker::new())),
        Some(_) => Err("a URL needs the feature `redis`: cargo run -p actor-examples --features redis ..".into()),
    }
}

#[cfg(feature = "redis")]
async fn broker() -> Result<Arc<dyn Broker>, Box<dyn std::error::Error>> {
    match std::env::args().nth(1) {
        None => Ok(Arc::new(MemoryBroker::new())),
        Some(url) => Ok(Arc::new(actor_redis::RedisBroker::connect(&url).await?)),
    }
}
