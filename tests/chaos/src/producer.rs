//! A producer process.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use actor_core::broker::Broker;
use actor_core::control::Cancelled;
use actor_core::schedule::{CatchUp, Change};
use actor_core::{BrokerError, Priority, Schedule, ScheduleError, SendError};
use fastrand::Rng;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::history::{CancelAnswer, Journal, What};
use crate::process::{Extra, Orders, QUEUES};
use crate::tasks::{
    Item, always_fails, batched, following, gated, jumpy, newest, obedient, patient, plain, sole, spread, stubborn,
    ticked,
};

/// The maximum number of sends under way.
const LANES: u32 = 8;
/// The same where each stream has a queue of its own.
const SPREAD_LANES: u32 = 14;
/// The name of the schedule of every second.
const SCHEDULE: &str = "every second";
/// How long a stream pauses when the broker refuses.
const PAUSE: Duration = Duration::from_millis(200);
/// How long pausing producers send, and how long they pause, in ms.
const BURST_MS: std::ops::Range<u64> = 200..1_500;
const QUIET_MS: std::ops::Range<u64> = 2_000..6_000;

/// Sends until it is asked to stop, or killed.
pub(crate) fn run(orders: &Orders) -> Result<(), Box<dyn Error>> {
    let journal = orders.begin()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let broker: Arc<dyn Broker> = Arc::new(orders.broker(&journal)?);
        let mut terminate = signal(SignalKind::terminate())?;
        let (stop, stopped) = watch::channel(false);
        let open = pauses(orders);
        let lanes = if orders.extra == Extra::Spread { SPREAD_LANES } else { LANES };
        let streams: Vec<_> = (0..lanes)
            .map(|stream| {
                let rng = Rng::with_seed(orders.seed ^ u64::from(stream) << 32);
                let pace = Duration::from_secs_f64(f64::from(lanes) / orders.rate);
                let (broker, mut stopped, mut open) = (Arc::clone(&broker), stopped.clone(), open.clone());
                let journal = Arc::clone(&journal);
                let (extra, long) = (orders.extra, orders.long_runs);
                let queue = extra.queues()[stream as usize % extra.queues().len()];
                tokio::spawn(async move {
                    let mut rng = rng;
                    let mut next = Instant::now();
                    loop {
                        tokio::select! {
                            biased;
                            _ = stopped.wait_for(|stopped| *stopped) => break,
                            _ = open.wait_for(|open| *open) => {}
                        }
                        let sent = match extra {
                            Extra::Spread if queue == gated::QUEUE => gated::send(&*broker, &mut rng, long).await,
                            Extra::Spread if queue != QUEUES[0] => send_to(&*broker, &mut rng, queue).await,
                            extra if extra.has(Extra::Cancel) && rng.u32(0..5) == 0 => {
                                send_and_cancel(&broker, &journal, &mut rng).await
                            }
                            _ => send(&*broker, &mut rng, extra, long).await,
                        };
                        if sent.is_err() {
                            sleep(PAUSE).await;
                        }
                        // Sends missed in an outage are not made up for.
                        next = (next + pace).max(Instant::now());
                        sleep_until(next).await;
                    }
                })
            })
            .collect();
        let schedules = orders.extra.has(Extra::Ticks);
        if schedules {
            keep_trying(async || each_second(&*broker).await).await;
        }
        terminate.recv().await;
        if schedules {
            keep_trying(async || end_ticks(&*broker).await).await;
        }
        stop.send_replace(true);
        for stream in streams {
            stream.await?;
        }
        Ok(())
    })
}

/// Stores the schedule of every second. Each producer stores the same.
async fn each_second(broker: &dyn Broker) -> Result<(), ScheduleError> {
    let schedule = Schedule::new(SCHEDULE, "* * * * * *").catch_up(CatchUp::All);
    schedule.upsert_with(broker, ticked.message()).await
}

/// Removes it, so that the queues run empty.
async fn end_ticks(broker: &dyn Broker) -> Result<bool, BrokerError> {
    let schedules = broker.schedules().expect("this broker keeps schedules");
    schedules.change_schedule(&ticked.queue(), SCHEDULE, Change::Remove).await
}

async fn keep_trying<T, E>(call: impl AsyncFn() -> Result<T, E>) {
    while call().await.is_err() {
        sleep(PAUSE).await;
    }
}

/// Opens or closes all streams together, so that the shared connection is idle in a pause.
fn pauses(orders: &Orders) -> watch::Receiver<bool> {
    let (turn, open) = watch::channel(true);
    let (pauses, mut rng) = (orders.pauses, Rng::with_seed(orders.seed));
    tokio::spawn(async move {
        if !pauses {
            return turn.closed().await;
        }
        loop {
            sleep(Duration::from_millis(rng.u64(BURST_MS))).await;
            turn.send_replace(false);
            sleep(Duration::from_millis(rng.u64(QUIET_MS))).await;
            turn.send_replace(true);
        }
    });
    open
}

/// Sends one random message, and cancels it a while later: while it waits, while it runs, or when it has ended.
async fn send_and_cancel(broker: &Arc<dyn Broker>, journal: &Arc<Journal>, rng: &mut Rng) -> Result<(), SendError> {
    let (queue, id) = match rng.u32(0..10) {
        0..2 => (obedient.queue(), obedient.message(rng.u64(4_000..8_000)).send_with(&**broker).await?.id()),
        2..4 => (always_fails.queue(), always_fails.send_with(&**broker).await?.id()),
        4..7 => {
            let delay = Duration::from_millis(rng.u64(50..4_000));
            (plain.queue(), plain.message(rng.u64(0..15), 0).delay(delay).send_with(&**broker).await?.id())
        }
        _ => (plain.queue(), plain.send_with(&**broker, rng.u64(0..300), rng.u32(0..3)).await?.id()),
    };
    let wait = Duration::from_millis(if rng.bool() { rng.u64(0..20) } else { rng.u64(0..3_000) });
    let (broker, journal) = (Arc::clone(broker), Arc::clone(journal));
    tokio::spawn(async move {
        sleep(wait).await;
        let Some(control) = broker.control() else { return };
        journal.note(&What::Cancelling { id });
        let answer = match control.cancel(&queue, id).await {
            Ok(Cancelled::Removed) => CancelAnswer::Removed,
            Ok(Cancelled::Requested) => CancelAnswer::Requested,
            Ok(_) => CancelAnswer::NotFound,
            // It may have happened.
            Err(_) => return,
        };
        journal.note(&What::Cancelled { id, answer });
    });
    Ok(())
}

/// Sends one random message to a queue.
async fn send_to(broker: &dyn Broker, rng: &mut Rng, queue: &str) -> Result<(), SendError> {
    let (ms, fails) = (rng.u64(0..15), if rng.u32(0..10) == 0 { rng.u32(1..3) } else { 0 });
    if queue == QUEUES[1] {
        return stubborn.message(ms, fails).send_with(broker).await.map(drop);
    }
    let delay = if rng.u32(0..10) == 0 { rng.u64(50..2_000) } else { 0 };
    spread::send(broker, queue, (ms, fails), Duration::from_millis(delay)).await
}

/// Sends one random message, or a batch of `plain`.
async fn send(broker: &dyn Broker, rng: &mut Rng, extra: Extra, long: bool) -> Result<(), SendError> {
    match extra {
        // Some of them run at any time, so that each deploy interrupts some.
        Extra::Long if rng.u32(0..100) == 0 => {
            return plain.message(rng.u64(4_000..9_000), 0).send_with(broker).await.map(drop);
        }
        // Few and short, so that a worker often has no thread left and needs a new one.
        Extra::Sync if rng.u32(0..20) == 0 => {
            return stubborn.message(rng.u64(0..30), 0).send_with(broker).await.map(drop);
        }
        // Now and then so many that it needs more threads than it kept.
        Extra::Sync if rng.u32(0..1_000) == 0 => {
            let calls: Vec<_> = (0..60).map(|_| (rng.u64(100..400), 0)).collect();
            return stubborn.send_many_with(broker, calls).await.map(drop).map_err(|error| error.error);
        }
        Extra::Even if rng.u32(0..5) < 2 => {
            return stubborn.message(rng.u64(0..15), 0).send_with(broker).await.map(drop);
        }
        Extra::Even if rng.u32(0..5) == 0 => {
            let delay = Duration::from_millis(rng.u64(1_000..6_000));
            return plain.message(rng.u64(0..15), 0).delay(delay).send_with(broker).await.map(drop);
        }
        Extra::Batches if rng.u32(0..8) == 0 => {
            let item = |rng: &mut Rng| Item { ms: rng.u64(0..15), fails: rng.u32(0..10) / 8, kills: false };
            let items: Vec<_> = (0..rng.usize(1..30)).map(|_| item(rng)).collect();
            return batched.send_many_with(broker, items).await.map(drop).map_err(|error| error.error);
        }
        extra if extra.has(Extra::Gated) && rng.u32(0..if extra == Extra::Even { 4 } else { 10 }) == 0 => {
            return gated::send(broker, rng, long).await;
        }
        // In a cluster one stream of sends of seven sends them.
        extra
            if extra.has(Extra::Following)
                && rng.u32(0..if matches!(extra, Extra::Following | Extra::Spread) { 2 } else { 10 }) == 0 =>
        {
            return following::send(broker, rng, long, extra == Extra::Spread).await;
        }
        // Of all kinds they are a few.
        extra if extra.has(Extra::Unique) && rng.u32(0..if extra == Extra::Unique { 2 } else { 6 }) == 0 => {
            return sole::send(broker, rng, long).await;
        }
        Extra::Newest if rng.u32(0..5) == 0 => return newest.message().send_with(broker).await.map(drop),
        _ => {}
    }
    let quick = rng.u64(0..15);
    let slow = if long { rng.u64(200..3_000) } else { quick };
    match rng.u32(0..1_000) {
        0..600 => plain.message(quick, 0).send_with(broker).await.map(drop),
        600..660 => plain.message(quick, rng.u32(1..4)).send_with(broker).await.map(drop),
        660..700 => {
            let item = Item { ms: quick, fails: rng.u32(0..4) / 2, kills: false };
            batched.send_with(broker, item).await.map(drop)
        }
        700..740 => {
            let delay = Duration::from_millis(rng.u64(50..4_000));
            plain.message(quick, 0).delay(delay).send_with(broker).await.map(drop)
        }
        740..760 => {
            let priority = if rng.bool() { Priority::High } else { Priority::Low };
            plain.message(quick, 0).priority(priority).send_with(broker).await.map(drop)
        }
        // Long enough to be frozen midway; half of them fail afterwards.
        760..800 => plain.message(slow, rng.u32(0..2)).send_with(broker).await.map(drop),
        800..830 => always_fails.message().send_with(broker).await.map(drop),
        830..860 => patient.message().send_with(broker).await.map(drop),
        860..880 => jumpy.message().send_with(broker).await.map(drop),
        // Its queue has streams of its own there.
        880..900 if extra != Extra::Spread => {
            let ms = if long { rng.u64(20..1_500) } else { quick };
            stubborn.message(ms, rng.u32(0..2)).send_with(broker).await.map(drop)
        }
        _ => {
            let calls: Vec<_> = (0..rng.usize(2..20)).map(|_| (rng.u64(0..15), 0)).collect();
            plain.send_many_with(broker, calls).await.map(drop).map_err(|error| error.error)
        }
    }
}
