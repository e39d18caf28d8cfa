//! The script that keeps what belongs to a message in flight.

use std::time::Duration;

use actor_core::MessageId;
use bytes::Bytes;
use redis::Cmd;

use super::{Call, Source, delay_ms};
use crate::keys::{GROUP, Keys};
use crate::place::Place;

static SET_STATE: Source = source!("set_state");

/// Sets fields of a message's state while this worker holds the message. Answers whether it does.
pub(crate) fn set_state(
    keys: &Keys,
    worker: &str,
    place: Place,
    id: MessageId,
    fields: &[(String, Bytes)],
    keep: Duration,
) -> Call {
    let args = (worker, GROUP, place.id, delay_ms(keep).max(1));
    let mut call = SET_STATE.call(&[keys.ready(place.level), &keys.state(id)], args);
    for (name, value) in fields {
        call.command.arg((name, &**value));
    }
    call
}

/// All fields of a message's state.
pub(crate) fn get_state(keys: &Keys, id: MessageId) -> Cmd {
    redis::cmd("HGETALL").arg(keys.state(id)).take()
}
