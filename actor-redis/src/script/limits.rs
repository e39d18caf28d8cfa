//! The scripts of a queue's limits: what is declared, and what is set while it runs.

use std::num::NonZeroU32;
use std::time::Duration;

use actor_core::control::{LaneState, LimitSource, ListedLane, QueueLimits};
use actor_core::{Key, Limit, Limits};
use redis::Cmd;

use super::{Call, Source, gated, time};
use crate::keys::Keys;

static DECLARE: Source = source!("gate", "look_again", "apply_limits", "declare_limits");
static SET_LIMIT: Source = source!("gate", "look_again", "apply_limits", "set_limit");
static SET_LANE: Source = source!("gate", "look_again", "set_lane");
static PAUSE_LANE: Source = source!("gate", "pause_lane");
static SURVEY_LANES: Source = source!("gate", "survey_lanes");

/// What stands for no limit.
const NONE: &str = "-";
/// What stands, for a key, for what holds for each.
const INHERITED: &str = "=";
/// What stands for what it is already.
const UNCHANGED: &str = "";

/// The concurrency, the us from start to start, and the burst; and the rate as it was given.
fn limit_args(limit: Limit) -> ([String; 3], String) {
    let concurrency = limit.max_concurrency().map_or(NONE.to_owned(), |max| max.to_string());
    let Some(rate) = limit.max_rate() else {
        return ([concurrency, NONE.to_owned(), NONE.to_owned()], NONE.to_owned());
    };
    let interval_us = rate.per.as_secs_f64() * 1e6 / f64::from(rate.starts);
    let given = format!("{}/{}", rate.starts, rate.per.as_nanos());
    ([concurrency, interval_us.to_string(), rate.burst.to_string()], given)
}

/// A limit as it was written: its concurrency, its burst and its rate. `None` for what this broker did not write.
fn read_limit(concurrency: &str, burst: &str, rate: &str) -> Option<Limit> {
    let mut limit = Limit::new();
    if let Some(max) = concurrency.parse().ok().filter(|max| *max > 0) {
        limit = limit.concurrency(max);
    }
    if rate == NONE {
        return Some(limit);
    }
    let (starts, ns) = rate.split_once('/')?;
    let (starts, per) = (starts.parse().ok()?, Duration::from_nanos(ns.parse().ok()?));
    let burst = burst.parse().ok().filter(|burst| *burst > 0)?;
    let is_rate = starts > 0 && !per.is_zero() && per.as_secs() <= 366 * 24 * 3600;
    is_rate.then(|| limit.rate(starts, per).burst(burst))
}

/// Keeps what a program declares of the limits.
pub(crate) fn declare_limits(keys: &Keys, limits: &Limits) -> Call {
    let [(queue, queue_rate), (per_key, per_key_rate)] = [limits.queue, limits.per_key].map(limit_args);
    let fair = if limits.fair { "1" } else { NONE };
    DECLARE.call(&gated(keys, []), (&queue, &per_key, fair, queue_rate, per_key_rate))
}

/// Sets a limit of the queue, or of each key; `None` for what is declared. This and the next two answer whether the
/// queue has lanes.
pub(crate) fn set_limit(keys: &Keys, each_key: bool, limit: Option<Limit>) -> Call {
    let mut call = SET_LIMIT.call(&gated(keys, []), if each_key { "k" } else { "" });
    if let Some(limit) = limit {
        let (limit, rate) = limit_args(limit);
        call.command.arg((&limit, rate));
    }
    call
}

/// Sets a limit of one key; `None` for that of each.
pub(crate) fn set_limit_of_key(keys: &Keys, key: &str, limit: Option<Limit>) -> Call {
    let inherited = || INHERITED.to_owned();
    let (limit, rate) = limit.map_or_else(|| (std::array::from_fn(|_| inherited()), inherited()), limit_args);
    SET_LANE.call(&gated(keys, []), (key, &limit, UNCHANGED, rate))
}

/// Sets the weight of one key; `None` for that of each.
pub(crate) fn set_weight(keys: &Keys, key: &str, weight: Option<NonZeroU32>) -> Call {
    let weight = weight.map_or(INHERITED.to_owned(), |weight| weight.to_string());
    SET_LANE.call(&gated(keys, []), (key, &[UNCHANGED; 3], weight, UNCHANGED))
}

/// Has nothing of a lane go, or lets it go again.
pub(crate) fn pause_lane(keys: &Keys, key: &str, pauses: bool) -> Call {
    PAUSE_LANE.call(&gated(keys, []), (key, u8::from(pauses)))
}

/// The limits, for [`limits`].
pub(crate) fn read_limits(keys: &Keys) -> Cmd {
    let of_queue = ["o:c", "o:rb", "o:rate"];
    let of_each = ["o:kc", "o:krb", "o:krate"];
    redis::cmd("HMGET").arg(&keys.gate).arg("d").arg(&of_queue).arg(&of_each).take()
}

/// What a [`read_limits`] found.
pub(crate) fn limits(fields: &[Option<String>]) -> QueueLimits {
    let (declared, queue, per_key) = match fields {
        [declared, set @ ..] if set.len() == 6 => (declared.as_deref(), &set[..3], &set[3..]),
        _ => return QueueLimits::default(),
    };
    let declared: Vec<&str> = declared.unwrap_or_default().split(' ').collect();
    let of = |at: usize, rate: usize| {
        let part = |at: usize| declared.get(at).copied().unwrap_or(NONE);
        read_limit(part(at), part(at + 2), part(rate)).unwrap_or_default()
    };
    let set = |set: &[Option<String>]| match set {
        [Some(concurrency), Some(burst), Some(rate)] => read_limit(concurrency, burst, rate),
        _ => None,
    };
    QueueLimits::new(
        LimitSource::new(of(0, 7), set(queue)),
        LimitSource::new(of(3, 8), set(per_key)),
        declared.get(6) == Some(&"1"),
    )
}

/// How far a survey has come: what it goes through, where it scans on, and the key after which it goes on.
pub(crate) type SurveyAt = [String; 3];

/// Lists lanes. Answers where to go on, and each as [`lane`] reads it.
pub(crate) fn survey_lanes(keys: &Keys, at: &SurveyAt, limit: usize) -> Call {
    SURVEY_LANES.call(&gated(keys, []), (at, limit))
}

/// A lane as [`survey_lanes`] answers it: key, how many wait, slots, how it stands, limits of its own.
pub(crate) type Surveyed = (String, u64, u64, String, String);

pub(crate) fn lane((key, waiting, slots, stands, own): Surveyed) -> Option<ListedLane> {
    let state = match &*stands {
        "open" => LaneState::Open,
        "full" => LaneState::Full,
        "paused" => LaneState::Paused,
        "idle" => LaneState::Idle,
        us => LaneState::ClosedUntil(time(us.parse::<u64>().ok()?.div_ceil(1_000))),
    };
    let mut lane = ListedLane::new(Key::new(key).ok()?, waiting, slots, state);
    if let [concurrency, _, burst, weight, rate] = own.split(' ').collect::<Vec<_>>()[..] {
        lane.limit = if concurrency == INHERITED { None } else { read_limit(concurrency, burst, rate) };
        lane.weight = weight.parse().ok();
    }
    Some(lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_reads_as_it_was_written() {
        let second = Duration::from_secs(1);
        for limit in [
            Limit::new(),
            Limit::new().concurrency(7),
            Limit::new().rate(3, second),
            Limit::new().concurrency(1).rate(u32::MAX, Duration::from_nanos(1)).burst(5),
        ] {
            let ([concurrency, _, burst], rate) = limit_args(limit);
            assert_eq!(read_limit(&concurrency, &burst, &rate), Some(limit));
        }
        for (burst, rate) in [("1", ""), ("1", "3"), ("1", "0/1"), ("1", "1/0"), ("0", "1/1"), ("-", "1/1")] {
            assert_eq!(read_limit("1", burst, rate), None, "{burst} {rate}");
        }
    }
}
