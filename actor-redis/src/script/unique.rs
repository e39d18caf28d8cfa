//! The scripts of unique messages: storing them, and noting that their runs begin.

use actor_core::broker::{Enqueue, Enqueued};
use actor_core::{OnConflict, Until};
use redis::Value;

use super::{CHECK_EVERY, Call, Source, before_ready, delay_ms, gated, whole_ms};
use crate::keys::{GROUP, Keys, Level};
use crate::place::Place;

static STORE: Source = source!("unique", "ungated", "store_unique");
static STORE_GATED: Source = source!("unique", "gate", "free_slots", "into_lanes", "store_unique");
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
pub(crate) fn store<'a>(keys: &Keys, is_gated: bool, messages: impl Iterator<Item = &'a Enqueue>) -> Call {
    let [windows, idempotent] = &keys.windows;
    let args = (GROUP, whole_ms(CHECK_EVERY), windows, idempotent, 0);
    let before = before_ready(keys, &[]);
    let mut call = match is_gated {
        true => STORE_GATED.call(&holding(keys, gated(keys, before)), args),
        false => STORE.call(&holding(keys, before), args),
    };
    for message in messages {
        let Enqueue { id, priority, body, unique, .. } = message;
        let key = unique.as_deref().map_or("", |unique| unique.key.as_str());
        let level = Level::of(*priority).place();
        call.command.arg((id.to_string(), level, &**body, key, more(message)));
    }
    call
}

/// What a message says that not all do, as the script takes it.
pub(super) fn more(Enqueue { delay, lane, unique, idempotency, .. }: &Enqueue) -> String {
    let uniqueness = unique.as_deref().map(|unique| unique.uniqueness).unwrap_or_default();
    let (how, ms) = match (uniqueness.until, uniqueness.on_conflict) {
        (Until::Window(window), _) => ("window", Some(whole_ms(window).max(1))),
        (_, OnConflict::Replace) => ("replace", None),
        (_, OnConflict::RunAgain) => ("run_again", None),
        (_, OnConflict::Postpone { max_wait }) => ("postpone", max_wait.map(delay_ms)),
        _ => ("keep", None),
    };
    if how == "keep" && delay.is_zero() && lane.is_none() && idempotency.is_none() {
        return String::new();
    }
    let or_none = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let (once, once_ms) = match idempotency.as_deref() {
        Some(idempotency) => (idempotency.key.as_str(), whole_ms(idempotency.window).max(1)),
        None => ("", 0),
    };
    let (ms, cost) = (or_none(ms), or_none(lane.as_ref().map(|lane| lane.cost.into())));
    let lane = lane.as_ref().map_or("", |lane| lane.key.as_str());
    format!("{} {how} {ms} {once_ms} {} {cost} {once}{lane}", delay_ms(*delay), once.len())
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
