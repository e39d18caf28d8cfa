//! Which messages ran, and when: the proof that each ran exactly once.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::Result;

/// Longer than any run takes: it ends a benchmark that hangs.
const HANG: Duration = Duration::from_secs(120);

/// Which messages of a run started, and when. A worker gives it to its actors as state.
#[derive(Debug)]
pub struct Tally {
    began: Instant,
    /// The number of the first message.
    first: u64,
    /// Nanoseconds from `began` to each message's start; 0 if it has not started.
    starts: Vec<AtomicU64>,
    started: AtomicU64,
    duplicates: AtomicU64,
    wanted: AtomicU64,
    reached: Notify,
}

impl Tally {
    /// For messages with these numbers, all of which must start.
    #[must_use]
    pub fn of(ids: Range<u64>) -> Self {
        let messages = ids.end - ids.start;
        Self {
            began: Instant::now(),
            first: ids.start,
            starts: (0..messages).map(|_| AtomicU64::new(0)).collect(),
            started: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            wanted: AtomicU64::new(messages),
            reached: Notify::new(),
        }
    }

    /// Records that message `n` has started.
    pub fn start(&self, n: u64) {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1);
        let cell = self.cell(n);
        if cell.is_none_or(|cell| cell.swap(now, Ordering::Relaxed) != 0) {
            self.duplicates.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.started.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted.load(Ordering::Relaxed) {
            self.reached.notify_one();
        }
    }

    /// Expects so many more to start.
    pub fn want_more(&self, messages: u64) {
        self.wanted.store(self.started() + messages, Ordering::Relaxed);
    }

    /// Waits until as many as expected have started.
    ///
    /// # Errors
    ///
    /// They did not start in time.
    pub async fn reached(&self) -> Result {
        let waited = tokio::time::timeout(HANG, async {
            while self.started() < self.wanted.load(Ordering::Relaxed) {
                self.reached.notified().await;
            }
        });
        let of = self.wanted.load(Ordering::Relaxed);
        Ok(waited.await.map_err(|_| format!("only {} of {of} messages were run", self.started()))?)
    }

    /// How many have started.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    /// The messages that have started.
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        (self.first..).zip(&self.starts).filter(|(_, start)| start.load(Ordering::Relaxed) != 0).map(|(n, _)| n)
    }

    /// When message `n` started, if it did.
    #[must_use]
    pub fn start_of(&self, n: u64) -> Option<Instant> {
        let start = self.cell(n)?.load(Ordering::Relaxed);
        (start != 0).then(|| self.began + Duration::from_nanos(start))
    }

    fn cell(&self, n: u64) -> Option<&AtomicU64> {
        self.starts.get(usize::try_from(n.checked_sub(self.first)?).ok()?)
    }

    /// Checks that every message ran exactly once.
    ///
    /// # Errors
    ///
    /// Some did not run, ran more than once, or were never sent.
    pub fn verify(&self) -> Result {
        self.verify_once()?;
        let (started, sent) = (self.started(), self.starts.len() as u64);
        if started == sent { Ok(()) } else { Err(format!("{started} of {sent} messages were run").into()) }
    }

    /// Checks that no message ran more than once.
    ///
    /// # Errors
    ///
    /// Some were, or were never sent.
    pub fn verify_once(&self) -> Result {
        match self.duplicates.load(Ordering::Relaxed) {
            0 => Ok(()),
            twice => Err(format!("{twice} runs of messages that were run before or never sent").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_of_each_message_exactly_once_is_good() {
        let tally = Tally::of(5..7);
        tally.start(5);
        assert!(tally.verify_once().is_ok() && tally.verify().is_err(), "one is missing");
        tally.start(6);
        assert!(tally.verify().is_ok());
        tally.start(6);
        assert!(tally.verify().is_err(), "one was run twice");
        assert!(tally.verify_once().is_err());
    }

    #[test]
    fn a_message_that_was_never_sent_is_bad() {
        let tally = Tally::of(5..6);
        tally.start(5);
        tally.start(4);
        assert!(tally.verify().is_err());
    }
}
