//! Who waits in this process for messages to end.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::listener::listen;
use crate::broker::RedisBroker;
use crate::queue::Queue;

/// The channels that are waited for, and the task that is subscribed to them.
#[derive(Default)]
pub(crate) struct Waiters {
    // Never held over an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    channels: HashMap<Arc<str>, Channel>,
    /// Those for which something is to be said to the server.
    changed: Vec<Arc<str>>,
    /// Wakes the task that listens, while there is one.
    listener: Option<Arc<Notify>>,
}

struct Channel {
    waiters: usize,
    wake: Arc<Notify>,
}

/// One who waits. Dropped, it leaves nothing behind.
pub(super) struct Waiting {
    broker: RedisBroker,
    channel: Arc<str>,
    wake: Arc<Notify>,
}

impl Waiters {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a message of a queue.
    pub(super) fn wait(&self, broker: &RedisBroker, queue: &Arc<Queue>, channel: Arc<str>) -> Waiting {
        let mut state = self.lock();
        let known = state.channels.entry(Arc::clone(&channel));
        let known = known.or_insert_with(|| Channel { waiters: 0, wake: Arc::default() });
        known.waiters += 1;
        let (is_first, wake) = (known.waiters == 1, Arc::clone(&known.wake));
        if is_first {
            state.say(&channel);
        }
        drop(state);
        self.ensure(broker, queue);
        Waiting { broker: broker.clone(), channel, wake }
    }

    /// Makes sure that somebody listens. A task that did may have ended with its runtime.
    fn ensure(&self, broker: &RedisBroker, queue: &Arc<Queue>) {
        let mut state = self.lock();
        if state.listener.is_none() {
            let wake = Arc::new(Notify::new());
            state.listener = Some(Arc::clone(&wake));
            drop(state);
            tokio::spawn(listen(Listening { broker: broker.clone(), wake }, Arc::clone(queue)));
        }
    }

    fn left(&self, channel: &Arc<str>) {
        let mut state = self.lock();
        let Some(known) = state.channels.get_mut(channel) else { return };
        known.waiters -= 1;
        if known.waiters == 0 {
            state.channels.remove(channel);
            state.say(channel);
        }
    }
}

impl State {
    /// Has the listener subscribe to a channel, or leave it.
    fn say(&mut self, channel: &Arc<str>) {
        if let Some(listener) = &self.listener {
            self.changed.push(Arc::clone(channel));
            listener.notify_one();
        }
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters").field("channels", &self.lock().channels.len()).finish_non_exhaustive()
    }
}

impl Waiting {
    /// Completes when it may be worth to look for the message's end.
    pub(super) fn told(&self) -> Notified<'_> {
        self.wake.notified()
    }

    pub(super) fn ensure(&self, broker: &RedisBroker, queue: &Arc<Queue>) {
        self.broker_waiters().ensure(broker, queue);
    }

    fn broker_waiters(&self) -> &Waiters {
        &self.broker.inner().waiters
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.broker_waiters().left(&self.channel);
    }
}

/// The listener's hold on the waiters. Dropped, also with its runtime, it leaves the place to another.
pub(super) struct Listening {
    pub(super) broker: RedisBroker,
    /// Wakes it when there is something to say to the server.
    pub(super) wake: Arc<Notify>,
}

impl Listening {
    fn waiters(&self) -> &Waiters {
        &self.broker.inner().waiters
    }

    /// All channels, for a new connection.
    pub(super) fn all(&self) -> Vec<Arc<str>> {
        let mut state = self.waiters().lock();
        state.changed.clear();
        state.channels.keys().cloned().collect()
    }

    /// The channels to subscribe to, and those to leave, since this was last asked.
    pub(super) fn changes(&self) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let mut state = self.waiters().lock();
        let mut changed = std::mem::take(&mut state.changed);
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().partition(|channel| state.channels.contains_key(channel))
    }

    /// Has whoever waits for these look.
    pub(super) fn tell<'a>(&self, channels: impl IntoIterator<Item = &'a str>) {
        let state = self.waiters().lock();
        let wakes = channels.into_iter().filter_map(|channel| state.channels.get(channel));
        let wakes: Vec<_> = wakes.map(|channel| Arc::clone(&channel.wake)).collect();
        drop(state);
        wakes.iter().for_each(|wake| wake.notify_waiters());
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiters().lock().channels.is_empty()
    }

    /// Leaves the place if nobody waits.
    pub(super) fn end_if_idle(&self) -> bool {
        let mut state = self.waiters().lock();
        let is_idle = state.channels.is_empty();
        if is_idle {
            state.leave(&self.wake);
        }
        is_idle
    }
}

impl State {
    fn leave(&mut self, wake: &Arc<Notify>) {
        if self.listener.as_ref().is_some_and(|listener| Arc::ptr_eq(listener, wake)) {
            self.listener = None;
            self.changed.clear();
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.waiters().lock().leave(&self.wake);
    }
}
