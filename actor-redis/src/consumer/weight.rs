//! What the messages of a queue weigh, as one consumer has seen them: Redis bounds a read by number alone, and
//! copying large bodies holds up everybody.

/// What one read should bring at most.
const MOST_BYTES: usize = 1 << 20;
/// How many a read asks for while nothing is known.
const UNKNOWN: usize = 8;
/// How many a read asks for that waits: what was seen before may be long ago.
const WAITING: usize = 32;
/// How many of the largest a read may bring, where it asks for more because most are small.
const LARGE_AT_ONCE: usize = 8;
/// A claim that has brought this reads no further.
pub(crate) const ENOUGH: usize = MOST_BYTES / 2;

/// What messages weigh.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight(Option<Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    /// Of a message in the last read; where those before brought heavier ones, it follows step by step.
    average: usize,
    /// The largest message, halved with each read since.
    largest: usize,
}

impl Weight {
    /// How many messages to ask for, where up to `max` are wanted.
    pub(crate) fn ask(self, max: usize, waits: bool) -> usize {
        let fit = match self.0 {
            Some(Known { average, largest }) => MOST_BYTES / average.max(largest / LARGE_AT_ONCE).max(1),
            None => UNKNOWN,
        };
        let most = if waits { WAITING } else { usize::MAX };
        fit.min(most).min(max).max(1)
    }

    /// Takes in the bytes of each message that a read brought.
    pub(crate) fn observe(&mut self, messages: impl Iterator<Item = usize>) {
        let (mut count, mut bytes, mut largest) = (0, 0, 0);
        for size in messages {
            (count, bytes, largest) = (count + 1, bytes + size, largest.max(size));
        }
        if count == 0 {
            return;
        }
        let now = bytes / count;
        self.0 = Some(match self.0 {
            Some(known) => {
                Known { average: now.max((known.average + now) / 2), largest: largest.max(known.largest / 2) }
            }
            None => Known { average: now, largest },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(reads: &[(usize, usize)]) -> Weight {
        let mut weight = Weight::default();
        for (count, each) in reads {
            weight.observe(std::iter::repeat_n(*each, *count));
        }
        weight
    }

    #[test]
    fn little_is_asked_for_until_something_is_known_and_small_ones_then_come_in_full() {
        assert_eq!(after(&[]).ask(512, false), UNKNOWN);
        assert_eq!(after(&[]).ask(3, false), 3);
        assert_eq!(after(&[(8, 300)]).ask(512, false), 512);
        assert_eq!(after(&[(8, 300)]).ask(512, true), WAITING);
    }

    #[test]
    fn large_ones_come_one_by_one_and_small_ones_after_them_in_full_again_soon() {
        assert_eq!(after(&[(8, 1 << 20)]).ask(512, false), 1);
        assert_eq!(after(&[(8, 300), (512, 1 << 20)]).ask(512, false), 1);
        let mut weight = after(&[(8, 1 << 20)]);
        let reads = (0..).take_while(|_| {
            let asked = weight.ask(512, false);
            weight.observe(std::iter::repeat_n(300, asked));
            asked < 512
        });
        assert!(reads.count() < 12);
    }

    #[test]
    fn one_large_one_among_many_small_ones_is_minded() {
        let mut weight = after(&[(8, 300)]);
        weight.observe(std::iter::repeat_n(300, 511).chain([1 << 20]));
        assert_eq!(weight.ask(512, false), 8);
    }
}
