//! What is promised of what follows from a run, as properties of every state.

use std::collections::BTreeSet;

use stateright::Property;

use super::{Child, Following, Outcome, Request, State};

/// A stale run's messages never exist.
pub const ONLY_IF_COUNTED: &str = "a message that follows exists only if the settlement of its run counted";
/// What follows is not lost.
pub const KEPT: &str = "what follows from a settlement that counted is in the outbox or has arrived";
/// What follows is not doubled.
pub const ONCE: &str = "each message that follows arrives once";
/// What follows keeps its order.
pub const ORDER: &str = "messages arrive in the order in which they were put into the outbox";
/// Nothing is stuck.
pub const AT_REST: &str = "where nothing can happen any more every message is settled, and what follows has arrived";

/// What must hold in every state.
fn promised() -> Vec<Property<Following>> {
    vec![
        Property::always(ONLY_IF_COUNTED, |_, state: &State| {
            let mut exist = state.target.stored.iter().chain(state.outbox.entries.iter().map(|(_, child)| child));
            exist.all(|child| counted(state, *child))
        }),
        Property::always(KEPT, |machine: &Following, state: &State| {
            (0..).zip(&state.messages).all(|(message, of)| {
                let Some((token, outcome)) = of.settled else { return true };
                (0..machine.follow).all(|nth| exists(state, Child { message, token, outcome, nth }))
            })
        }),
        Property::always(ONCE, |_, state: &State| {
            state.target.stored.iter().collect::<BTreeSet<_>>().len() == state.target.stored.len()
        }),
        Property::always(ORDER, |_, state: &State| {
            let place = |child: &Child| state.noted.iter().position(|noted| noted == child);
            state.target.stored.iter().map(place).is_sorted()
        }),
        Property::always(AT_REST, |machine, state| !machine.is_at_rest(state) || is_over(state)),
    ]
}

/// What must be possible where any of it goes wrong, or the promises would say nothing.
pub const POSSIBLE: [&str; 5] = [
    "the success of a run counts that no longer holds its message",
    "a dead letter has something follow",
    "two relays bring the same message",
    "a message is brought that arrived before",
    "a relay that died asks for what another has done",
];
/// What must be possible where there are two messages.
pub const AGAIN: &str = "an outbox that was emptied is used again";
/// What must be possible where a queue refuses.
pub const PART: &str = "a part of what a relay brings arrives";

fn possible() -> Vec<Property<Following>> {
    let [late_success, dead_letter, two, before, late] = POSSIBLE;
    vec![
        Property::sometimes(late_success, |_, state: &State| {
            let settled = state.messages.iter().filter_map(|message| Some((message.token, message.settled?)));
            settled.into_iter().any(|(last, (token, outcome))| outcome == Outcome::Done && token < last)
        }),
        Property::sometimes(dead_letter, |_, state: &State| {
            state.target.stored.iter().any(|child| child.outcome == Outcome::Failed)
        }),
        Property::sometimes(two, |_, state: &State| {
            let brings = state.relays.iter().filter(|relay| matches!(relay.request, Some(Request::Arrive(_))));
            brings.count() > 1
        }),
        Property::sometimes(before, |_, state: &State| {
            let mut requests = state.relays.iter().filter_map(|relay| relay.request.as_ref());
            requests.any(|request| has_arrived(state, request))
        }),
        Property::sometimes(late, |_, state: &State| state.late.iter().any(|request| has_arrived(state, request))),
        Property::sometimes(AGAIN, |_, state: &State| {
            state.outbox.entries.first().is_some_and(|(number, _)| *number > 1 && *number == state.target.last + 1)
                && state.target.stored.len() + state.outbox.entries.len() == state.noted.len()
        }),
        Property::sometimes(PART, |_, state: &State| {
            state
                .relays
                .iter()
                .any(|relay| matches!(&relay.request, Some(Request::Remove(some, true)) if !some.is_empty()))
        }),
    ]
}

/// All of them.
pub(super) fn all() -> Vec<Property<Following>> {
    promised().into_iter().chain(possible()).collect()
}

/// Whether the run that a message follows from settled its message.
fn counted(state: &State, child: Child) -> bool {
    state.messages[usize::from(child.message)].settled == Some((child.token, child.outcome))
}

fn exists(state: &State, child: Child) -> bool {
    state.target.stored.contains(&child) || state.outbox.entries.iter().any(|(_, waits)| *waits == child)
}

fn has_arrived(state: &State, request: &Request) -> bool {
    matches!(request, Request::Arrive(entries) if entries.iter().any(|(number, _)| *number <= state.target.last))
}

fn is_over(state: &State) -> bool {
    let all_are_settled = state.messages.iter().all(|message| message.settled.is_some());
    all_are_settled && state.outbox.entries.is_empty() && state.target.stored.len() == state.noted.len()
}
