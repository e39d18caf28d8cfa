//! A context without a run, for a test that calls an actor's body itself.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::actor::Actor;
use crate::context::{RunInfo, States, Stop};
use crate::headers::Headers;
use crate::{Context, MessageId};

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
    let info = RunInfo {
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
    };
    Context::new(info, Arc::new(States::default()), Arc::new(Stop::default()))
}
