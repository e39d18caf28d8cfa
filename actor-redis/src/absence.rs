//! Whether the server can be connected, as it is logged: once when it goes and once when it is back, and not for
//! each connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a connection that was tried in vain counts as one that is wanted: whoever wants it tries more often.
const WANTED: Duration = Duration::from_secs(5);

/// What is known of a server's absence.
#[derive(Debug, Default)]
pub(crate) struct Absence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The connections that are tried in vain, and when each was last.
    failing: HashMap<u64, Instant>,
    /// When one was last made. Until then the absence is the caller's error, and no change.
    met: Option<Instant>,
    /// When the absence was logged whose end was not.
    logged: Option<Instant>,
}

impl Absence {
    /// Connection `number` was made. Whether to log that the server is back.
    pub(crate) fn is_over(&self, number: u64, now: Instant) -> bool {
        let mut state = self.lock();
        state.met = Some(now);
        state.failing.remove(&number);
        state.forget(now);
        state.failing.is_empty() && state.logged.take().is_some()
    }

    /// Connection `number` was tried in vain. Whether to log that the server is away.
    pub(crate) fn begins(&self, number: u64, now: Instant) -> bool {
        let mut state = self.lock();
        state.forget(now);
        // Where an absence was logged and connections were made since, that one is over.
        let is_new = state.failing.is_empty() && state.met.is_some() && state.met > state.logged;
        state.failing.insert(number, now);
        if is_new {
            state.logged = Some(now);
        }
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets the connections that nobody wants any more.
    fn forget(&mut self, now: Instant) {
        self.failing.retain(|_, tried| now < *tried + WANTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_absence_is_logged_once_with_however_many_connections() {
        let (absence, start) = (Absence::default(), Instant::now());
        assert!(!absence.begins(1, start), "it was never there");
        assert!(!absence.is_over(1, start), "its absence was not logged");
        assert!(absence.begins(1, start + SECOND));
        assert!(!absence.begins(2, start + SECOND));
        assert!(!absence.begins(1, start + 20 * SECOND), "it is still away");
        assert!(!absence.begins(2, start + 20 * SECOND));
        assert!(!absence.is_over(2, start + 21 * SECOND), "another is still refused");
        assert!(!absence.begins(1, start + 22 * SECOND));
        assert!(absence.is_over(1, start + 23 * SECOND));
    }

    #[test]
    fn a_server_that_refuses_some_connections_is_logged_once() {
        let (absence, start) = (Absence::default(), Instant::now());
        absence.is_over(1, start);
        assert!(absence.begins(2, start + SECOND));
        for n in 2..100 {
            assert!(!absence.is_over(1, start + n * SECOND) && !absence.begins(2, start + n * SECOND));
        }
        assert!(absence.is_over(2, start + 100 * SECOND));
    }

    #[test]
    fn a_connection_that_nobody_wants_any_more_hides_no_later_absence() {
        let (absence, start) = (Absence::default(), Instant::now());
        absence.is_over(1, start);
        assert!(absence.begins(1, start + SECOND));
        assert!(!absence.begins(2, start + SECOND));
        assert!(!absence.is_over(1, start + 2 * SECOND));
        assert!(absence.begins(1, start + 60 * SECOND));
        assert!(absence.is_over(1, start + 61 * SECOND));
    }
}
