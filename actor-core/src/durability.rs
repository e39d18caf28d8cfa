//! What a sender waits for before a message counts as sent.

/// What `send` waits for before it returns `Ok`. Set for all messages of a broker, and by
/// [`Message::durability`](crate::Message::durability) for one.
///
/// A message that is stored and has not reached this in time is an error that
/// [`is_stored`](crate::SendError::is_stored): it will run, and sending it again would run it twice. It says how a
/// message is sent, and is not kept with it: a retry or another settlement is always [`Stored`](Self::Stored).
///
/// ```
/// use actor_core::{Broker, Durability, SendError, actor};
///
/// #[actor(queue = "payouts")]
/// async fn pay(account: u64) {
///     println!("paid to {account}");
/// }
///
/// async fn pay_out(broker: &dyn Broker, account: u64) -> Result<(), SendError> {
///     match pay.message(account).durability(Durability::Replicated(1)).send_with(broker).await {
///         Err(error) if error.is_stored() => {
///             // It is paid, unless the server is lost before a replica has the message.
///             eprintln!("message {:?}: {error:?}", error.message_id());
///             Ok(())
///         }
///         sent => sent.map(|_| ()),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// The storage has taken it. The default.
    #[default]
    Stored,
    /// So many replicas have it in memory too. 0 is [`Stored`](Self::Stored).
    Replicated(u32),
    /// The storage has it on its own disk.
    Synced,
}
