//! What older workers lack is run by newer ones, as soon as there is one.

use super::{Facts, Finding, Message, Sent, tell};
use crate::clock::SECOND;

/// How long after a newer worker is there a message may start.
const SOON: u64 = 5 * SECOND;
/// How often it may be delivered, at most. Who lacks its actor may have it a few times, and must not spin.
const MOST: u64 = 12;

fn novel(facts: &Facts) -> impl Iterator<Item = (actor_core::MessageId, &Message)> {
    let novel = facts.messages.iter().filter(|(_, message)| message.actor.ends_with("novel"));
    novel.map(|(id, message)| (*id, message))
}

/// When newer workers were live: from when to when without a break, by time.
fn attended(facts: &Facts) -> Vec<(u64, u64)> {
    let mut lives = Vec::new();
    for (process, all) in &facts.lives {
        let name = &facts.processes[*process];
        if facts.older.contains(name) {
            continue;
        }
        let left = [facts.asked.get(name).copied(), facts.died(*process)].into_iter().flatten().min();
        lives.extend(all.iter().map(|life| (life.since, life.lost.into_iter().chain(left).min().unwrap_or(u64::MAX))));
    }
    lives.sort_unstable();
    let mut windows: Vec<(u64, u64)> = Vec::new();
    for (since, until) in lives {
        match windows.last_mut() {
            Some(last) if since <= last.1 => last.1 = last.1.max(until),
            _ => windows.push((since, until)),
        }
    }
    windows
}

pub(super) fn known_soon(facts: &Facts) -> Finding {
    let mut finding = Finding::new(super::KNOWN);
    let windows = attended(facts);
    for (id, message) in novel(facts).filter(|(_, message)| message.sent == Sent::Acknowledged) {
        let start = message.runs.first().map_or(u64::MAX, |run| run.start);
        // The first time that was long enough.
        let from = windows.iter().map(|(since, until)| ((*since).max(message.answered), *until));
        let Some((from, until)) = from.into_iter().find(|(from, until)| *until >= *from + SOON) else { continue };
        let off = facts.troubled_between(from, start.min(until));
        finding.ask(start <= from + SOON + off, || {
            let waited = start.min(until.max(facts.calm.1)).saturating_sub(from) / 1_000;
            format!("{waited} ms after a newer worker was there: {}", tell(facts, id))
        });
    }
    finding
}

pub(super) fn known_without_spinning(facts: &Facts) -> Finding {
    let mut finding = Finding::new(super::FEW);
    for (id, message) in novel(facts) {
        let lent = facts.lent.get(&id).into_iter().flatten().map(|lent| lent.token);
        let most = lent.chain(message.runs.iter().map(|run| run.token)).max().unwrap_or_default();
        finding.ask(most <= MOST, || format!("{most} deliveries: {}", tell(facts, id)));
    }
    finding
}
