//! What stands in Redis: the outbox, and what the other queue knows of it.

use super::Child;

/// A message in the outbox, with its number.
pub type Entry = (u8, Child);

/// The outbox of a queue for another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Outbox {
    /// What waits there.
    pub entries: Vec<Entry>,
    /// The last number that was given.
    pub last: u8,
    /// Whether it is listed among the outboxes that hold something.
    pub listed: bool,
}

/// The other queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// The number of the last that arrived, or 0.
    pub last: u8,
    /// What was stored, in its order.
    pub stored: Vec<Child>,
}

impl Outbox {
    pub(super) fn put(&mut self, child: Child) {
        self.last += 1;
        self.entries.push((self.last, child));
        self.listed = true;
    }

    pub(super) fn remove(&mut self, entries: &[Entry]) {
        self.entries.retain(|(number, _)| !entries.iter().any(|(removed, _)| removed == number));
    }
}

impl Target {
    /// How many of these have arrived: what is older than the last that arrived has arrived too.
    pub(super) fn known(&self, entries: &[Entry]) -> usize {
        entries.iter().take_while(|(number, _)| *number <= self.last).count()
    }

    pub(super) fn store(&mut self, entries: &[Entry]) {
        self.stored.extend(entries.iter().map(|(_, child)| *child));
    }

    pub(super) fn note(&mut self, entries: &[Entry]) {
        if let Some((number, _)) = entries.last() {
            self.last = self.last.max(*number);
        }
    }
}
