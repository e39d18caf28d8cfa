//! The scripts of limiters.

use std::time::Duration;

use actor_core::limiter::{Acquire, Held, Holder, LimiterKind};

use super::{Call, Source, whole_ms};
use crate::keys::LimiterKeys;

static BUCKET: Source = source!("limiter_bucket");
static WINDOW: Source = source!("limiter_window");
static ACQUIRE: Source = source!("limiter_acquire");
static RENEW: Source = source!("limiter_renew");
static RELEASE: Source = source!("limiter_release");
static HELD: Source = source!("limiter_held");

/// For how long permits are kept after their leases, for a holder that stood still and that nobody has waited for.
const KEPT: Duration = Duration::from_secs(60);

/// What limits a bucket or a window: its key, and the first arguments.
enum Rated<'a> {
    Bucket(&'a str, [String; 3]),
    Window(&'a str, [String; 2]),
}

fn rated(keys: &LimiterKeys, kind: LimiterKind) -> Option<Rated<'_>> {
    match kind {
        LimiterKind::Bucket(rate) => {
            let interval_us = rate.per.as_secs_f64() * 1e6 / f64::from(rate.starts);
            let most = rate.burst.max(rate.starts);
            Some(Rated::Bucket(&keys.bucket, [interval_us.to_string(), rate.burst.to_string(), most.to_string()]))
        }
        LimiterKind::Window { max, span } => {
            Some(Rated::Window(&keys.window, [max.to_string(), span.as_nanos().div_ceil(1_000).to_string()]))
        }
        _ => None,
    }
}

impl Rated<'_> {
    fn call(self, cost: u32, takes: bool) -> Call {
        let rest = (cost, u8::from(takes));
        match self {
            Self::Bucket(key, first) => BUCKET.call(&[key], (&first, rest)),
            Self::Window(key, first) => WINDOW.call(&[key], (&first, rest)),
        }
    }
}

fn permits(keys: &LimiterKeys) -> [&str; 2] {
    let [permits, holders] = &keys.permits;
    [permits, holders]
}

/// The member for a holder, and its fencing token.
fn named(holder: &Holder) -> (String, String) {
    (format!("{}:{}", holder.id, holder.ordinal), format!("{:020}", holder.token))
}

/// Answers as [`acquired`] reads it. `None` for a limiter of a kind that is not known here, as for the next.
pub(crate) fn acquire(keys: &LimiterKeys, acquire: &Acquire) -> Option<Call> {
    let kind = acquire.limiter.kind();
    let cost = kind.counted(acquire.cost);
    if let Some(rated) = rated(keys, kind) {
        return Some(rated.call(cost, true));
    }
    let LimiterKind::Concurrent { max } = kind else { return None };
    let args = (max, named(&acquire.holder), cost, whole_ms(acquire.lease), whole_ms(KEPT));
    Some(ACQUIRE.call(&permits(keys), args))
}

/// Answers as [`used`] reads it.
pub(crate) fn usage(keys: &LimiterKeys, kind: LimiterKind) -> Option<Call> {
    match (rated(keys, kind), kind) {
        (Some(rated), _) => Some(rated.call(1, false)),
        (None, LimiterKind::Concurrent { max }) => Some(HELD.call(&permits(keys), max)),
        _ => None,
    }
}

/// After how long it may be acquired; `None` where it was.
pub(crate) fn acquired(kind: LimiterKind, answer: &[u64]) -> Option<Option<Duration>> {
    match answer {
        [0, after, ..] => Some(Some(time(kind, *after))),
        [1, ..] => Some(None),
        _ => None,
    }
}

/// How much is used, and after how long the next may be acquired.
pub(crate) fn used(kind: LimiterKind, answer: &[u64]) -> Option<(u64, Duration)> {
    match answer {
        [_, after, used] => Some((*used, time(kind, *after))),
        _ => None,
    }
}

/// Leases are in ms, rates in us.
fn time(kind: LimiterKind, after: u64) -> Duration {
    match kind {
        LimiterKind::Concurrent { .. } => Duration::from_millis(after),
        _ => Duration::from_micros(after),
    }
}

/// Answers for each permit whether it is held. All are of these keys.
pub(crate) fn renew_permits(keys: &LimiterKeys, held: &[&Held], lease: Duration) -> Call {
    let mut call = RENEW.call(&permits(keys), (whole_ms(lease), whole_ms(KEPT)));
    for held in held {
        call.command.arg(named(&held.holder));
    }
    call
}

/// Answers for each permit whether it was held. All are of these keys.
pub(crate) fn release_permits(keys: &LimiterKeys, held: &[&Held]) -> Call {
    let named: Vec<_> = held.iter().map(|held| named(&held.holder)).collect();
    RELEASE.call(&permits(keys), named)
}
