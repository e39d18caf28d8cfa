//! Sums up what happens to many messages, so that it is logged once a minute and not for each of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::QueueName;

/// How often the same is logged at most.
const EVERY: Duration = Duration::from_secs(60);

/// How many different things are told apart: their names come with the messages, from anybody.
const MOST: usize = 1_000;

/// What stands for all others once there are too many.
const OTHERS: &str = "others";

/// What happened since it was last logged, by queue and by what it happened to.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Mutex<HashMap<(QueueName, String), Repeat>>);

#[derive(Debug)]
struct Repeat {
    logged: Instant,
    count: u64,
}

impl Repeats {
    /// Notes that it happened once more. How often it did since it was last logged, where it is to be logged now.
    pub(crate) fn note(&self, queue: &QueueName, what: &str, now: Instant) -> Option<u64> {
        let mut repeats = self.lock();
        let mut key = (queue.clone(), what.to_owned());
        if repeats.len() >= MOST && !repeats.contains_key(&key) {
            repeats.retain(|_, repeat| repeat.count > 0 || now < repeat.logged + EVERY);
            if repeats.len() >= MOST {
                OTHERS.clone_into(&mut key.1);
            }
        }
        let Some(repeat) = repeats.get_mut(&key) else {
            repeats.insert(key, Repeat { logged: now, count: 0 });
            return Some(1);
        };
        repeat.count += 1;
        repeat.take(now)
    }

    /// What of a queue has waited long enough to be logged, with how often it happened; all of it, `at_once`.
    pub(crate) fn due(&self, queue: &QueueName, at_once: bool, now: Instant) -> Vec<(String, u64)> {
        let mut repeats = self.lock();
        let of_queue = repeats.iter_mut().filter(|((of, _), _)| of == queue);
        let due = |((_, what), repeat): ((_, &String), &mut Repeat)| {
            let count = if at_once { std::mem::take(&mut repeat.count) } else { repeat.take(now)? };
            (count > 0).then(|| (what.clone(), count))
        };
        of_queue.map(|((queue, what), repeat)| ((queue, what), repeat)).filter_map(due).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(QueueName, String), Repeat>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repeat {
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self.count == 0 || now < self.logged + EVERY {
            return None;
        }
        self.logged = now;
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_at_once_and_the_rest_once_a_minute_with_their_number() {
        let (repeats, queue, start) = (Repeats::default(), QueueName::declared("mail"), Instant::now());
        assert_eq!(repeats.note(&queue, "late", start), Some(1));
        for _ in 0..500 {
            assert_eq!(repeats.note(&queue, "late", start + EVERY / 2), None);
        }
        assert_eq!(repeats.note(&queue, "other", start + EVERY / 2), Some(1));
        assert_eq!(repeats.due(&queue, false, start + EVERY / 2), []);
        assert_eq!(repeats.note(&queue, "late", start + EVERY), Some(501));
        repeats.note(&queue, "late", start + EVERY);
        assert_eq!(repeats.due(&QueueName::declared("reports"), true, start + EVERY), []);
        assert_eq!(repeats.due(&queue, false, start + 2 * EVERY), [("late".to_owned(), 1)]);
        repeats.note(&queue, "late", start + 2 * EVERY);
        assert_eq!(repeats.due(&queue, true, start + 2 * EVERY), [("late".to_owned(), 1)]);
        assert_eq!(repeats.due(&queue, true, start + 3 * EVERY), []);
    }

    #[test]
    fn names_without_end_take_no_memory_without_end() {
        let (repeats, queue, now) = (Repeats::default(), QueueName::declared("mail"), Instant::now());
        for number in 0..10 * MOST {
            repeats.note(&queue, &number.to_string(), now);
        }
        assert!(repeats.lock().len() <= MOST + 1);
        assert_eq!(repeats.due(&queue, true, now), [(OTHERS.to_owned(), 9 * MOST as u64 - 1)]);
    }
}
