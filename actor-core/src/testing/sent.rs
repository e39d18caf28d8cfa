//! What was sent, and assertions about it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::broker::current;
use crate::actor::Actor;
use crate::broker::{Enqueue, Enqueued};
use crate::strict;
use crate::wire::Envelope;
use crate::{BrokerError, Durability, MessageId, Priority, Unique};

/// A message that was sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// Its identity.
    pub id: MessageId,
    /// The actor's name.
    pub actor: String,
    /// The queue's name.
    pub queue: String,
    /// The arguments: a JSON array. A number that is beyond 64 bits is rounded here; `assert_sent!` compares it exactly.
    pub args: Value,
    /// The arguments, as they were written.
    text: String,
    /// From when it was sent to when it was to be ready.
    pub delay: Duration,
    /// Its priority.
    pub priority: Priority,
    /// Its key; `None` for one without.
    pub key: Option<String>,
    /// How many slots of its queue's limits it takes; 0 in a queue without limits.
    pub cost: u32,
    /// The durability that it asked for; `None` for that of the broker.
    pub durability: Option<Durability>,
    /// The key that it was to hold, where it is unique.
    pub unique: Option<Unique>,
    /// Whether it was stored; otherwise an earlier one of its unique key or idempotency key stands for it.
    pub is_new: bool,
    /// The message of its unique key whose place it took.
    pub replaced: Option<MessageId>,
}

impl Sent {
    /// `None` for a body that is no message.
    pub(super) fn of(message: &Enqueue) -> Option<Self> {
        let envelope = Envelope::decode(&message.body).ok()?;
        Some(Self {
            id: message.id,
            actor: envelope.actor.into_owned(),
            queue: envelope.queue.into_owned(),
            args: serde_json::from_str(envelope.args).ok()?,
            text: envelope.args.to_owned(),
            delay: message.delay,
            priority: message.priority,
            key: envelope.key.map(Cow::into_owned),
            cost: envelope.cost.unwrap_or_default(),
            durability: message.durability,
            unique: message.unique.as_deref().cloned(),
            is_new: true,
            replaced: None,
        })
    }

    /// The same, with what the broker made of it.
    pub(super) fn answered(self, answer: &Result<Enqueued, BrokerError>) -> Self {
        match answer {
            Ok(Enqueued::Existing(_)) | Err(_) => Self { is_new: false, ..self },
            Ok(Enqueued::Replaced(replaced)) => Self { replaced: Some(*replaced), ..self },
            Ok(Enqueued::Stored) => self,
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.actor, self.text)?;
        if let Some(key) = &self.key { write!(f, " (key {key:?})") } else { Ok(()) }
    }
}

/// Asserts that the code under test sent a message: `assert_sent!(actor, (argument, ..))`.
///
/// The arguments are a tuple of the declared types, owned where the actor borrows. It looks at what
/// was sent on this thread since its [`TestBroker`](crate::testing::TestBroker) was installed, and
/// returns the first such [`Sent`](crate::testing::Sent), for what else there is to assert:
///
/// ```
/// # use std::time::Duration;
/// # use actor_core::{actor, assert_sent, testing::TestBroker};
/// # #[actor]
/// # async fn remind(user: u32) {}
/// # #[actor(key = customer)]
/// # async fn bill(customer: u32) {}
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), actor_core::SendError> {
/// # let _installed = TestBroker::new().install();
/// remind.message(7).delay(Duration::from_secs(3600)).send().await?;
///
/// let reminder = assert_sent!(remind, (7,));
/// assert_eq!(reminder.delay, Duration::from_secs(3600));
///
/// bill.send(42).await?;
/// assert_eq!(assert_sent!(bill, (42,)).key.as_deref(), Some("42"));
/// # Ok(())
/// # }
/// ```
///
/// # Panics
///
/// No such message was sent, or no broker is installed for this test.
#[macro_export]
macro_rules! assert_sent {
    ($actor:expr, $args:expr $(,)?) => {
        $crate::testing::assert_sent($actor, &$args)
    };
}

/// Asserts that the code under test sent no message to an actor: `assert_not_sent!(actor)`.
///
/// # Panics
///
/// One was sent, or no broker is installed for this test.
#[macro_export]
macro_rules! assert_not_sent {
    ($actor:expr $(,)?) => {
        $crate::testing::assert_not_sent($actor)
    };
}

/// What [`assert_sent!`](crate::assert_sent!) calls.
#[doc(hidden)]
#[track_caller]
pub fn assert_sent<A: Actor>(_: A, args: &A::Args) -> Sent
where
    A::Args: Serialize,
{
    let sent = sent();
    let wanted = wanted(args);
    let name = A::DEF.name;
    let found = sent.iter().find(|sent| sent.actor == name && same(&sent.text, &wanted));
    match found {
        Some(found) => found.clone(),
        None => panic!("{name} {wanted} was not sent; what was sent:{}", list(&sent)),
    }
}

#[track_caller]
fn wanted<T: Serialize>(args: &T) -> String {
    // As a sender writes them: `serde_json` makes another value of an `f32`, and none of a large number.
    let mut text = Vec::new();
    if let Err(error) = strict::write(&mut text, args) {
        panic!("these arguments cannot be sent: {error}");
    }
    match String::from_utf8(text) {
        // Serde's `()` is null, and an actor without arguments has an empty list.
        Ok(wanted) if wanted == "null" => "[]".to_owned(),
        Ok(wanted) => wanted,
        Err(error) => panic!("these arguments cannot be read again: {error}"),
    }
}

/// Whether two JSON texts of one writer say the same. Numbers are compared as they are written, since a
/// [`Value`] rounds large ones; the order of an object's members does not matter.
fn same(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    if let (Ok(a), Ok(b)) = (serde_json::from_str::<Vec<&RawValue>>(a), serde_json::from_str::<Vec<&RawValue>>(b)) {
        return a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a.get(), b.get()));
    }
    let members = |text| serde_json::from_str::<BTreeMap<String, &RawValue>>(text);
    match (members(a), members(b)) {
        (Ok(a), Ok(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.0 == b.0 && same(a.1.get(), b.1.get())),
        _ => false,
    }
}

/// What [`assert_not_sent!`](crate::assert_not_sent!) calls.
#[doc(hidden)]
#[track_caller]
pub fn assert_not_sent<A: Actor>(_: A) {
    let sent = sent();
    let name = A::DEF.name;
    assert!(sent.iter().all(|sent| sent.actor != name), "{name} was sent:{}", list(&sent));
}

#[track_caller]
fn sent() -> Vec<Sent> {
    match current() {
        Some(broker) => broker.sent(),
        None => panic!("no broker is installed for this test: let _installed = TestBroker::new().install();"),
    }
}

fn list(sent: &[Sent]) -> String {
    if sent.is_empty() { " nothing".to_owned() } else { sent.iter().map(|sent| format!("\n  {sent}")).collect() }
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn texts_are_compared_exactly_but_for_the_order_of_members() {
        for (a, b) in [("[1]", "[1]"), (r#"[{"a":1,"b":[2]}]"#, r#"[{"b":[2],"a":1}]"#)] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("[20000000000000000000]", "[19999999999999999999]"),
            ("[1]", "[1,2]"),
            (r#"[{"a":1}]"#, r#"[{"b":1}]"#),
            (r#"[{"a":1}]"#, r#"[{"a":1,"b":1}]"#),
            (r#"["1"]"#, "[1]"),
        ] {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}
