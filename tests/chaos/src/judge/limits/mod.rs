//! A queue's limits are never exceeded, and no slot is free while messages wait for it.

mod bounds;
mod holds;
mod idle;
mod rate;

use std::collections::HashMap;

use self::bounds::Bounds;
use self::holds::{Certain, certain, holds};
use super::{Evidence, Finding, Message, describe};
use crate::history::Lane;
pub(super) use idle::never_idle;
pub(super) use rate::never_too_fast;

fn gated(evidence: &Evidence) -> impl Iterator<Item = (actor_core::MessageId, &Message, &Lane)> {
    evidence.messages.iter().filter_map(|(id, message)| Some((*id, message, message.lane.as_ref()?)))
}

/// What is taken, and by how many messages.
#[derive(Clone, Copy, Default)]
struct Taken {
    slots: u32,
    messages: u32,
}

impl Taken {
    fn change(&mut self, begins: bool, cost: u32) {
        let (slots, messages) = (&mut self.slots, &mut self.messages);
        (*slots, *messages) = if begins { (*slots + cost, *messages + 1) } else { (*slots - cost, *messages - 1) };
    }

    /// A message that costs more than a limit takes all of it.
    fn fits(self, limit: u32) -> bool {
        self.slots <= limit || (self.messages == 1 && limit > 0)
    }
}

/// Checked at each time from which a message certainly holds its slots. The last of those that hold some then was let go not
/// before this one was, and all others held theirs already: a limit of that time was kept to.
pub(super) fn never_exceeded(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new(super::LIMITED);
    let bounds = Bounds::of(evidence);
    let mut changes = Vec::new();
    for (id, message, lane) in gated(evidence) {
        for Certain { since, until, let_go } in certain(message, &holds(evidence, id, message), evidence) {
            changes.push((until, None, id, lane));
            changes.push((since, Some(let_go), id, lane));
        }
    }
    // What ends at a time is over when something begins at the same time.
    changes.sort_unstable_by_key(|(at, let_go, ..)| (*at, let_go.is_some()));
    let (mut all, mut keys) = (Taken::default(), HashMap::<&str, Taken>::new());
    for (at, let_go, id, lane) in changes {
        let key = keys.entry(&lane.key).or_default();
        all.change(let_go.is_some(), lane.cost);
        key.change(let_go.is_some(), lane.cost);
        let Some(let_go) = let_go else { continue };
        let (limit, of_key) = (bounds.most(let_go, at), bounds.most_of(&lane.key, let_go, at));
        finding.ask(all.fits(limit) && key.fits(of_key), || {
            let (all, key_slots, key) = (all.slots, key.slots, &lane.key);
            format!(
                "{all} slots of {limit}, {key_slots} of {of_key} of key {key:?}, are taken at {at} with {}",
                describe(evidence, id)
            )
        });
    }
    finding
}
