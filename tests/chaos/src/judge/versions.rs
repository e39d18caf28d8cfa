//! What older workers lack runs on newer ones, as soon as one is live.

use super::{Evidence, Finding, Message, Sent, describe};
use crate::clock::SECOND;

/// How long a newer worker may take to start a message.
const SOON: u64 = 5 * SECOND;
/// The maximum number of deliveries. A worker without the actor may get a message a few times, but must not spin.
const MOST: u64 = 12;

fn newest(evidence: &Evidence) -> impl Iterator<Item = (actor_core::MessageId, &Message)> {
    let newest = evidence.messages.iter().filter(|(_, message)| message.actor.ends_with("newest"));
    newest.map(|(id, message)| (*id, message))
}

/// Periods in which newer workers were live without a break.
fn attended(evidence: &Evidence) -> Vec<(u64, u64)> {
    let mut sessions = Vec::new();
    for (process, all) in &evidence.sessions {
        let name = &evidence.processes[*process];
        if evidence.older.contains(name) {
            continue;
        }
        let left = [evidence.asked.get(name).copied(), evidence.died(*process)].into_iter().flatten().min();
        sessions.extend(
            all.iter().map(|session| (session.since, session.lost.into_iter().chain(left).min().unwrap_or(u64::MAX))),
        );
    }
    sessions.sort_unstable();
    let mut windows: Vec<(u64, u64)> = Vec::new();
    for (since, until) in sessions {
        match windows.last_mut() {
            Some(last) if since <= last.1 => last.1 = last.1.max(until),
            _ => windows.push((since, until)),
        }
    }
    windows
}

pub(super) fn known_soon(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::KNOWN);
    let windows = attended(evidence);
    for (id, message) in newest(evidence).filter(|(_, message)| message.sent == Sent::Acknowledged) {
        let start = message.runs.first().map_or(u64::MAX, |run| run.start);
        // The first period that was long enough.
        let from = windows.iter().map(|(since, until)| ((*since).max(message.answered), *until));
        let Some((from, until)) = from.into_iter().find(|(from, until)| *until >= *from + SOON) else { continue };
        let off = evidence.disrupted_between(from, start.min(until));
        finding.ask(start <= from + SOON + off, || {
            let waited = start.min(until.max(evidence.calm.1)).saturating_sub(from) / 1_000;
            format!("{waited} ms after a newer worker was there: {}", describe(evidence, id))
        });
    }
    finding
}

pub(super) fn known_without_spinning(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::FEW);
    for (id, message) in newest(evidence) {
        let delivered = evidence.delivered.get(&id).into_iter().flatten().map(|delivered| delivered.token);
        let most = delivered.chain(message.runs.iter().map(|run| run.token)).max().unwrap_or_default();
        finding.ask(most <= MOST, || format!("{most} deliveries: {}", describe(evidence, id)));
    }
    finding
}
