//! Periods of time.

/// Periods of time, which may overlap.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<(u64, u64)>);

impl Windows {
    pub(super) fn add(&mut self, since: u64, until: u64) {
        self.0.push((since, until));
    }

    /// The union of both.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self
    }

    /// How much of the time between two times they cover.
    pub(super) fn between(&self, from: u64, to: u64) -> u64 {
        let cut = |(since, until): &(u64, u64)| ((*since).max(from), (*until).min(to));
        let mut windows: Vec<_> = self.0.iter().map(cut).filter(|(since, until)| since < until).collect();
        windows.sort_unstable();
        let (mut covered, mut counted) = (0, from);
        for (since, until) in windows {
            let since = since.max(counted);
            if until > since {
                covered += until - since;
                counted = until;
            }
        }
        covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_is_counted_once() {
        let mut windows = Windows::default();
        for (since, until) in [(10, 20), (15, 30), (50, 60), (52, 55)] {
            windows.add(since, until);
        }
        assert_eq!(windows.between(0, 100), 30);
        assert_eq!(windows.between(18, 53), 15);
        assert_eq!(windows.between(31, 49), 0);
    }
}
