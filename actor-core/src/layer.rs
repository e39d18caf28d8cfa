//! Middleware around a run.
//!
//! A layer sees each run's context before the body begins, and its outcome when it has ended, for `async` and
//! sync actors alike. It may time, report, set what the body finds in a task-local, or change the outcome.
//!
//! ```
//! use std::time::Instant;
//! use actor_core::layer::{Next, from_fn};
//! use actor_core::{Context, MemoryBroker, Worker};
//!
//! let worker = Worker::builder(MemoryBroker::new()).layer(from_fn(|cx: Context, next: Next| async move {
//!     let began = Instant::now();
//!     let result = next.run().await;
//!     if let Err(error) = &result {
//!         println!("{} failed after {:?}: {error}", cx.actor(), began.elapsed());
//!     }
//!     result
//! }));
//! # drop(worker);
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Context;
pub use crate::call::{BatchError, RunError, RunResult};

/// Middleware around every run of a worker. [`from_fn`] makes one of a closure.
///
/// # Cancel safety
///
/// A layer's future is dropped where the run is: when the worker drops its runs, and where a layer itself goes
/// on for 10 s beyond the message's time limit.
#[async_trait]
pub trait Layer: Send + Sync + 'static {
    /// Surrounds a run. `next.run().await` runs the layers within and the body.
    async fn call(&self, cx: Context, next: Next) -> RunResult;
}

/// A layer made of a closure.
///
/// ```
/// use actor_core::layer::{Next, from_fn};
/// use actor_core::{Context, MemoryBroker, Worker};
///
/// tokio::task_local! {
///     static TENANT: String;
/// }
///
/// let tenant = from_fn(|cx: Context, next: Next| async move {
///     let tenant = cx.header("tenant").unwrap_or("nobody").to_owned();
///     TENANT.scope(tenant, next.run()).await
/// });
/// # drop(Worker::builder(MemoryBroker::new()).layer(tenant));
/// ```
pub fn from_fn<F, Fut>(surround: F) -> impl Layer
where
    F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = RunResult> + Send + 'static,
{
    FromFn(surround)
}

struct FromFn<F>(F);

#[async_trait]
impl<F, Fut> Layer for FromFn<F>
where
    F: Fn(Context, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = RunResult> + Send + 'static,
{
    async fn call(&self, cx: Context, next: Next) -> RunResult {
        (self.0)(cx, next).await
    }
}

/// The layers of a worker, the outermost first.
#[derive(Clone, Default)]
pub(crate) struct Layers(Arc<[Arc<dyn Layer>]>);

impl Layers {
    pub(crate) fn push(&mut self, layer: impl Layer) {
        self.0 = self.0.iter().cloned().chain([Arc::new(layer) as Arc<dyn Layer>]).collect();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} layers", self.0.len())
    }
}

/// What a layer surrounds: the layers within it, and the body.
#[must_use = "the body runs only if the layer runs what is next"]
pub struct Next {
    layers: Layers,
    at: usize,
    context: Context,
    body: Pin<Box<dyn Future<Output = RunResult> + Send>>,
}

impl Next {
    pub(crate) fn new(
        layers: &Layers,
        context: &Context,
        body: impl Future<Output = RunResult> + Send + 'static,
    ) -> Self {
        Self { layers: layers.clone(), at: 0, context: context.clone(), body: Box::pin(body) }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    ///
    /// How the run failed. A layer returns it, or another outcome in its place.
    pub async fn run(mut self) -> RunResult {
        let Some(layer) = self.layers.0.get(self.at).map(Arc::clone) else { return self.body.await };
        self.at += 1;
        layer.call(self.context.clone(), self).await
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("layers", &(self.layers.0.len() - self.at)).finish_non_exhaustive()
    }
}
