//! Values that are kept until a time.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use super::clock::Moment;

/// Values by key, each with when it ends.
#[derive(Debug)]
pub(super) struct Expiring<K, V> {
    values: HashMap<K, (V, Moment)>,
    ends: BTreeSet<(Moment, K)>,
}

impl<K, V> Default for Expiring<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), ends: BTreeSet::new() }
    }
}

impl<K: Copy + Eq + Hash + Ord, V> Expiring<K, V> {
    /// Drops what has ended.
    pub(super) fn tick(&mut self, now: Moment) {
        while let Some((end, key)) = self.ends.first().copied().filter(|(end, _)| *end <= now) {
            self.ends.remove(&(end, key));
            self.values.remove(&key);
        }
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.values.get(&key).map(|(value, _)| value)
    }

    pub(super) fn insert(&mut self, key: K, value: V, until: Moment) {
        self.remove(key);
        self.ends.insert((until, key));
        self.values.insert(key, (value, until));
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let (value, until) = self.values.remove(&key)?;
        self.ends.remove(&(until, key));
        Some(value)
    }
}
