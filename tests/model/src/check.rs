//! Asking the model checker.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use crate::protocol::Protocol;
use crate::trace::Trace;

/// What was found in every state that can be reached.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// How many states there are.
    pub states: usize,
    /// The promises that some state breaks.
    pub broken: Vec<&'static str>,
    /// What did happen of what must be possible.
    pub happened: BTreeSet<&'static str>,
}

/// A machine that can be explored.
pub trait Machine:
    Model<State: Clone + Debug + Eq + Hash + Send + Sync, Action: Debug + PartialEq + Clone + Send + Sync>
    + Clone
    + Send
    + Sync
    + 'static
{
    /// Visits every state that can be reached.
    fn explore(&self) -> Verdict {
        let checker = self.clone().checker().threads(1).spawn_bfs().join();
        let mut verdict = Verdict { states: checker.unique_state_count(), ..Verdict::default() };
        for property in self.properties() {
            let found = checker.discovery(property.name).is_some();
            match property.expectation {
                Expectation::Sometimes if found => _ = verdict.happened.insert(property.name),
                Expectation::Sometimes => {}
                Expectation::Always | Expectation::Eventually if found => verdict.broken.push(property.name),
                Expectation::Always | Expectation::Eventually => {}
            }
        }
        verdict
    }

    /// The shortest way to a state that breaks a promise, of at most `longest` steps.
    fn shortest_path(&self, promise: &'static str, longest: usize) -> Option<Path<Self::State, Self::Action>> {
        // The checker keeps the last way that it finds, and goes on a while: so it may go so far and no
        // further, a step more each time.
        (1..=longest).find_map(|steps| {
            let until = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
            let checker = self.clone().checker().threads(1).finish_when(until).target_max_depth(steps + 2);
            checker.spawn_bfs().join().discovery(promise)
        })
    }

    /// Whether every way ends: no state is reached again from itself.
    fn every_way_ends(&self) -> bool {
        let mut known = HashMap::new();
        let mut way = Vec::new();
        for begin in self.init_states() {
            known.insert(begin.clone(), false);
            way.push((begin.clone(), self.next_states(&begin)));
        }
        while let Some((state, left)) = way.last_mut() {
            let Some(next) = left.pop() else {
                known.insert(state.clone(), true);
                way.pop();
                continue;
            };
            match known.get(&next) {
                Some(true) => {}
                Some(false) => return false,
                None => {
                    known.insert(next.clone(), false);
                    let after = self.next_states(&next);
                    way.push((next, after));
                }
            }
        }
        true
    }
}

impl<M> Machine for M where
    M: Model<State: Clone + Debug + Eq + Hash + Send + Sync, Action: Debug + PartialEq + Clone + Send + Sync>
        + Clone
        + Send
        + Sync
        + 'static
{
}

impl Protocol {
    /// The shortest way to a state that breaks a promise, of at most `longest` steps.
    pub fn shortest(&self, promise: &'static str, longest: usize) -> Option<Trace> {
        Some(Trace::new(self, promise, self.shortest_path(promise, longest)?))
    }
}
