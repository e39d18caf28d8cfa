//! What a worker will serve, and why it refuses to start.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::builder::WorkerBuilder;
use super::error::{Problem, WorkerError};
use crate::actor::{ActorDef, ImplementationDef};
use crate::context::States;
use crate::registry;
use crate::{Limits, QueueName};

/// What a worker will serve.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) queues: BTreeSet<QueueName>,
    /// The actors of this program that wait in queues which are not served, by queue.
    pub(crate) not_served: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// What the queues' declarations limit.
    pub(crate) limits: HashMap<&'static str, Limits>,
    /// What can run here, of whatever queue.
    pub(crate) implementations: HashMap<&'static str, &'static ImplementationDef>,
}

impl Plan {
    /// Plans with what is linked and what was registered by hand, if there are no `problems` then.
    pub(crate) fn make(builder: &WorkerBuilder, mut problems: Vec<Problem>) -> Result<Self, WorkerError> {
        let (only, also, states) = (builder.queues.as_ref(), &builder.also_served, &builder.states);
        let registered = builder.registered.iter().copied();
        let actors: Vec<_> = registry::actors().chain(registered.clone().map(|found| found.actor)).collect();
        let implementations: Vec<_> = registry::implementations().chain(registered).collect();
        let wrong = registry::problems(actors.iter().copied(), implementations.iter().copied());
        problems.extend(wrong.into_iter().map(Problem::Registry));
        let mut by_name: HashMap<_, _> = implementations.iter().map(|found| (found.actor.name, *found)).collect();
        if by_name.is_empty() {
            problems.push(nothing_to_run(registry::DROPS, actors.len()));
        }
        let implemented: BTreeSet<QueueName> = by_name.values().map(|found| found.actor.queue_name()).collect();
        let mut queues = only.cloned().unwrap_or_else(|| implemented.clone());
        queues.extend(also.iter().cloned());
        let names_are_right = !problems.iter().any(|problem| matches!(problem, Problem::QueueName(_)));
        if only.is_some() && queues.is_empty() && names_are_right {
            problems.push(Problem::NoQueue);
        }
        // A queue with a setting may be served by another worker of this program, but not by none.
        let known = |queue: &QueueName| implemented.contains(queue) || also.contains(queue);
        let asked: BTreeSet<_> = queues.iter().chain(builder.queue_concurrency.keys()).collect();
        problems.extend(asked.into_iter().filter(|queue| !known(queue)).cloned().map(Problem::EmptyQueue));
        problems.extend(states.given_twice().map(Problem::StateTwice));
        // By name, so that an actor which is linked twice is named once.
        let served: BTreeMap<&str, &ActorDef> =
            actors.iter().filter(|def| queues.contains(def.queue.name())).map(|def| (def.name, *def)).collect();
        for (name, def) in served {
            if def.cron.is_some() && builder.broker.schedules().is_none() {
                problems.push(Problem::NoSchedules { actor: name, at: def.at });
            }
            match by_name.get(name) {
                None => problems.push(Problem::Unimplemented { actor: name, at: def.at }),
                Some(found) => problems.extend(missing_states(found, states)),
            }
        }
        WorkerError::of(problems)?;
        // A message goes by its actor's name, whatever queue it waits in: what lacks its states here is
        // left for a worker that has them.
        by_name.retain(|_, found| missing_states(found, states).next().is_none());
        let mut not_served = BTreeMap::<_, BTreeSet<_>>::new();
        for def in actors.iter().filter(|def| !queues.contains(def.queue.name())) {
            not_served.entry(def.queue.name()).or_default().insert(def.name);
        }
        let limits = actors.iter().map(|def| (def.queue.name(), *def.queue.limits())).collect();
        Ok(Self { queues, not_served, limits, implementations: by_name })
    }

    /// The names of the actors that run from a queue.
    pub(crate) fn actors(&self, queue: &QueueName) -> impl Iterator<Item = &'static str> {
        let mut names: Vec<_> = self
            .implementations
            .values()
            .filter(|found| found.actor.queue.name() == queue.as_str())
            .map(|found| found.actor.name)
            .collect();
        names.sort_unstable();
        names.into_iter()
    }
}

fn nothing_to_run(linker_drops: bool, declared: usize) -> Problem {
    if linker_drops && declared == 0 { Problem::Dropped } else { Problem::NoActor { declared } }
}

fn missing_states(found: &'static ImplementationDef, states: &States) -> impl Iterator<Item = Problem> {
    found.states.iter().filter(|state| !states.has((state.id)())).map(|state| Problem::MissingState {
        actor: found.actor.name,
        state: states.missing((state.name)()),
        at: found.at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryBroker;

    #[test]
    fn a_program_without_actors_is_distinguished_from_a_linker_that_drops_them() {
        let error = Plan::make(&WorkerBuilder::new(MemoryBroker::new()), Vec::new()).unwrap_err();
        assert!(error.is_misconfigured());
        let text = error.to_string();
        assert!(text.contains("no actor is implemented in this program (0 declared): "), "{text}");
        assert!(text.contains("write `use tasks as _;`"), "{text}");
        let text = nothing_to_run(true, 0).to_string();
        assert!(text.contains("linker drops their registry") && text.contains(".register::<tasks::actor>()"), "{text}");
    }
}
