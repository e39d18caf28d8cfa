//! What the protocol promises, as properties of every state.

use stateright::Property;

use crate::history::{Breach, Past};
use crate::protocol::{Protocol, State};
use crate::storage::Reason;
use crate::worker::{Phase, Read, Worker};

/// A message is in one place as long as its work is not done.
pub const ONE_PLACE: &str = "an accepted message is in exactly one place until its work is done";
/// What has ended stays ended.
pub const ENDS_ONCE: &str = "a message ends once";
/// No two leases cover one message.
pub const ONE_LEASE: &str = "no message runs on two workers that are sure of their leases";
/// The token can fence.
pub const TOKENS_GROW: &str = "every delivery of a message has a higher token than the one before";
/// A token names one run.
pub const ONE_RUN: &str = "no delivery is started twice";
/// A zombie's failure.
pub const LATE_FAILURE: &str = "a failure of a worker that no longer holds the message changes nothing";
/// Deaths and attempts are counted apart.
pub const NO_RETRY_SPENT: &str = "the attempts are the failures that counted: a crash spends no retry";
/// A message fails so often and no more.
pub const ATTEMPTS: &str = "a message fails no more often than max_retries + 1 times";
/// Deaths are counted.
pub const DEATHS: &str = "a message knows how many workers died with it";
/// Poison.
pub const POISON: &str = "a message whose workers died max_crashes times is not started again";
/// Dead letters.
pub const REASON: &str = "a dead letter gives the right reason";
/// The limit of a key.
pub const LIMIT: &str = "no message is let go while as many of its key are in flight as its limit allows";
/// Neither leaked nor freed twice.
pub const SLOTS: &str = "of each key as many slots are taken as it has messages in flight";
/// One of a unique key.
pub const UNIQUE: &str = "of a unique key there is one message at a time, and one that follows it";
/// Nothing is dropped for nothing.
pub const STOOD_FOR: &str = "what is not stored has another message of its key that stands for it";
/// Nothing is stuck.
pub const AT_REST: &str = "where nothing can happen any more every message has ended, and nothing is in flight";

/// What must hold in every state.
fn promised() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONE_PLACE, |_, state| {
            each(state, |past, places| places == 1 || (places == 0 && (past.done || past.lost || !past.accepted)))
        }),
        Property::always(ENDS_ONCE, |_, state| each(state, |past, places| places == 0 || !past.ended)),
        Property::always(ONE_LEASE, |_, state: &State| {
            (0..).zip(&state.history.pasts).all(|(at, _)| runs(state, at, |worker| worker.sure) <= 1)
        }),
        Property::always(TOKENS_GROW, |_, state: &State| state.history.breach != Some(Breach::Token)),
        Property::always(ONE_RUN, |_, state: &State| state.history.breach != Some(Breach::Started)),
        Property::always(LATE_FAILURE, |_, state: &State| state.history.breach != Some(Breach::LateFailure)),
        Property::always(NO_RETRY_SPENT, |_, state: &State| state.history.breach != Some(Breach::Attempts)),
        Property::always(ATTEMPTS, |protocol, state| each(state, |past, _| past.failures <= protocol.max_retries + 1)),
        Property::always(DEATHS, |_, state: &State| state.history.breach != Some(Breach::Deaths)),
        Property::always(POISON, |_, state: &State| state.history.breach != Some(Breach::Poison)),
        Property::always(REASON, |_, state: &State| state.history.breach != Some(Breach::Reason)),
        Property::always(LIMIT, |_, state: &State| state.history.breach != Some(Breach::Limit)),
        Property::always(SLOTS, |_, state| slots_fit(state)),
        Property::always(UNIQUE, |_, state: &State| state.storage.of_key() <= 1),
        Property::always(STOOD_FOR, |_, state: &State| state.history.breach != Some(Breach::StoodFor)),
        Property::always(AT_REST, |protocol, state| !protocol.is_at_rest(state) || has_ended(state)),
    ]
}

/// What must be possible where a worker stops.
pub const INTERRUPTED: &str = "a stopping worker dies with a message, which is no crash";
/// What must be possible where a limit is raised.
pub const RAISED: &str = "a limit that is raised lets more of a key go";
/// What must be possible where Redis loses what holds a unique key.
pub const TAKEN_OVER: &str = "the key of a message that is nowhere is taken over";
/// What must be possible where one message follows another.
pub const FOLLOWED: &str = "a message runs that followed another";
/// What must be possible, or the promises would say nothing.
pub const POSSIBLE: [&str; 7] = [
    "a late success counts",
    "a late failure is refused",
    "what a lost answer delivered is found",
    "a poison message is dead-lettered",
    "a message is dead-lettered after its last retry",
    "a worker that is not sure of its lease runs what another runs",
    "every message is done",
];

fn possible() -> Vec<Property<Protocol>> {
    let [late_success, late_failure, found, poison, failed, two_runs, done] = POSSIBLE;
    vec![
        Property::sometimes(late_success, |_, state| any(state, |past| past.late_success)),
        Property::sometimes(late_failure, |_, state| any(state, |past| past.refused)),
        Property::sometimes(found, |_, state| any(state, |past| past.found)),
        Property::sometimes(poison, |_, state| dead_lettered(state, Reason::Poison)),
        Property::sometimes(failed, |_, state| dead_lettered(state, Reason::Failed)),
        Property::sometimes(two_runs, |_, state| runs(state, 0, |_| true) > 1),
        Property::sometimes(INTERRUPTED, |_, state| any(state, |past| past.interrupted)),
        Property::sometimes(RAISED, |_, state: &State| state.history.raised),
        Property::sometimes(TAKEN_OVER, |_, state: &State| state.history.taken_over),
        Property::sometimes(FOLLOWED, |_, state: &State| state.history.followed),
        Property::sometimes(done, |_, state: &State| has_ended(state) && state.storage.dead.is_empty()),
    ]
}

/// All of them.
pub(crate) fn all() -> Vec<Property<Protocol>> {
    promised().into_iter().chain(possible()).collect()
}

/// Takes note of messages that are nowhere any more.
pub(crate) fn note_ends(state: &mut State) {
    for (at, past) in (0..).zip(&mut state.history.pasts) {
        past.ended |= past.accepted && state.storage.places(at) == 0;
    }
}

/// Whether it holds for every message, given its past and in how many places it is.
fn each(state: &State, holds: impl Fn(&Past, usize) -> bool) -> bool {
    (0..).zip(&state.history.pasts).all(|(at, past)| holds(past, state.storage.places(at)))
}

fn any(state: &State, holds: impl Fn(&Past) -> bool) -> bool {
    state.history.pasts.iter().any(holds)
}

fn dead_lettered(state: &State, why: Reason) -> bool {
    state.storage.dead.iter().any(|(_, reason)| *reason == why)
}

/// Whether each slot that is taken is that of a message in flight, or on its way there.
fn slots_fit(state: &State) -> bool {
    let taken = state.storage.gate.iter().flat_map(|gate| gate.taken.iter().enumerate());
    taken.into_iter().all(|(key, taken)| *taken == state.storage.granted(key))
}

/// How many workers of some kind run a message.
fn runs(state: &State, message: u8, of: impl Fn(&Worker) -> bool) -> usize {
    let runs = state.workers.iter().filter(|worker| of(worker)).flat_map(|worker| &worker.runs);
    runs.filter(|run| run.phase == Phase::Running && run.delivery.id.message == message).count()
}

/// Whether every message is done or a dead letter, and no one holds or awaits one.
fn has_ended(state: &State) -> bool {
    let in_hand = |worker: &Worker| {
        !worker.runs.is_empty() || worker.recovered.is_some() || matches!(worker.read, Read::Answered(_))
    };
    let is_waiting = state.storage.gate.iter().any(|gate| gate.lanes.iter().any(|lane| !lane.is_empty()));
    state.storage.entries.is_empty()
        && state.storage.later.is_empty()
        && !is_waiting
        && !state.workers.iter().any(in_hand)
}
