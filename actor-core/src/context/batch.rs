//! What a run of several messages knows of itself.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{Cancellation, Context, Gathered, Inner, RunInfo, Signal, States, Stop};
use crate::QueueName;
use crate::call::Item;

/// What a run of several messages knows of itself: a parameter `cx: &BatchContext` of an actor with `batch(..)`.
///
/// ```
/// use actor_core::{BatchContext, actor};
///
/// #[actor(queue = "search", batch(max = 100, wait = "200ms"))]
/// async fn index(cx: &BatchContext, documents: Vec<String>) {
///     for (message, document) in cx.items().iter().zip(documents) {
///         println!("{}, attempt {}: {document}", message.id(), message.attempt());
///     }
/// }
/// ```
#[derive(Clone)]
pub struct BatchContext(Context);

/// What a context has beside its own where its run is of several messages.
#[derive(Debug)]
pub(crate) struct Batch {
    items: Vec<Context>,
    key: Option<String>,
    /// Taken by the body. Locked for that moment.
    arguments: Mutex<Vec<Item>>,
}

impl Batch {
    pub(crate) fn new(items: Vec<Context>, key: Option<String>, arguments: Vec<Item>) -> Self {
        Self { items, key, arguments: Mutex::new(arguments) }
    }

    pub(crate) fn take_arguments(&self) -> Vec<Item> {
        std::mem::take(&mut *self.arguments.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn items(&self) -> &[Context] {
        &self.items
    }
}

impl BatchContext {
    pub(crate) fn new(run: RunInfo, states: Arc<States>, worker: Arc<Stop>, batch: Batch) -> Self {
        let (own, batch, follow) = (Signal::default(), Some(Box::new(batch)), Gathered::default());
        Self(Context(Arc::new(Inner { run, states, worker, own, batch, follow })))
    }

    /// What a layer sees of it.
    pub(crate) fn whole(self) -> Context {
        self.0
    }

    pub(crate) fn of(context: &Context) -> Option<Self> {
        context.0.batch.as_ref().map(|_| Self(context.clone()))
    }

    /// The context of each message, in the order of the argument.
    #[must_use]
    pub fn items(&self) -> &[Context] {
        self.batch().map_or(&[], |batch| &batch.items)
    }

    /// The key that all messages of the batch have; `None` where they have none.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.batch()?.key.as_deref()
    }

    /// The actor's name.
    #[must_use]
    pub fn actor(&self) -> &'static str {
        self.0.actor()
    }

    /// The queue that the messages came from.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        self.0.queue()
    }

    /// When this run reaches its time limit, the shortest of its messages'; `None` where it has none.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    /// The worker's state of type `T`, as given with `.state(..)`; `None` where none was given.
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.state()
    }

    /// Why this run should end; `None` while it should not.
    #[must_use]
    pub fn cancellation(&self) -> Option<Cancellation> {
        self.0.cancellation()
    }

    /// Completes once this run should end, and says why.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn cancelled(&self) -> Cancellation {
        self.0.cancelled().await
    }

    fn batch(&self) -> Option<&Batch> {
        self.0.0.batch.as_deref()
    }
}

impl fmt::Debug for BatchContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchContext")
            .field("actor", &self.actor())
            .field("items", &self.items())
            .finish_non_exhaustive()
    }
}
