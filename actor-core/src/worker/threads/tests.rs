use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;

/// A start that keeps the threads for its test.
static HELD: Mutex<Vec<Job>> = Mutex::new(Vec::new());

static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// A start that is refused over a limit.
fn limited(work: Job) -> io::Result<()> {
    let left = LIMIT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    left.map_err(|_| io::Error::from(io::ErrorKind::WouldBlock))?;
    thread::spawn(work);
    Ok(())
}

#[tokio::test]
async fn what_is_revoked_before_it_began_never_begins() {
    let threads = Threads::with(
        |work| {
            HELD.lock().unwrap().push(work);
            Ok(())
        },
        KEPT,
    );
    let (began, begun) = mpsc::channel();
    let bodies = ["revoked", "dropped", "runs"].map(|name| {
        let began = began.clone();
        threads.run(move || began.send(name).unwrap())
    });
    let [revoked, dropped, mut runs] = bodies;
    assert!(revoked.revoke(), "it has begun");
    drop(dropped);
    drop(threads);
    let held = std::mem::take(&mut *HELD.lock().unwrap());
    assert_eq!(held.len(), 1, "a thread that is on its way calls the next");
    held.into_iter().for_each(|work| drop(thread::spawn(work)));
    runs.ended().await.unwrap();
    assert!(!runs.revoke(), "it has not begun");
    assert_eq!(begun.try_iter().collect::<Vec<_>>(), ["runs"]);
}

#[tokio::test]
async fn where_threads_are_refused_a_run_is_refused_and_the_next_ones_run_again() {
    let threads = Threads::with(limited, KEPT);
    let (open, gate) = mpsc::channel::<()>();
    LIMIT.store(1, Ordering::SeqCst);
    let mut first = threads.run(move || gate.recv().is_err());
    let mut refused = threads.run(|| unreachable!("it got no thread"));
    refused.ended().await.unwrap_err();
    let mut refused = threads.run(|| unreachable!("it waits for nobody"));
    refused.ended().await.unwrap_err();
    drop(open);
    assert!(first.ended().await.unwrap());
    LIMIT.store(1, Ordering::SeqCst);
    threads.run(|| ()).ended().await.unwrap();
}

#[tokio::test]
async fn a_run_takes_a_thread_that_has_none_and_idle_threads_end() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let start = |work: Job| {
        STARTED.fetch_add(1, Ordering::SeqCst);
        thread::Builder::new().spawn(work).map(drop)
    };
    let threads = Threads::with(start, Duration::from_millis(50));
    let idle = || threads.0.lock().idle.len();
    for _ in 0..100 {
        threads.run(|| ()).ended().await.unwrap();
        // It is idle a moment after the run's end.
        while idle() == 0 && STARTED.load(Ordering::SeqCst) == 1 {
            thread::yield_now();
        }
    }
    while idle() > 0 {
        thread::yield_now();
    }
    threads.run(|| ()).ended().await.unwrap();
    let started = STARTED.load(Ordering::SeqCst);
    assert!((2..10).contains(&started), "{started} threads for one run after the other");
}

#[tokio::test]
async fn a_burst_runs_at_once_in_the_runtimes_context_on_named_threads() {
    let threads = Threads::new();
    let barrier = Arc::new(std::sync::Barrier::new(100));
    let mut running: Vec<_> = (0..100)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            threads.run(move || {
                barrier.wait();
                (thread::current().name().map(str::to_owned), Handle::try_current().is_ok())
            })
        })
        .collect();
    for run in &mut running {
        assert_eq!(run.ended().await.unwrap(), (Some("actor-sync".to_owned()), true));
    }
}
