//! Nothing is lost, nothing runs twice at a time, and every effect happens once.

use std::collections::HashSet;

use super::{Facts, Finding, Message, Sent, tell};
use crate::history::How;
use crate::storage::Storage;

fn done(message: &Message) -> bool {
    message.runs.iter().any(|run| matches!(run.end, Some((_, How::Done | How::DoneBefore))))
}

pub(super) fn nothing_lost(facts: &Facts, storage: &Storage) -> Finding {
    let mut finding = Finding::new(super::LOST);
    for (id, message) in &facts.messages {
        if message.sent == Sent::Acknowledged {
            finding.ask(done(message) || storage.dead.contains_key(id), || tell(facts, *id));
        }
    }
    finding
}

pub(super) fn refused_never_ran(facts: &Facts) -> Finding {
    let mut finding = Finding::new("no refused message ran");
    for (id, message) in &facts.messages {
        if message.sent == Sent::Refused {
            finding.ask(message.runs.is_empty(), || tell(facts, *id));
        }
    }
    finding
}

pub(super) fn one_at_a_time(facts: &Facts) -> Finding {
    let mut finding = Finding::new(super::EXCLUSION);
    for (id, message) in &facts.messages {
        for (index, later) in message.runs.iter().enumerate().skip(1) {
            let both = message.runs[..index].iter().any(|earlier| {
                facts.over(earlier) > later.start
                    && facts.lease_held(earlier, later.start)
                    && facts.lease_held(later, later.start)
            });
            finding.ask(!both, || tell(facts, *id));
        }
    }
    finding
}

pub(super) fn tokens_grow(facts: &Facts) -> Finding {
    let mut finding = Finding::new(super::TOKENS);
    for (id, message) in &facts.messages {
        let (mut seen, mut newest) = (HashSet::new(), 0);
        for run in &message.runs {
            // A zombie may start with a smaller one than was seen, but never with the same.
            let grows = run.token > newest || !facts.lease_held(run, run.start);
            finding.ask(seen.insert(run.token) && grows, || tell(facts, *id));
            newest = newest.max(run.token);
        }
    }
    finding
}

pub(super) fn effects_once(facts: &Facts) -> Finding {
    let mut finding = Finding::new("with the token as its guard, each effect happened once");
    for (id, message) in &facts.messages {
        let wanted = usize::from(done(message));
        // A worker may be killed between its effect and the line that tells of it.
        let fits = message.commits.len() == wanted || (wanted == 0 && message.commits.len() == 1);
        finding.ask(fits, || format!("{} effects: {}", message.commits.len(), tell(facts, *id)));
    }
    finding
}
