//! A context without a run, for a test that calls an actor's body itself.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::actor::Actor;
use crate::context::{Batch, RunInfo, States, Stop};
use crate::headers::Headers;
use crate::{BatchContext, Context, MessageId};

/// A context for calling a body that takes one: that of the first attempt of a message to `actor`, which
/// nobody cancels.
///
/// It has no states: hand them to the body. For a later attempt, run the actor with a
/// [`TestWorker`](super::TestWorker).
///
/// ```
/// use actor_core::{Context, actor, testing};
///
/// #[actor]
/// async fn greet(cx: &Context, name: String) -> Result<String, String> {
///     Ok(format!("attempt {}: welcome, {name}", cx.attempt()))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cx = testing::context(greet);
/// assert_eq!(greet.call(&cx, "Ada".to_owned()).await.as_deref(), Ok("attempt 1: welcome, Ada"));
/// # }
/// ```
#[must_use]
pub fn context<A: Actor>(_: A) -> Context {
    Context::new(info::<A>(), Arc::new(States::default()), Arc::new(Stop::default()))
}

/// The same for a body that takes batches, with the first attempts of so many messages.
///
/// ```
/// use actor_core::{BatchContext, actor, testing};
///
/// #[actor(batch(max = 100, wait = "200ms"))]
/// async fn index(cx: &BatchContext, documents: Vec<String>) -> Vec<Result<(), String>> {
///     cx.items().iter().zip(documents).map(|(_, _)| Ok(())).collect()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let cx = testing::batch_context(index, 2);
/// assert_eq!(index.call(&cx, vec!["a".to_owned(), "b".to_owned()]).await, [Ok(()), Ok(())]);
/// # }
/// ```
#[must_use]
pub fn batch_context<A: Actor>(actor: A, messages: usize) -> BatchContext {
    let batch = Batch::new((0..messages).map(|_| context(actor)).collect(), None, Vec::new());
    BatchContext::new(info::<A>(), Arc::new(States::default()), Arc::new(Stop::default()), batch)
}

fn info<A: Actor>() -> RunInfo {
    RunInfo {
        id: MessageId::new(),
        actor: A::DEF.name,
        queue: A::DEF.queue_name(),
        attempt: 1,
        crashes: 0,
        token: 1,
        trace: None,
        headers: Headers::default(),
        tick: None,
        retries_left: A::DEF.options.max_retries > 0,
        sent_at: SystemTime::now(),
        deadline: A::DEF.options.time_limit.and_then(|limit| Instant::now().checked_add(limit)),
        receipt: None,
    }
}
