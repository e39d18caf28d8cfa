//! The scripts of unique messages: storing them, and noting that their runs begin.

use std::borrow::Cow;

use actor_core::broker::{Enqueue, Enqueued};
use actor_core::{OnConflict, Unique, Until};
use redis::Value;

use super::{CHECK_EVERY, Call, Source, before_ready, delay_ms, gated, whole_ms};
use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;

static STORE: Source = source!("unique", "gate", "free_slots", "into_lanes", "store_unique");
static BEGIN: Source = source!("unique", "begin");

/// The keys of a script, and those of unique keys behind them.
pub(super) fn holding<'a>(keys: &'a Keys, before: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<&str> = before.into_iter().collect();
    all.extend(keys.unique.iter().map(String::as_str));
    all.extend([&*keys.scheduled, &keys.scheduled_bodies, &keys.scheduled_lanes, &keys.wake]);
    all.extend(Level::ALL.map(|level| keys.ready(level)));
    all
}

/// Stores messages that are unique, or have an idempotency key. Answers one value for each, as [`stored`] reads it.
pub(crate) fn store<'a>(keys: &Keys, messages: impl Iterator<Item = &'a Enqueue>) -> Call {
    let [windows, idempotent] = &keys.windows;
    let args = (GROUP, whole_ms(CHECK_EVERY), windows, idempotent);
    let mut call = STORE.call(&holding(keys, gated(keys, before_ready(keys, &[]))), args);
    for Enqueue { id, priority, body, delay, lane, unique, idempotency, .. } in messages {
        let key = unique.as_deref().map_or("", |unique| unique.key.as_str());
        let held = unique.as_deref().map(held).unwrap_or_default();
        let once = idempotency.as_deref().map(|once| format!("{} {}", whole_ms(once.window).max(1), once.key));
        let lane = lane.as_ref().map(|lane| format!("{} {}", lane.cost, lane.key));
        let level = Level::of(*priority).place();
        call.command.arg((id.to_string(), level, delay_ms(*delay), &**body));
        call.command.arg((key, &*held, once.unwrap_or_default(), lane.unwrap_or_default()));
    }
    call
}

/// How a key is held, as the script takes it.
fn held(unique: &Unique) -> Cow<'static, str> {
    match (unique.uniqueness.until, unique.uniqueness.on_conflict) {
        (Until::Window(window), _) => format!("window {}", whole_ms(window).max(1)).into(),
        (_, OnConflict::Replace) => "replace".into(),
        (_, OnConflict::RunAgain) => "run_again".into(),
        (_, OnConflict::Postpone { max_wait: None }) => "postpone".into(),
        (_, OnConflict::Postpone { max_wait: Some(most) }) => format!("postpone {}", delay_ms(most)).into(),
        _ => "".into(),
    }
}

/// What became of a message that was to be stored.
pub(crate) fn stored(answer: &Value) -> Option<Enqueued> {
    match answer {
        Value::Int(1) => Some(Enqueued::Stored),
        Value::BulkString(text) => {
            let (kind, id) = text.split_first()?;
            let id = std::str::from_utf8(id).ok()?.parse().ok()?;
            match kind {
                b'=' => Some(Enqueued::Existing(id)),
                b'-' => Some(Enqueued::Replaced(id)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Notes that runs begin: of what stands at each place, and the key that it holds. Answers one value for each: 1, or 0 where
/// this worker does not hold it.
pub(crate) fn begin(keys: &Keys, worker: &str, messages: &[(Place, &[u8])]) -> Call {
    let mut call = BEGIN.call(&holding(keys, before_ready(keys, &[])), (worker, GROUP));
    for (place, key) in messages {
        call.command.arg((*place, *key));
    }
    call
}
