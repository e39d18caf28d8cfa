//! The message that follows when another one becomes a dead letter.

use super::message::Message;
use super::panic::{catch, shielded};
use crate::QueueName;
use crate::actor::ActorDef;
use crate::broker::{Broker, Enqueue};
use crate::causes::chain;
use crate::dead_lettered::DeadLettered;
use crate::registry;
use crate::send::SendError;
use crate::settlement::{Consequence, Outcome, Settlement};

/// Adds what the message's actor wants to follow from its dead letter, where it wants that.
pub(super) fn follow(
    message: &Message<'_>,
    queue: &QueueName,
    actor: Option<&'static ActorDef>,
    failed: bool,
    broker: &dyn Broker,
    settlement: &mut Settlement,
) {
    let Outcome::DeadLetter { reason, .. } = &settlement.outcome else { return };
    let name = &*message.envelope.actor;
    // Also of an actor that this worker does not implement.
    let actor = actor.or_else(|| registry::actors().find(|actor| actor.name == name));
    let Some(on_dead_letter) = actor.and_then(|actor| actor.on_dead_letter) else { return };
    let dead = DeadLettered {
        id: message.envelope.id,
        actor: name.to_owned(),
        queue: queue.as_str().to_owned(),
        args: message.envelope.args.to_owned(),
        reason: reason.clone(),
        attempts: message.envelope.attempt.saturating_add(u32::from(failed)),
        crashes: message.crashes,
        sent_at_ms: message.envelope.sent_at,
    };
    let encode = |dead| -> Result<Option<(QueueName, Enqueue)>, SendError> {
        let message = on_dead_letter.message(dead);
        // One that fails itself would follow itself without end.
        if message.def.name == name {
            return Ok(None);
        }
        let queue = message.def.queue_name();
        Ok(Some((queue, message.encode(broker)?)))
    };
    let short = DeadLettered { args: String::new(), ..dead.clone() };
    // The program's own hooks of `on_send` see it.
    let encoded = catch(|| encode(dead).or_else(|error| if error.is_invalid() { encode(short) } else { Err(error) }));
    match encoded.and_then(|encoded| encoded.map_err(|error| chain(&error))) {
        Ok(Some((queue, message))) => {
            settlement.consequences.push(Consequence::Send { queue, message: Box::new(message) });
        }
        Ok(None) => {}
        Err(error) => shielded(|| {
            let id = message.envelope.id;
            tracing::error!(%queue, %id, actor = name, error, "on_dead_letter not sent: its message was refused");
        }),
    }
}
