//! The scripts of unique messages: storing them, and noting that their runs begin.

use actor_core::broker::{Enqueue, Enqueued};
use actor_core::{OnConflict, Unique, Until};
use redis::Value;

use super::{CHECK_EVERY, Call, Source, before_ready, delay_ms, gated, scheduled_member, whole_ms};
use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;
use crate::slot::list_name;

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
        let Key { key, holds, on_conflict, window, max_wait } = Key::of(unique.as_deref());
        let member = scheduled_member(*priority, false, lane.is_some() || holds, *id);
        let (once, once_ms) = match idempotency {
            Some(idempotency) => (idempotency.key.as_str(), whole_ms(idempotency.window).max(1).to_string()),
            None => ("", String::new()),
        };
        let (list, cost) = match lane {
            Some(lane) => (list_name(*priority, lane.key.as_str()), lane.cost),
            None => (String::new(), 1),
        };
        let level = Level::of(*priority).place();
        call.command.arg((id.to_string(), level, member, delay_ms(*delay), &**body));
        call.command.arg((key, on_conflict, window, max_wait, once, once_ms, list, cost));
    }
    call
}

/// A unique key as the script takes it: texts, empty for what there is not.
#[derive(Default)]
struct Key<'a> {
    key: &'a str,
    /// Whether the message itself holds it.
    holds: bool,
    on_conflict: &'static str,
    window: String,
    max_wait: String,
}

impl<'a> Key<'a> {
    fn of(unique: Option<&'a Unique>) -> Self {
        let Some(Unique { key, uniqueness, .. }) = unique else { return Self::default() };
        let key = key.as_str();
        if let Until::Window(window) = uniqueness.until {
            return Self { key, window: whole_ms(window).max(1).to_string(), ..Self::default() };
        }
        let mut max_wait = String::new();
        let on_conflict = match uniqueness.on_conflict {
            OnConflict::Replace => "replace",
            OnConflict::RunAgain => "run_again",
            OnConflict::Postpone { max_wait: most } => {
                max_wait = most.map(|most| delay_ms(most).to_string()).unwrap_or_default();
                "postpone"
            }
            _ => "keep",
        };
        Self { key, holds: true, on_conflict, max_wait, ..Self::default() }
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
