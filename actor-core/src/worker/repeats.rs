//! Sums up what happens to many messages of a queue, so that it is logged once a minute and not for each of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::QueueName;
use crate::digest::Digest;

/// How many different things are told apart: their names come with the messages, from anybody.
const MOST: usize = 1_000;

/// What stands for all others once there are too many.
const OTHERS: &str = "others";

/// How often something happened since it was last logged, by queue and by what it happened to.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Mutex<HashMap<(QueueName, String), Digest>>);

impl Repeats {
    /// Notes that it happened once more. How often it did since it was last logged, where it is to be logged now.
    pub(crate) fn note(&self, queue: &QueueName, what: &str) -> Option<u64> {
        let mut repeats = self.lock();
        let mut key = (queue.clone(), what.to_owned());
        if repeats.len() >= MOST && !repeats.contains_key(&key) {
            repeats.retain(|_, digest| !digest.is_over());
            if repeats.len() >= MOST {
                OTHERS.clone_into(&mut key.1);
            }
        }
        repeats.entry(key).or_default().add(1)
    }

    /// What of a queue has waited long enough to be logged, with how often it happened; all of it, `at_once`.
    pub(crate) fn due(&self, queue: &QueueName, at_once: bool) -> Vec<(String, u64)> {
        let mut repeats = self.lock();
        let of_queue = repeats.iter_mut().filter(|((of, _), _)| of == queue);
        let due = of_queue.map(|((_, what), digest)| (what, if at_once { digest.rest() } else { digest.add(0) }));
        due.filter_map(|(what, count)| Some((what.clone(), count?))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(QueueName, String), Digest>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_is_logged_at_once_and_the_rest_by_its_number() {
        let (repeats, queue) = (Repeats::default(), QueueName::declared("mail"));
        assert_eq!(repeats.note(&queue, "late"), Some(1));
        for _ in 0..500 {
            assert_eq!(repeats.note(&queue, "late"), None);
        }
        assert_eq!(repeats.note(&queue, "other"), Some(1));
        assert_eq!(repeats.due(&queue, false), []);
        assert_eq!(repeats.due(&QueueName::declared("reports"), true), []);
        assert_eq!(repeats.due(&queue, true), [("late".to_owned(), 500)]);
        assert_eq!(repeats.due(&queue, true), []);
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let (repeats, queue) = (Repeats::default(), QueueName::declared("mail"));
        for number in 0..10 * MOST {
            repeats.note(&queue, &number.to_string());
        }
        assert!(repeats.lock().len() <= MOST + 1);
        assert_eq!(repeats.due(&queue, true), [(OTHERS.to_owned(), 9 * MOST as u64 - 1)]);
    }
}
