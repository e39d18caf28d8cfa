//! Nothing is lost, no message runs twice at once, and every effect happens once.

use std::collections::HashSet;

use super::{Evidence, Finding, Message, Sent, cancels, describe, unique};
use crate::history::How;
use crate::storage::Storage;

fn done(message: &Message) -> bool {
    message.runs.iter().any(|run| matches!(run.end, Some((_, How::Done | How::DoneBefore))))
}

/// Also returns how many messages are lost with a dead master, where `lost_with_master` allows it.
pub(super) fn nothing_lost(evidence: &Evidence, storage: &Storage, lost_with_master: bool) -> (Finding, u64) {
    let mut finding = Finding::new(super::LOST);
    let mut gone = 0;
    for (id, message) in &evidence.messages {
        if message.sent == Sent::Acknowledged {
            let ended = done(message)
                || storage.dead.contains_key(id)
                || cancels::may_have_ended(evidence, *id)
                || unique::gave_way(evidence, message);
            if !ended && lost_with_master && evidence.went_with_its_master(message) {
                gone += 1;
            } else {
                finding.ask(ended, || describe(evidence, *id));
            }
        }
    }
    (finding, gone)
}

pub(super) fn left_for_newer(evidence: &Evidence, storage: &Storage) -> Finding {
    let mut finding = Finding::new("messages of a newer format wait unharmed");
    for (id, body) in &evidence.newer_format {
        let waits = storage.newer_format.get(id) == Some(body) && !evidence.messages.contains_key(id);
        finding.ask(waits, || format!("{id}: sent {body}, found {:?}", storage.newer_format.get(id)));
    }
    finding
}

pub(super) fn refused_never_ran(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("no refused message ran");
    for (id, message) in &evidence.messages {
        if message.sent == Sent::Refused {
            finding.ask(message.runs.is_empty(), || describe(evidence, *id));
        }
    }
    finding
}

pub(super) fn one_at_a_time(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::EXCLUSION);
    for (id, message) in &evidence.messages {
        for (index, later) in message.runs.iter().enumerate().skip(1) {
            let both = message.runs[..index].iter().any(|earlier| evidence.both_held(earlier, later));
            finding.ask(!both, || describe(evidence, *id));
        }
    }
    finding
}

pub(super) fn tokens_grow(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::TOKENS);
    for (id, message) in &evidence.messages {
        let (mut seen, mut newest) = (HashSet::new(), 0);
        for run in &message.runs {
            // A zombie may start with a smaller token than was seen, but never with the same.
            let grows = run.token > newest || !evidence.lease_held(run, run.start);
            finding.ask(seen.insert(run.token) && grows, || describe(evidence, *id));
            newest = newest.max(run.token);
        }
    }
    finding
}

pub(super) fn effects_once(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("with the token as its guard, each effect happened once");
    for (id, message) in &evidence.messages {
        let fits = match message.commits[..] {
            [] => !done(message),
            // A worker may be killed between its effect and the record of it.
            [token] => done(message) || message.runs.iter().any(|run| run.token == token && run.end.is_none()),
            _ => false,
        };
        finding.ask(fits, || format!("{} effects: {}", message.commits.len(), describe(evidence, *id)));
    }
    finding
}
