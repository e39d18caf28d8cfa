//! How long a dead worker's messages waited.

use std::time::Duration;

use actor_core::MessageId;
use serde::Serialize;

use super::message::{Delivered, Run};
use super::windows::Windows;
use super::{Evidence, Finding, Message, describe};
use crate::clock::SECOND;

/// The waits between a worker's death and the next start of what it held, in seconds, without outages of Redis and
/// stalls of the machine. If the recovering worker died too, they count from the start of its successor.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Recovery {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    pub(crate) bound: f64,
    /// How long the machine stalled, in seconds.
    pub(crate) stalled: f64,
    /// Messages on their last allowed delivery, and the longest wait. Each waits until no other suspect runs beside it
    /// (`docs/guarantees.md`); that time is not counted.
    pub(crate) last_deliveries: usize,
    pub(crate) last_deliveries_max: f64,
}

/// After so many deaths, the next one dead-letters a message.
const LAST_DELIVERY: u32 = 2;
/// The longest time until a message that could not be isolated is tried again, and reaches a worker.
const TRIED_AGAIN: u64 = 6 * SECOND;

pub(super) fn within_bound(evidence: &Evidence, lease: Duration) -> (Finding, Recovery) {
    let mut finding = Finding::new(super::RECOVERED);
    // 10 s with the default lease of 6 s.
    let bound = lease.mul_f64(4.0 / 3.0) + Duration::from_secs(2);
    let bound_us = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    let (mut waits, mut last_deliveries) = (Vec::new(), Vec::new());
    let suspects = suspects(evidence);
    for (id, message) in &evidence.messages {
        let deliveries = evidence.delivered.get(id).map_or(&[][..], Vec::as_slice);
        for delivered in deliveries {
            let Some(died) = evidence.died(delivered.process) else { continue };
            let Some(next) = message.runs.iter().find(|next| next.start > died && next.token > delivered.token) else {
                continue;
            };
            // It was declared dead before it died, for example while frozen.
            let delivered_on = deliveries.iter().any(|other| other.token > delivered.token && other.at < died);
            if delivered_on || !was_held(message, delivered, next) {
                continue;
            }
            // Workers that recovered it may have died too before it started: each death has its own bound. A worker
            // that was stopping counts no crash.
            let more = deliveries
                .iter()
                .filter(|other| died_holding(evidence, *id, other, next) && other.token > delivered.token);
            let deaths = u64::from(next.crashes.saturating_sub(delivered.crashes)).max(1 + more.count() as u64);
            let since = evidence.recoverable_since(died, next.start, bound_us * deaths);
            let span = next.start - since;
            let waited = span - evidence.away_between(since, next.start);
            if next.crashes >= LAST_DELIVERY {
                last_deliveries.push(waited);
                let off = evidence.away_or(suspects.beside_suspects(*id, next.start), since, next.start);
                finding.ask(span - off <= bound_us * deaths, || {
                    let (waited, beside) = (seconds(waited), seconds(waited - (span - off)));
                    format!("{waited:.1} s, {beside:.1} s of it beside others: {}", describe(evidence, *id))
                });
                continue;
            }
            // While its worker ran an isolated message, it recovered nothing.
            let waited = span - evidence.away_or(suspects.behind_isolated(next.process, next.start), since, next.start);
            finding
                .ask(waited <= bound_us * deaths, || format!("{:.1} s: {}", seconds(waited), describe(evidence, *id)));
            if deaths == 1 {
                waits.push(waited);
            }
        }
    }
    waits.sort_unstable();
    let at = |part: usize| waits.get((waits.len() * part / 100).min(waits.len().saturating_sub(1))).copied();
    let wait = |part| seconds(at(part).unwrap_or_default());
    let recovery = Recovery {
        count: waits.len(),
        p50: wait(50),
        p99: wait(99),
        max: wait(100),
        bound: bound.as_secs_f64(),
        stalled: seconds(evidence.stalled),
        last_deliveries: last_deliveries.len(),
        last_deliveries_max: seconds(last_deliveries.into_iter().max().unwrap_or_default()),
    };
    (finding, recovery)
}

/// Whether a worker still held a delivery when it died: it ran it, or each delivery since counts a crash, so that this
/// one was neither settled nor released.
fn was_held(message: &Message, delivered: &Delivered, next: &Run) -> bool {
    let runs = message.runs.iter().filter(|run| (run.process, run.token) == (delivered.process, delivered.token));
    runs.clone().any(|run| run.end.is_none())
        || u64::from(next.crashes.saturating_sub(delivered.crashes)) == next.token - delivered.token
}

/// Whether a worker died with a delivery that it had not settled, before the next start of the message.
fn died_holding(evidence: &Evidence, id: MessageId, delivered: &Delivered, next: &Run) -> bool {
    let mut settled = evidence.settled.get(&id).into_iter().flatten();
    delivered.token < next.token
        && evidence.died(delivered.process).is_some_and(|at| at < next.start)
        && !settled.any(|settled| (settled.process, settled.token) == (delivered.process, delivered.token))
}

/// A run of a message whose worker had died.
struct Suspect {
    since: u64,
    until: u64,
    id: MessageId,
    process: usize,
    is_last_delivery: bool,
}

/// The runs of suspects, by their start.
struct Suspects(Vec<Suspect>);

fn suspects(evidence: &Evidence) -> Suspects {
    let mut runs = Vec::new();
    for (id, message) in &evidence.messages {
        let suspect = message.runs.iter().filter(|run| run.crashes > 0);
        // Its worker may be frozen, which ends the run as death does.
        let until = |run: &Run| evidence.lease_ended(run).min(evidence.over(run));
        runs.extend(suspect.map(|run| Suspect {
            since: run.start,
            until: until(run),
            id: *id,
            process: run.process,
            is_last_delivery: run.crashes >= LAST_DELIVERY,
        }));
    }
    runs.sort_unstable_by_key(|run| run.since);
    Suspects(runs)
}

impl Suspects {
    /// When other suspects than `id` ran that began before a time, and until the message was tried again after each.
    fn beside_suspects(&self, id: MessageId, before: u64) -> Windows {
        let mut windows = Windows::default();
        for other in self.begun(before).filter(|other| other.id != id) {
            windows.add(other.since, other.until.saturating_add(TRIED_AGAIN));
        }
        windows
    }

    /// When isolated messages ran on a process that began before a time.
    fn behind_isolated(&self, process: usize, before: u64) -> Windows {
        let mut windows = Windows::default();
        for run in self.begun(before).filter(|run| run.is_last_delivery && run.process == process) {
            windows.add(run.since, run.until);
        }
        windows
    }

    fn begun(&self, before: u64) -> impl Iterator<Item = &Suspect> {
        self.0[..self.0.partition_point(|run| run.since < before)].iter()
    }
}

#[allow(clippy::cast_precision_loss)] // For display.
fn seconds(us: u64) -> f64 {
    us as f64 / SECOND as f64
}
