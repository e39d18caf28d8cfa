//! Threads for sync actors. They are the worker's own: on the runtime's pool, a run would wait for whatever
//! else blocks there, and what the runtime itself does there, such as resolving a name, would wait for runs.
//!
//! A run has a slot before it comes here, so there are as many threads as slots at most, and none is refused
//! but by the operating system.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

#[cfg(feature = "testing")]
use super::panic::catch;
use super::panic::shielded;

/// How long a thread waits for a next run before it ends.
const KEPT: Duration = Duration::from_secs(10);

/// How often it is logged, at most, that the operating system refuses threads.
const LOGGED_AGAIN: Duration = Duration::from_secs(60);

type Job = Box<dyn FnOnce() + Send>;

/// Starts a thread that does this.
type Start = fn(Job) -> io::Result<()>;

/// A worker's threads. Dropped, it ends those that have nothing to do.
pub(crate) struct Threads(Arc<Pool>);

struct Pool {
    // Locked for a moment by whoever hands over a run and by a thread that takes one, and never while user
    // code runs or a thread is woken.
    state: Mutex<State>,
    start: Start,
    kept: Duration,
}

#[derive(Default)]
struct State {
    /// What no thread has taken yet.
    waiting: VecDeque<Job>,
    /// Threads without a run. The last that came is called first: the others may end.
    idle: Vec<Arc<Seat>>,
    /// Whether a thread was called and has not come yet. It calls the next one where more
    /// waits than it can take, so that a burst of short runs does not wake a thread for each of them.
    coming: bool,
    closed: bool,
    /// When it was last logged that no thread can be started.
    logged: Option<Instant>,
}

/// A thread that has nothing to do.
struct Seat {
    thread: Thread,
    called: AtomicBool,
}

/// How a thread is called.
enum Call {
    Wake(Arc<Seat>),
    Start,
}

/// No thread could be started for a run: its body has not begun, and never will.
#[derive(Debug)]
pub(crate) struct NoThread;

/// A run on a thread. Dropped before the body began, it never begins.
pub(crate) struct Running<T> {
    ended: oneshot::Receiver<T>,
    /// Set by whoever comes first: the thread that begins, or whoever revokes.
    decided: Arc<AtomicBool>,
}

impl Threads {
    pub(crate) fn new() -> Self {
        let start = |work| thread::Builder::new().name("actor-sync".to_owned()).spawn(work).map(drop);
        Self::with(start, KEPT)
    }

    /// Those of the runtime, for a test in a runtime whose clock stands still: there it may not run ahead while
    /// a sync actor runs.
    #[cfg(feature = "testing")]
    pub(crate) fn of_the_runtime() -> Self {
        // Where the runtime gets no thread, it panics.
        let start = |work| catch(|| drop(tokio::task::spawn_blocking(work))).map_err(io::Error::other);
        // What waits on the runtime's pool would keep the runtime from ending.
        Self::with(start, Duration::ZERO)
    }

    fn with(start: Start, kept: Duration) -> Self {
        Self(Arc::new(Pool { state: Mutex::default(), start, kept }))
    }

    /// Runs `body` on a thread, in the context of the current runtime. `body` catches its own panics.
    pub(crate) fn run<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        let decided = Arc::new(AtomicBool::new(false));
        let (end, ended) = oneshot::channel();
        let (runtime, begins) = (Handle::current(), Arc::clone(&decided));
        self.0.hand_over(Box::new(move || {
            if !begins.swap(true, Ordering::AcqRel) {
                let entered = runtime.enter();
                let outcome = body();
                drop(entered);
                let _ = end.send(outcome);
            }
        }));
        Running { ended, decided }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let idle = {
            let mut state = self.0.lock();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        for seat in idle {
            seat.call();
        }
    }
}

impl<T> Running<T> {
    /// Waits for the body's end.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub(crate) async fn ended(&mut self) -> Result<T, NoThread> {
        (&mut self.ended).await.map_err(|_| NoThread)
    }

    /// Has the body never begin; `false` where it has begun already.
    pub(crate) fn revoke(&self) -> bool {
        !self.decided.swap(true, Ordering::AcqRel)
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.revoke();
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_over(self: &Arc<Self>, job: Job) {
        let call = {
            let mut state = self.lock();
            state.waiting.push_back(job);
            state.call()
        };
        self.answer(call);
    }

    /// Has a thread come.
    fn answer(self: &Arc<Self>, call: Option<Call>) {
        match call {
            None => {}
            Some(Call::Wake(seat)) => seat.call(),
            Some(Call::Start) => {
                let pool = Arc::clone(self);
                if let Err(error) = (self.start)(Box::new(move || pool.work())) {
                    self.refused(&error);
                }
            }
        }
    }

    /// What a thread does from its start to its end. It was called.
    fn work(self: Arc<Self>) {
        let mut was_called = true;
        let mut seat = None;
        loop {
            let (job, call) = {
                let mut state = self.lock();
                if was_called {
                    state.coming = false;
                }
                (state.waiting.pop_front(), state.call())
            };
            was_called = false;
            self.answer(call);
            if let Some(job) = job {
                job();
                continue;
            }
            let seat =
                seat.get_or_insert_with(|| Arc::new(Seat { thread: thread::current(), called: AtomicBool::default() }));
            if !self.wait(seat) {
                return;
            }
            was_called = true;
        }
    }

    /// Waits to be called; `false` where the thread is to end.
    fn wait(&self, seat: &Arc<Seat>) -> bool {
        {
            let mut state = self.lock();
            // Whatever waits has somebody coming.
            if state.closed || self.kept.is_zero() {
                return false;
            }
            state.idle.push(Arc::clone(seat));
        }
        let until = Instant::now() + self.kept;
        loop {
            thread::park_timeout(until.saturating_duration_since(Instant::now()));
            if seat.called.swap(false, Ordering::Acquire) {
                return true;
            }
            if Instant::now() >= until {
                let mut state = self.lock();
                let before = state.idle.len();
                state.idle.retain(|idle| !Arc::ptr_eq(idle, seat));
                if state.idle.len() < before {
                    return false;
                }
                // It was called in this moment.
            }
        }
    }

    /// No thread came. What waits does not wait for one that is busy, perhaps for hours.
    fn refused(self: &Arc<Self>, error: &io::Error) {
        let (refused, call, is_logged) = {
            let mut state = self.lock();
            state.coming = false;
            if state.idle.is_empty() {
                let now = Instant::now();
                let is_logged = state.logged.is_none_or(|logged| now - logged >= LOGGED_AGAIN);
                if is_logged {
                    state.logged = Some(now);
                }
                (std::mem::take(&mut state.waiting), None, is_logged)
            } else {
                (VecDeque::new(), state.call(), false)
            }
        };
        if is_logged {
            shielded(|| {
                tracing::warn!(
                    %error,
                    "no thread for a sync actor: the operating system refused it, and its message was released; raise \
                     the limit of threads (ulimit -u, pids.max of the cgroup, kernel.threads-max) or lower the concurrency"
                );
            });
        }
        drop(refused);
        self.answer(call);
    }
}

impl State {
    /// Calls a thread for what waits, unless one is coming.
    fn call(&mut self) -> Option<Call> {
        if self.coming || self.waiting.is_empty() {
            return None;
        }
        self.coming = true;
        Some(self.idle.pop().map_or(Call::Start, Call::Wake))
    }
}

impl Seat {
    fn call(&self) {
        self.called.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Threads").field("waiting", &state.waiting.len()).field("idle", &state.idle.len()).finish()
    }
}

#[cfg(test)]
mod tests;
