//! Sums up what happens to many messages of a queue, so that it is logged a few times a minute and not for each of
//! them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::QueueName;
use crate::digest::InFull;

/// How many different things are kept apart: their names come with the messages, from anybody.
const MOST: usize = 1_000;

/// What stands for all others once there are too many.
const OTHERS: &str = "others";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Repeated {
    /// Messages that no actor here can run, by ability.
    Parked,
    /// Messages that failed and are retried, by actor.
    Failed,
    /// Dead letters, by actor.
    DeadLettered,
}

impl Repeated {
    /// How many of one kind are logged in full: each minute; or, of what is parked, in all.
    fn in_full(self) -> u32 {
        match self {
            Self::Parked => 1,
            Self::Failed | Self::DeadLettered => 10,
        }
    }
}

/// How often something happened beyond what was logged in full, by what it was, its queue, and the name of what it
/// happened to.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Mutex<HashMap<(Repeated, QueueName, String), Repeat>>);

#[derive(Debug, Default)]
struct Repeat {
    in_full: InFull,
    summed: u64,
}

pub(crate) type Sum = (Repeated, QueueName, String, u64);

impl Repeats {
    /// Notes that it happened once more. Whether it is to be logged in full; else it is summed up.
    pub(crate) fn note(&self, what: Repeated, queue: &QueueName, name: &str) -> bool {
        let now = Instant::now();
        let mut repeats = self.lock();
        let mut key = (what, queue.clone(), name.to_owned());
        if repeats.len() >= MOST && !repeats.contains_key(&key) {
            repeats.retain(|_, repeat| repeat.summed > 0 || !repeat.in_full.is_over(now));
            if repeats.len() >= MOST {
                OTHERS.clone_into(&mut key.2);
            }
        }
        // What is parked is logged in full once.
        let is_known = what == Repeated::Parked && repeats.contains_key(&key);
        let repeat = repeats.entry(key).or_default();
        let in_full = repeat.in_full.may_log(what.in_full(), now) && !is_known;
        repeat.summed += u64::from(!in_full);
        in_full
    }

    /// Whether it was noted before.
    pub(crate) fn is_noted(&self, what: Repeated, queue: &QueueName, name: &str) -> bool {
        self.lock().contains_key(&(what, queue.clone(), name.to_owned()))
    }

    /// The sums whose minute is over; all of them, `at_once`.
    pub(crate) fn due(&self, at_once: bool) -> Vec<Sum> {
        let now = Instant::now();
        let mut repeats = self.lock();
        let due =
            repeats.iter_mut().filter(|(_, repeat)| repeat.summed > 0 && (at_once || repeat.in_full.is_over(now)));
        due.map(|((what, queue, name), repeat)| {
            (*what, queue.clone(), name.clone(), std::mem::take(&mut repeat.summed))
        })
        .collect()
    }

    pub(crate) fn log(&self, at_once: bool) {
        for (what, queue, name, count) in self.due(at_once) {
            match what {
                Repeated::Parked => {
                    tracing::warn!(%queue, ability = name, count, "messages parked: no actor here can run them");
                }
                Repeated::Failed => {
                    tracing::warn!(%queue, actor = name, count, "more messages failed, will be retried");
                }
                Repeated::DeadLettered => {
                    tracing::error!(%queue, actor = name, count, "more messages dead-lettered");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Repeated, QueueName, String), Repeat>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_are_logged_in_full_and_the_rest_by_their_number() {
        let (repeats, queue) = (Repeats::default(), QueueName::declared("mail"));
        assert!(repeats.note(Repeated::Parked, &queue, "late"));
        for number in 0..500 {
            assert!(!repeats.note(Repeated::Parked, &queue, "late"));
            assert_eq!(repeats.note(Repeated::Failed, &queue, "late"), number < 10);
        }
        assert!(repeats.note(Repeated::Parked, &queue, "other"));
        assert_eq!(repeats.due(false), []);
        let mut due = repeats.due(true);
        due.sort_by_key(|(.., count)| *count);
        let late = |what, count| (what, queue.clone(), "late".to_owned(), count);
        assert_eq!(due, [late(Repeated::Failed, 490), late(Repeated::Parked, 500)]);
        assert_eq!(repeats.due(true), []);
    }

    #[test]
    fn in_a_later_minute_failures_are_logged_in_full_again_and_what_is_parked_is_not() {
        let (repeats, queue) = (Repeats::default(), QueueName::declared("mail"));
        for what in [Repeated::Parked, Repeated::Failed] {
            assert!(repeats.note(what, &queue, "late"));
        }
        repeats.lock().values_mut().for_each(|repeat| repeat.in_full = InFull::default());
        assert!(repeats.note(Repeated::Failed, &queue, "late"));
        assert!(!repeats.note(Repeated::Parked, &queue, "late"));
        assert_eq!(repeats.due(true), [(Repeated::Parked, queue, "late".to_owned(), 1)]);
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let (repeats, queue) = (Repeats::default(), QueueName::declared("mail"));
        for number in 0..10 * MOST {
            repeats.note(Repeated::Parked, &queue, &number.to_string());
        }
        assert!(repeats.lock().len() <= MOST + 1);
        let others = (Repeated::Parked, queue, OTHERS.to_owned(), 9 * MOST as u64 - 1);
        assert_eq!(repeats.due(true), [others]);
    }
}
