//! Where callers of one process wait for one limiter and key, in the order in which they came.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use super::Limiter;
use super::error::LimiterError;
use crate::Key;

/// Which limiter each name stands for in this process: the first that was used.
static DECLARED: Mutex<Vec<Limiter>> = Mutex::new(Vec::new());

/// Fails where another limiter of this name was used before.
pub(super) fn declared(limiter: Limiter) -> Result<(), LimiterError> {
    // Locked for moments only, by every acquisition. There are as many as a program declares.
    let mut declared = DECLARED.lock().unwrap_or_else(PoisonError::into_inner);
    match declared.iter().find(|first| first.name() == limiter.name()) {
        Some(first) if first.kind() != limiter.kind() => {
            Err(LimiterError::declared_twice(limiter.name(), first.at(), limiter.at()))
        }
        Some(_) => Ok(()),
        None => {
            declared.push(limiter);
            Ok(())
        }
    }
}

/// The line of one limiter and key.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Whose turn it is. It is fair: who came first is first.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// A permit was released in this process.
    pub(super) released: Notify,
}

/// The lines in which somebody waits, or of which somebody holds a permit.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<(&'static str, Key), Weak<Line>>,
    /// How many there may be before those that ended are looked for.
    enough: usize,
}

impl Lines {
    pub(super) fn get(&mut self, limiter: &'static str, key: &Key) -> Arc<Line> {
        if self.lines.len() > self.enough {
            self.lines.retain(|_, line| line.strong_count() > 0);
            self.enough = 2 * self.lines.len() + 64;
        }
        let line = self.lines.entry((limiter, key.clone())).or_default();
        line.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *line = Arc::downgrade(&new);
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn two_limiters_of_one_name_that_differ_are_refused_with_both_places() {
        let one = Limiter::concurrent("test.declared", 5);
        let same = Limiter::concurrent("test.declared", 5);
        let other = Limiter::bucket("test.declared", 5, Duration::from_secs(1));
        declared(one).unwrap();
        declared(same).unwrap();
        let error = declared(other).unwrap_err();
        assert!(error.is_invalid());
        for place in [one.at(), other.at()] {
            assert!(error.to_string().contains(&place.to_string()), "{error}");
        }
    }

    #[test]
    fn a_line_lasts_as_long_as_somebody_stands_in_it() {
        let mut lines = Lines::default();
        let key = |number: usize| Key::new(number.to_string()).unwrap();
        let first = lines.get("maps", &key(0));
        assert!(Arc::ptr_eq(&first, &lines.get("maps", &key(0))));
        assert!(!Arc::ptr_eq(&first, &lines.get("other", &key(0))));
        for number in 1..10_000 {
            lines.get("maps", &key(number));
        }
        assert!(lines.lines.len() < 200, "{} lines are kept", lines.lines.len());
        assert!(Arc::ptr_eq(&first, &lines.get("maps", &key(0))));
    }
}
