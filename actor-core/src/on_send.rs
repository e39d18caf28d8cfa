//! Middleware on the sending side: what sees every message before it is sent.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::message::Outgoing;
use crate::{MessageId, SendError};

type Refusal = Box<dyn Error + Send + Sync>;
type Hook = dyn Fn(&mut OutgoingMessage<'_>) -> Result<(), Refusal> + Send + Sync;

static HOOKS: OnceLock<RwLock<Arc<[Arc<Hook>]>>> = OnceLock::new();

/// Calls `hook` for every message that this process sends, before it is encoded. Hooks run in the order in
/// which they were added, on the sender's thread.
///
/// A hook may add headers, or refuse the message with an error: `send` then returns an error that
/// [`is_refused`](SendError::is_refused), and nothing is stored. Retries and replays are not sent again.
///
/// ```
/// use actor_core::{MemoryBroker, actor};
///
/// #[actor(queue = "mail")]
/// async fn welcome(to: String) {
///     println!("welcome, {to}");
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// actor_core::on_send(|message| {
///     if message.header("tenant").is_none() {
///         return Err("a message needs the header `tenant`");
///     }
///     message.set_header("sent-by", "shop-api");
///     Ok(())
/// });
///
/// let broker = MemoryBroker::new();
/// let sent = welcome.message("Ada".to_owned()).header("tenant", "acme").send_with(&broker).await;
/// assert!(sent.is_ok());
/// let refused = welcome.send_with(&broker, "Bob".to_owned()).await;
/// assert!(refused.unwrap_err().is_refused());
/// # }
/// ```
pub fn on_send<E: Into<Refusal>>(hook: impl Fn(&mut OutgoingMessage<'_>) -> Result<(), E> + Send + Sync + 'static) {
    let hook: Arc<Hook> = Arc::new(move |message: &mut OutgoingMessage<'_>| hook(message).map_err(Into::into));
    let hooks = HOOKS.get_or_init(|| RwLock::new(Arc::new([])));
    // Nothing panics while it is held.
    let mut hooks = hooks.write().unwrap_or_else(PoisonError::into_inner);
    *hooks = hooks.iter().cloned().chain([hook]).collect();
}

pub(crate) fn apply(message: &mut Outgoing) -> Result<(), SendError> {
    let Some(hooks) = HOOKS.get() else { return Ok(()) };
    // Cloned, since a hook may send.
    let hooks = Arc::clone(&hooks.read().unwrap_or_else(PoisonError::into_inner));
    hooks.iter().try_for_each(|hook| hook(&mut OutgoingMessage(message)).map_err(SendError::refused))
}

/// A message that is about to be sent, as a hook of [`on_send`] sees it.
pub struct OutgoingMessage<'a>(&'a mut Outgoing);

impl OutgoingMessage<'_> {
    /// The identity that the message will have.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.0.id
    }

    /// The actor's name.
    #[must_use]
    pub fn actor(&self) -> &'static str {
        self.0.def.name
    }

    /// The queue's name.
    #[must_use]
    pub fn queue(&self) -> &'static str {
        self.0.def.queue.name()
    }

    /// A header that was set on the message, or by an earlier hook.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.get(name)
    }

    /// Sets a header, in place of one of this name.
    pub fn set_header(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.headers.set(name, value);
    }
}

impl fmt::Debug for OutgoingMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
