//! Group commit: what concurrent callers send to one queue goes to Redis together.
//!
//! A caller that is alone sends its message itself. Of those that are not, whoever finds the batcher
//! empty begins a flush: a task that first lets everyone run who is ready to, and then takes all
//! that has come together in one request. Nothing waits for a timer, flushes do not wait for one
//! another, and a caller that is dropped takes no other's message along. Each runtime has flushes of
//! its own, so that one that is blocked holds up no other's messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actor_core::BrokerError;
use actor_core::broker::{Enqueue, Enqueued};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

use crate::RedisBroker;
use crate::queue::Queue;

type Stored = Result<Enqueued, BrokerError>;

/// Where the messages of one queue wait for the next flush.
#[derive(Debug, Default)]
pub(crate) struct Batcher {
    /// Shared with each caller.
    callers: Arc<()>,
    // One for each runtime that has messages here: few.
    waiting: Mutex<Vec<Waiting>>,
}

/// Messages of one runtime, and where to answer.
#[derive(Debug)]
struct Waiting {
    runtime: runtime::Id,
    messages: Vec<Enqueue>,
    answers: Vec<oneshot::Sender<Stored>>,
}

/// Stores a message, together with what others store at the same time.
pub(crate) async fn enqueue(broker: &RedisBroker, queue: &Arc<Queue>, message: Enqueue) -> Vec<Stored> {
    let caller = Arc::clone(&queue.batcher.callers);
    let is_alone = Arc::strong_count(&caller) == 2;
    let runtime = match Handle::try_current() {
        Ok(runtime) if !is_alone => runtime,
        // Boxed, so that the future of those who wait for others is small.
        _ => return Box::pin(broker.store(queue, vec![message])).await,
    };
    let (answer, answered) = oneshot::channel();
    if queue.batcher.put(runtime.id(), message, answer) {
        runtime.spawn(flush(broker.clone(), Flush(Some((Arc::clone(queue), runtime.id())))));
    }
    let lost = || BrokerError::unknown("the runtime that was sending it ended: it may or may not have been stored");
    vec![answered.await.unwrap_or_else(|_| Err(lost()))]
}

async fn flush(broker: RedisBroker, pending: Flush) {
    tokio::task::yield_now().await;
    let Some((queue, Waiting { messages, answers, .. })) = pending.take() else { return };
    let stored = broker.store(&queue, messages).await;
    for (answer, stored) in answers.into_iter().zip(stored) {
        // An error means that the caller was dropped.
        let _ = answer.send(stored);
    }
}

/// The duty to send what a runtime has in a batcher. Where the runtime ends before, what waits is answered all
/// the same.
struct Flush(Option<(Arc<Queue>, runtime::Id)>);

impl Flush {
    fn take(mut self) -> Option<(Arc<Queue>, Waiting)> {
        let (queue, runtime) = self.0.take()?;
        let waiting = queue.batcher.take(runtime)?;
        Some((queue, waiting))
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if let Some((queue, runtime)) = &self.0 {
            drop(queue.batcher.take(*runtime));
        }
    }
}

impl Batcher {
    /// Puts in a message, and says whether it is the first of its runtime.
    fn put(&self, runtime: runtime::Id, message: Enqueue, answer: oneshot::Sender<Stored>) -> bool {
        let mut all = self.lock();
        match all.iter_mut().find(|waiting| waiting.runtime == runtime) {
            Some(waiting) => {
                waiting.messages.push(message);
                waiting.answers.push(answer);
                false
            }
            None => {
                all.push(Waiting { runtime, messages: vec![message], answers: vec![answer] });
                true
            }
        }
    }

    fn take(&self, runtime: runtime::Id) -> Option<Waiting> {
        let mut all = self.lock();
        let at = all.iter().position(|waiting| waiting.runtime == runtime)?;
        Some(all.swap_remove(at))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
