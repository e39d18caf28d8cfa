//! A worker that dies while it stops, as one whose grace is over, is none that a message has killed.

use super::{Facts, Finding, retries, tell};
use crate::storage::Storage;

pub(super) fn stops_count_nothing(facts: &Facts) -> Finding {
    let mut finding = Finding::new(super::STOPPED);
    for (id, deliveries) in &facts.lent {
        for lent in deliveries.iter().filter(|lent| facts.died_stopping(lent.process)) {
            // It may have been declared dead while it lived.
            let mut lives = facts.lives.get(&lent.process).into_iter().flatten();
            if lives.any(|life| life.lost.is_some_and(|lost| lost >= lent.at)) {
                continue;
            }
            if let Some(next) = deliveries.iter().find(|next| next.token == lent.token + 1) {
                finding.ask(next.crashes == lent.crashes, || {
                    let (process, crashes) = (&facts.processes[lent.process], next.crashes);
                    format!("{crashes} crashes after {process} was stopped: {}", tell(facts, *id))
                });
            }
        }
    }
    finding
}

pub(super) fn stops_bury_nothing(facts: &Facts, storage: &Storage) -> Finding {
    let mut finding = Finding::new(super::DEPLOYED);
    for (id, letter) in &storage.dead {
        let since = facts.messages.get(id).map_or(0, |message| message.invoked);
        let crashes = letter.crashes as usize;
        // Where not even as many died, it has no true reason anyway.
        let of_stops = facts.sudden_ends_since(since) < crashes && facts.bad_ends_since(since) >= crashes;
        finding.ask(!(of_stops && retries::died_of_crashes(letter)), || {
            format!("{:?}: {}", letter.reason, tell(facts, *id))
        });
    }
    finding
}
