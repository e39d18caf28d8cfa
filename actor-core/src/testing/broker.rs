//! A broker for one test: it remembers what was sent, and only the test's own thread sends to it.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::sent::Sent;
use super::worker::TestWorker;
use crate::broker::{Broker, Enqueue, Enqueued};
use crate::delivery::{Consumer, Receipt};
use crate::settlement::{Consequence, Settled, Settlement};
use crate::{BrokerError, Durability, MemoryBroker, QueueName};

/// How many are installed, on all threads.
static ANYWHERE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static INSTALLED: RefCell<Vec<TestBroker>> = const { RefCell::new(Vec::new()) };
}

/// The broker that the current thread's test installed.
pub(crate) fn installed() -> Option<Arc<dyn Broker>> {
    Some(Arc::new(current()?))
}

/// The same, as what it is.
pub(super) fn current() -> Option<TestBroker> {
    INSTALLED.with_borrow(|installed| installed.last().cloned())
}

/// Whether one is installed, which is on another thread where the current one has none.
pub(crate) fn installed_elsewhere() -> bool {
    ANYWHERE.load(Ordering::Relaxed) > 0
}

/// Has what `run` sends go where the current thread's would, on whatever thread it runs.
pub(crate) fn carry<T>(run: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let broker = current();
    move || {
        let _installed = broker.map(|broker| broker.install());
        run()
    }
}

/// A broker for one test: a [`MemoryBroker`] that remembers what was sent. Clones share their state.
///
/// It stands for the broker of production, and takes messages of every [durability](crate::Durability).
#[derive(Clone, Debug, Default)]
pub struct TestBroker {
    memory: MemoryBroker,
    // Written by whoever sends, read by the test; never held over an await.
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl TestBroker {
    /// A broker without messages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes this the broker that `send` uses on the current thread, until the guard is dropped.
    /// Tests of one process do not see each other's.
    ///
    /// A `#[tokio::test]` runs on one thread by default. On a runtime of many threads, send with
    /// `send_with(&broker, ..)`: on any thread but this one, `send` fails and says so.
    pub fn install(&self) -> Installed {
        INSTALLED.with_borrow_mut(|installed| installed.push(self.clone()));
        ANYWHERE.fetch_add(1, Ordering::Relaxed);
        Installed { sent: Arc::clone(&self.sent), thread: PhantomData }
    }

    /// A worker that runs this broker's messages in the test's own task.
    pub fn worker(&self) -> TestWorker {
        TestWorker::new(self.clone())
    }

    /// What was sent so far, in order, delayed messages included.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores messages, and remembers each with what became of it.
    pub(crate) async fn store(&self, queue: &QueueName, messages: Vec<Enqueue>) -> Vec<Result<Enqueued, BrokerError>> {
        let sent: Vec<_> = messages.iter().map(Sent::of).collect();
        let messages = messages.into_iter().map(|message| message.durability(Durability::Stored)).collect();
        let answers = self.memory.enqueue(queue, messages).await;
        let mut all = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(sent.into_iter().zip(&answers).filter_map(|(sent, answer)| Some(sent?.answered(answer))));
        drop(all);
        answers
    }

    /// Ends deliveries, and remembers what was sent after their runs.
    pub(crate) async fn end(
        &self,
        consumer: &Consumer,
        all: &[(Receipt, Settlement)],
    ) -> Vec<Result<Settled, BrokerError>> {
        let answers = self.memory.settle(consumer, all).await;
        let applied = all.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Ok(Settled::Applied)));
        let follow = applied.flat_map(|((_, settlement), _)| &settlement.consequences);
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.extend(follow.filter_map(|consequence| match consequence {
            Consequence::Send { message, .. } => Some(Sent::of(message)?.answered(&Ok(Enqueued::Stored))),
            _ => None,
        }));
        drop(sent);
        answers
    }

    /// The broker below, to inspect.
    #[must_use]
    pub fn memory(&self) -> &MemoryBroker {
        &self.memory
    }
}

/// While it lives, `send` uses a test's broker on this thread.
#[derive(Debug)]
#[must_use = "the broker is installed only as long as this guard lives"]
pub struct Installed {
    /// Whose it is.
    sent: Arc<Mutex<Vec<Sent>>>,
    // It must be dropped on the thread that it was made on.
    thread: PhantomData<*const ()>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        ANYWHERE.fetch_sub(1, Ordering::Relaxed);
        // A thread that ends drops its locals in any order: then there is nothing left to undo.
        let _ = INSTALLED.try_with(|installed| {
            let mut installed = installed.borrow_mut();
            // Its own, the last that was installed of them: another may have been installed since.
            if let Some(at) = installed.iter().rposition(|broker| Arc::ptr_eq(&broker.sent, &self.sent)) {
                drop(installed.remove(at));
            }
        });
    }
}
