//! Unique keys and idempotency keys: of each there is one message at a time.

use std::collections::HashMap;

use super::message::Run;
use super::{Evidence, Finding, Message, Sent, describe};
use crate::history::How;
use actor_core::MessageId;

fn is(message: &Message, actor: &str) -> bool {
    message.actor.rsplit(['.', ':']).next() == Some(actor)
}

/// Messages by a key.
fn by<'a>(
    evidence: &'a Evidence,
    key: impl Fn(&'a Message) -> Option<&'a str>,
) -> HashMap<&'a str, Vec<(MessageId, &'a Message)>> {
    let mut all: HashMap<_, Vec<_>> = HashMap::new();
    for (id, message) in &evidence.messages {
        if let Some(key) = key(message) {
            all.entry(key).or_default().push((*id, message));
        }
    }
    all.values_mut().for_each(|of_key| of_key.sort_by_key(|(_, message)| message.invoked));
    all
}

/// Until when a message was there for certain: a success is settled only after its run.
fn there_until(message: &Message) -> Option<u64> {
    message.runs.iter().filter_map(|run| run.end.filter(|(_, how)| *how == How::Done)).map(|(at, _)| at).min()
}

/// No two that are unique until they are done run at once, and none that keeps others out was stored beside another.
pub(super) fn one_of_a_key(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::SOLE);
    // What is unique until it starts may run beside what was sent since.
    let keyed = by(evidence, |message| Some(&*message.key).filter(|key| !key.is_empty() && !is(message, "started")));
    for of_key in keyed.values() {
        let mut runs: Vec<(MessageId, &Run)> =
            of_key.iter().flat_map(|(id, message)| message.runs.iter().map(|run| (*id, run))).collect();
        runs.sort_by_key(|(_, run)| run.start);
        for (index, (id, later)) in runs.iter().enumerate() {
            let both = runs[..index].iter().find(|(other, earlier)| {
                other != id && evidence.over(earlier) > later.start && evidence.both_held(earlier, later)
            });
            finding.ask(both.is_none(), || {
                let other = both.map(|(other, _)| describe(evidence, *other)).unwrap_or_default();
                format!("{} beside {other}", describe(evidence, *id))
            });
        }
        let stored: Vec<_> = of_key.iter().filter(|(_, message)| message.sent == Sent::Acknowledged).collect();
        for (index, (id, later)) in stored.iter().enumerate().filter(|(_, (_, message))| is(message, "sole")) {
            let beside = stored[..index].iter().find(|(_, earlier)| {
                earlier.answered < later.invoked && there_until(earlier).is_some_and(|until| later.answered < until)
            });
            finding.ask(beside.is_none(), || {
                let other = beside.map(|(other, _)| describe(evidence, *other)).unwrap_or_default();
                format!("{} was stored beside {other}", describe(evidence, *id))
            });
        }
    }
    finding
}

/// Neither again nor at all.
pub(super) fn displaced_never_start(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::DISPLACED);
    for (id, message) in &evidence.messages {
        if let Some(displaced) = message.displaced {
            let starts = message.runs.iter().any(|run| run.start > displaced);
            finding.ask(!starts, || format!("displaced at {displaced}: {}", describe(evidence, *id)));
        }
    }
    finding
}

/// However often it was sent.
pub(super) fn stored_once(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::ONCE);
    for of_key in by(evidence, |message| message.once.as_deref()).values() {
        let stored =
            of_key.iter().filter(|(_, message)| message.sent == Sent::Acknowledged || !message.runs.is_empty());
        let stored: Vec<_> = stored.collect();
        finding.ask(stored.len() <= 1, || {
            stored.iter().map(|(id, _)| describe(evidence, *id)).collect::<Vec<_>>().join(" and ")
        });
    }
    finding
}

/// Whether another message of its key took its place, also one of which its sender heard nothing.
pub(super) fn gave_way(evidence: &Evidence, message: &Message) -> bool {
    let may_displace = |other: &&Message| {
        other.key == message.key && other.sent == Sent::Unknown && other.invoked.saturating_add(1) > message.invoked
    };
    let is_replaceable = ["latest", "debounced", "started"].iter().any(|actor| is(message, actor));
    message.displaced.is_some() || (is_replaceable && evidence.messages.values().find(may_displace).is_some())
}
