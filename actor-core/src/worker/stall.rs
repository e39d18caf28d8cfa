//! Whether the runtime stands still, because what runs on its threads blocks them.
//!
//! The heartbeat has a thread of its own, so it can ask: a task of the runtime answers, or cannot.

use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;
use uuid::Uuid;

use super::panic::shielded;
use crate::MessageId;
use crate::actor::ActorDef;
use crate::digest::InFull;

/// How often the heartbeat asks.
const TICK: Duration = Duration::from_secs(1);

/// Without an answer for so long, the runtime stands still. A busy one answers within milliseconds.
const STANDS: Duration = Duration::from_millis(500);

/// So much later, what waited for the runtime has come back.
const RECOVERED: Duration = Duration::from_secs(2);

thread_local! {
    static HERE: Arc<Polled> = Polled::of_this_thread();
}

// Locked once by each thread that polls an actor, and by whoever found that a runtime stands still.
static THREADS: Mutex<Vec<Weak<Polled>>> = Mutex::new(Vec::new());

/// The actor that a thread polls now. Plain stores, since every poll writes it: it is only read once a thread has
/// been in one poll for long.
#[derive(Debug, Default)]
struct Polled {
    /// The address of its declaration; 0 while there is none.
    actor: AtomicUsize,
    id: [AtomicU64; 2],
}

impl Polled {
    fn of_this_thread() -> Arc<Self> {
        let here = Arc::default();
        let mut threads = locked(&THREADS);
        threads.retain(|thread| thread.strong_count() > 0);
        threads.push(Arc::downgrade(&here));
        here
    }
}

/// Polls an actor's body, and notes that this thread does.
pub(super) fn noted<T>(actor: &'static ActorDef, id: MessageId, poll: impl FnOnce() -> T) -> T {
    let (high, low) = id.as_uuid().as_u64_pair();
    let note = |actor| {
        // A thread that ends has no locals left.
        let _ = HERE.try_with(|here| {
            here.id[0].store(high, Relaxed);
            here.id[1].store(low, Relaxed);
            here.actor.store(actor, Relaxed);
        });
    };
    note(ptr::from_ref(actor).addr());
    let polled = poll();
    note(0);
    polled
}

/// What a worker knows of its runtime.
#[derive(Debug)]
pub(crate) struct Pulse {
    actors: Vec<&'static ActorDef>,
    ask: Notify,
    // Locked once a tick by either side, and by whoever got no answer from the broker.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether a task is there to answer.
    listens: bool,
    asked: Option<Instant>,
    /// Whether the log's last word is that the runtime is blocked.
    is_logged: bool,
    in_full: InFull,
    /// When the runtime last ran again.
    resumed: Option<Instant>,
}

impl Pulse {
    pub(crate) fn new(actors: impl Iterator<Item = &'static ActorDef>) -> Arc<Self> {
        Arc::new(Self { actors: actors.collect(), ask: Notify::new(), state: Mutex::default() })
    }

    /// Whether the runtime stands still, or did so a moment ago: then a call on it that got no answer says nothing of
    /// the broker.
    pub(super) fn stands_still(&self) -> bool {
        let state = locked(&self.state);
        state.asked.is_some_and(|asked| asked.elapsed() >= STANDS)
            || state.resumed.is_some_and(|resumed| resumed.elapsed() < RECOVERED)
    }

    /// Asks now and then, for as long as it is polled. Called on another thread than the runtime's.
    pub(super) async fn watch(&self) {
        loop {
            sleep(TICK).await;
            let blocked = {
                let mut state = locked(&self.state);
                match state.asked {
                    _ if !state.listens => None,
                    None => {
                        state.asked = Some(Instant::now());
                        self.ask.notify_one();
                        None
                    }
                    Some(asked) => {
                        let is_news = asked.elapsed() >= TICK && !state.is_logged;
                        state.is_logged |= is_news && state.in_full.may_log(1, Instant::now());
                        (is_news && state.is_logged).then(|| asked.elapsed())
                    }
                }
            };
            if let Some(blocked) = blocked {
                let running = self.running();
                shielded(|| {
                    tracing::warn!(
                        ?blocked,
                        ?running,
                        "runtime blocked: async actors that block keep its threads from everything else; declare each as \
                         a plain `fn`, or call what blocks with `tokio::task::spawn_blocking`"
                    );
                });
            }
        }
    }

    /// The actors that are polled now, with their messages.
    fn running(&self) -> Vec<String> {
        let threads: Vec<_> = locked(&THREADS).iter().filter_map(Weak::upgrade).collect();
        let name = |address| self.actors.iter().find(|actor| ptr::from_ref(**actor).addr() == address);
        let running = threads.iter().filter_map(|thread| {
            let actor = name(thread.actor.load(Relaxed))?;
            let id = Uuid::from_u64_pair(thread.id[0].load(Relaxed), thread.id[1].load(Relaxed));
            Some(format!("{} {id}", actor.name))
        });
        running.collect()
    }

    /// Begins to answer. Called on the runtime.
    pub(super) fn listen(&self) -> Listening<'_> {
        *locked(&self.state) = State { listens: true, ..State::default() };
        Listening(self)
    }
}

/// What answers on the runtime, until it is dropped.
pub(super) struct Listening<'a>(&'a Pulse);

impl Listening<'_> {
    /// Waits until it is asked, about once a second, and answers.
    pub(super) async fn answer(&self) {
        self.0.ask.notified().await;
        let (blocked, was_logged) = {
            let mut state = locked(&self.0.state);
            let blocked = state.asked.take().map(|asked| asked.elapsed()).unwrap_or_default();
            if blocked >= STANDS {
                state.resumed = Some(Instant::now());
            }
            (blocked, std::mem::take(&mut state.is_logged))
        };
        if was_logged {
            shielded(|| tracing::info!(?blocked, "runtime runs again"));
        }
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        *locked(&self.0.state) = State::default();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
