//! A worker that dies while it stops, for example after its grace period, was not killed by its messages.

use super::{Evidence, Finding, describe, retries};
use crate::storage::Storage;

pub(super) fn stops_count_nothing(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::STOPPED);
    for (id, deliveries) in &evidence.delivered {
        for delivered in deliveries.iter().filter(|delivered| evidence.died_stopping(delivered.process)) {
            // It may have been declared dead while it lived.
            let mut sessions = evidence.sessions.get(&delivered.process).into_iter().flatten();
            if sessions.any(|session| session.lost.is_some_and(|lost| lost >= delivered.at)) {
                continue;
            }
            if let Some(next) = deliveries.iter().find(|next| next.token == delivered.token + 1) {
                finding.ask(next.crashes == delivered.crashes, || {
                    let (process, crashes) = (&evidence.processes[delivered.process], next.crashes);
                    format!("{crashes} crashes after {process} was stopped: {}", describe(evidence, *id))
                });
            }
        }
    }
    finding
}

pub(super) fn stops_dead_letter_nothing(evidence: &Evidence, storage: &Storage) -> Finding {
    let mut finding = Finding::new(super::DEPLOYED);
    for (id, dead_letter) in &storage.dead {
        let since = evidence.messages.get(id).map_or(0, |message| message.invoked);
        let crashes = dead_letter.crashes as usize;
        // With fewer deaths than that, its reason is false anyway.
        let of_stops = evidence.sudden_ends_since(since) < crashes && evidence.bad_ends_since(since) >= crashes;
        finding.ask(!(of_stops && retries::died_of_crashes(dead_letter)), || {
            format!("{:?}: {}", dead_letter.reason, describe(evidence, *id))
        });
    }
    finding
}
