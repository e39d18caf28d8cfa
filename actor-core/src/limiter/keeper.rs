//! Keeps the leases of permits, from a thread of its own: a runtime that user code blocks must not lose them.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

use super::LEASE;
use super::hub::Hub;
use super::lease::Lease;
use super::seam::{Held, Limiters};

/// How often leases are renewed. Each request may take as long.
const BEAT: Duration = LEASE.checked_div(3).expect("3 is not 0");
/// When a renewal or a release that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// After how many beats without a permit the keeper ends. Permits that follow each other share its connection.
const IDLE_BEATS: u32 = 3;

/// What became of a request.
enum Ended {
    Renewed,
    NotRenewed,
    Released(Vec<Arc<Lease>>),
}

/// Starts the keeper of a broker's permits. It ends when none was held for a while.
pub(super) fn start(hub: Arc<Hub>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (hand_over, handed_over) = mpsc::channel::<Runtime>();
    let thread = thread::Builder::new().name("actor-limiter".to_owned()).spawn(move || {
        let Ok(runtime) = handed_over.recv() else { return };
        let ended = OnEnd(hub);
        runtime.block_on(keep(&ended.0));
    });
    if let Err(error) = thread {
        // Dropped where it would be waited for, in a task, a runtime panics.
        runtime.shutdown_background();
        return Err(error);
    }
    // It is there: it waits for this.
    let _ = hand_over.send(runtime);
    Ok(())
}

/// Has another keeper start after this thread, however it ended.
struct OnEnd(Arc<Hub>);

impl Drop for OnEnd {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.ended();
        }
    }
}

async fn keep(hub: &Arc<Hub>) {
    // Each limiter's requests by themselves: on a cluster one may be away while others are not.
    let mut requests = JoinSet::new();
    let mut next = tokio::time::Instant::now() + BEAT;
    let mut idle = 0;
    loop {
        for (limiter, leases) in by_limiter(hub.take_dropped()) {
            requests.spawn(release(Arc::clone(hub.limiters()), limiter, leases));
        }
        tokio::select! {
            () = hub.wake.notified() => {}
            () = sleep_until(next) => {
                next = tokio::time::Instant::now() + BEAT;
                for (limiter, leases) in by_limiter(hub.kept_leases()) {
                    requests.spawn(renew(Arc::clone(hub.limiters()), limiter, leases));
                }
                idle = if hub.is_idle() { idle + 1 } else { 0 };
                if idle >= IDLE_BEATS && requests.is_empty() && hub.ends_idle() {
                    return;
                }
            }
            Some(ended) = requests.join_next() => match ended {
                Ok(Ended::Renewed) => {}
                Ok(Ended::Released(leases)) => leases.iter().for_each(|lease| hub.released(lease)),
                // A broker that panics has given no answer.
                Ok(Ended::NotRenewed) | Err(_) => next = next.min(tokio::time::Instant::now() + AGAIN),
            }
        }
    }
}

async fn renew(limiters: Arc<dyn Limiters>, limiter: &'static str, leases: Vec<Arc<Lease>>) -> Ended {
    let asked = Instant::now();
    let held = held(&leases);
    let answers = match timeout(BEAT, limiters.renew(limiter, &held, LEASE)).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => {
            tracing::debug!(limiter, permits = leases.len(), %error, "permits not renewed");
            return Ended::NotRenewed;
        }
        Err(_) => return Ended::NotRenewed,
    };
    for (lease, is_held) in leases.iter().zip(answers) {
        if is_held {
            lease.renewed(asked);
            continue;
        }
        if !lease.lost() {
            continue;
        }
        let (key, holder) = (&lease.held.key, lease.held.holder.id);
        tracing::warn!(
            limiter, %key, %holder,
            "permit lost: its lease has ended, and it was acquired by another or the storage has forgotten it"
        );
    }
    Ended::Renewed
}

/// Releases until it is done, or the leases have ended by themselves.
async fn release(limiters: Arc<dyn Limiters>, limiter: &'static str, leases: Vec<Arc<Lease>>) -> Ended {
    let (held, begun) = (Arc::<[Held]>::from(held(&leases)), Instant::now());
    loop {
        let (limiters, held) = (Arc::clone(&limiters), Arc::clone(&held));
        // In a task of its own, where a broker's panic ends.
        let released = tokio::spawn(async move { timeout(BEAT, limiters.release(limiter, &held)).await });
        if matches!(released.await, Ok(Ok(Ok(_)))) || begun.elapsed() >= LEASE {
            break;
        }
        sleep(AGAIN).await;
    }
    Ended::Released(leases)
}

fn held(leases: &[Arc<Lease>]) -> Vec<Held> {
    leases.iter().map(|lease| lease.held.clone()).collect()
}

fn by_limiter(leases: Vec<Arc<Lease>>) -> HashMap<&'static str, Vec<Arc<Lease>>> {
    let mut all: HashMap<_, Vec<_>> = HashMap::new();
    for lease in leases {
        all.entry(lease.limiter).or_default().push(lease);
    }
    all
}
