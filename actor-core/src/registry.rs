//! The actors and implementations that are linked into this binary, collected by the linker.

mod signatures;

use std::collections::BTreeMap;

use linkme::distributed_slice;

pub use self::signatures::{SignatureError, check_signatures, signatures};
use crate::actor::{ActorDef, ImplementationDef, Location};
use crate::causes::debug_as_shown;
use crate::queue::{Limits, Queue};

// The name of the static alone names the linker section, so it must be unique in the program.

/// Every declared actor.
#[doc(hidden)]
#[distributed_slice]
pub static ACTOR_CORE_DECLARATIONS: [&'static ActorDef];

/// Every implementation.
#[doc(hidden)]
#[distributed_slice]
pub static ACTOR_CORE_IMPLEMENTATIONS: [&'static ImplementationDef];

/// Whether this platform's linker drops the registry, unless it is set to keep all sections.
///
/// Known by the platform's name: to detect it, this crate would need an element of its own, and
/// `#[link_section]` is `unsafe` here.
pub(crate) const DROPS: bool = cfg!(all(windows, target_env = "gnu"));

/// Every declared actor that is linked into this binary.
///
/// The linker drops a crate that has only actors unless the binary names it: write `use tasks as _;`.
pub fn actors() -> impl Iterator<Item = &'static ActorDef> {
    ACTOR_CORE_DECLARATIONS.iter().copied()
}

/// Every implementation that is linked into this binary.
pub fn implementations() -> impl Iterator<Item = &'static ImplementationDef> {
    ACTOR_CORE_IMPLEMENTATIONS.iter().copied()
}

/// Checks that each linked actor is declared once and implemented at most once, and that all declarations of a queue
/// have the same limits.
///
/// `install` and workers check this when they start. A test in a crate that depends on all the others
/// finds the mistake before a deploy:
///
/// ```
/// # fn main() {
/// actor_core::registry::check().unwrap();
/// # }
/// ```
///
/// [`check_signatures`] finds what a deploy would break.
///
/// # Errors
///
/// Names each actor that is declared or implemented twice, and each queue that is declared with different limits, with
/// both places.
pub fn check() -> Result<(), RegistryError> {
    RegistryError::of(problems(actors(), implementations()))
}

/// Checks the same as [`check`], and that each linked actor is implemented. For a test of the worker's
/// crate.
///
/// # Errors
///
/// As for [`check`]. It also names each actor that has no implementation.
pub fn check_complete() -> Result<(), RegistryError> {
    check()?;
    let missing = actors().filter(|def| !implementations().any(|found| found.actor.name == def.name));
    RegistryError::of(missing.map(|def| Problem::Missing { actor: def.name, at: def.at }).collect())
}

/// What is wrong with any set of actors.
pub(crate) fn problems(
    actors: impl Iterator<Item = &'static ActorDef>,
    implementations: impl Iterator<Item = &'static ImplementationDef>,
) -> Vec<Problem> {
    let actors: Vec<_> = actors.collect();
    let queues = differing(actors.iter().map(|def| def.queue));
    let declared = contradictions(actors.iter().map(|def| (def.name, def.at)));
    let mut implemented = contradictions(implementations.map(|found| (found.actor.name, found.at)));
    // A second declaration with a body is one mistake, and reported once.
    implemented.retain(|actor, _| !declared.contains_key(actor));
    let declared = declared.into_iter().map(|(actor, places)| Problem::DeclaredTwice { actor, places });
    let implemented = implemented.into_iter().map(|(actor, places)| Problem::ImplementedTwice { actor, places });
    declared.chain(implemented).chain(queues).collect()
}

/// The queues of which two declarations have different limits.
fn differing(queues: impl Iterator<Item = &'static Queue>) -> Vec<Problem> {
    let mut all: BTreeMap<&'static str, Vec<&'static Queue>> = BTreeMap::new();
    for queue in queues {
        let declared = all.entry(queue.name()).or_default();
        if !declared.iter().any(|known| known.limits() == queue.limits()) {
            declared.push(queue);
        }
    }
    all.retain(|_, declared| declared.len() > 1);
    let place = |queue: &&'static Queue| (queue.at().to_string(), *queue.limits());
    let mut problems = Vec::new();
    for (queue, declared) in all {
        let mut places: Vec<_> = declared.iter().map(place).collect();
        places.sort_by(|one, other| one.0.cmp(&other.0));
        problems.push(Problem::QueueDiffers { queue, places });
    }
    problems
}

/// The names with more than one place. Equal places are one: a crate whose dev-dependency depends on it
/// is linked twice into its own tests.
fn contradictions(named: impl Iterator<Item = (&'static str, Location)>) -> BTreeMap<&'static str, Vec<Location>> {
    let mut all: BTreeMap<&'static str, Vec<Location>> = BTreeMap::new();
    for (name, at) in named {
        let places = all.entry(name).or_default();
        if !places.contains(&at) {
            places.push(at);
            places.sort_by_key(|at| (at.krate, at.version, at.file, at.line));
        }
    }
    all.retain(|_, places| places.len() > 1);
    all
}

/// What is wrong with the linked actors.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct RegistryError(Vec<Problem>);

impl RegistryError {
    fn of(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }
}

debug_as_shown!(RegistryError);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("actor `{actor}` is declared twice:{}", list(places))]
    DeclaredTwice { actor: &'static str, places: Vec<Location> },
    #[error("actor `{actor}` is implemented twice:{}", list(places))]
    ImplementedTwice { actor: &'static str, places: Vec<Location> },
    #[error(
        "queue `{queue}` is declared with different limits: declare it once as a `static`, and write `queue = ITS_NAME` \
         at each actor:{}",
        places.iter().map(|(at, limits)| format!("\n  {at}: {limits}")).collect::<String>()
    )]
    QueueDiffers { queue: &'static str, places: Vec<(String, Limits)> },
    #[error("actor `{actor}` has no implementation: it is declared at {at}")]
    Missing { actor: &'static str, at: Location },
}

fn list(places: &[Location]) -> String {
    places.iter().map(|at| format!("\n  {at}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Options;

    const fn declared(krate: &'static str, version: &'static str, line: u32) -> ActorDef {
        let at = Location::new(krate, version, "tasks", "tasks/src/lib.rs", line);
        const VIDEO: &Queue = &Queue::new("video");
        ActorDef::new("process_video", VIDEO, &[], Options::DEFAULT, at, false)
    }

    fn check(actors: &[&'static ActorDef]) -> Result<(), RegistryError> {
        RegistryError::of(problems(actors.iter().copied(), std::iter::empty()))
    }

    #[test]
    fn two_crates_that_declare_one_actor_are_both_named() {
        const ONE: &ActorDef = &declared("tasks", "0.1.0", 21);
        const OTHER: &ActorDef = &declared("dup", "0.1.0", 3);
        assert_eq!(
            check(&[ONE, OTHER]).unwrap_err().to_string(),
            "actor `process_video` is declared twice:\n  tasks/src/lib.rs:3 (crate dup 0.1.0)\n  \
             tasks/src/lib.rs:21 (crate tasks 0.1.0)"
        );
    }

    #[test]
    fn two_queues_of_one_name_with_other_limits_are_both_named_and_with_equal_ones_are_one() {
        const fn of(name: &'static str, queue: &'static Queue) -> ActorDef {
            ActorDef::new(name, queue, &[], Options::DEFAULT, Location::new("tasks", "0.1.0", "", "", 1), false)
        }
        const ONE: &Queue = &Queue::new("calls").concurrency(5);
        const SAME: &Queue = &Queue::new("calls").concurrency(5);
        const OTHER: &Queue = &Queue::new("calls").concurrency(6);
        const A: &ActorDef = &of("a", ONE);
        const B: &ActorDef = &of("b", SAME);
        const C: &ActorDef = &of("c", OTHER);
        assert_eq!(check(&[A, B]), Ok(()));
        let error = check(&[A, C]).unwrap_err().to_string();
        for (queue, limit) in [(ONE, "5 at a time"), (OTHER, "6 at a time")] {
            assert!(error.contains(&format!("{}: {limit}", queue.at())), "{error}");
        }
    }

    #[test]
    fn two_versions_of_a_crate_are_two_places_and_one_crate_linked_twice_is_one() {
        const OLD: &ActorDef = &declared("tasks", "0.1.0", 21);
        const NEW: &ActorDef = &declared("tasks", "0.2.0", 21);
        assert!(check(&[OLD, NEW]).is_err());
        assert!(check(&[OLD, OLD]).is_ok());
    }
}
