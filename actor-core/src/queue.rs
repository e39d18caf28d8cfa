//! A queue, declared once with its limits.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::QueueName;

/// The longest time that a rate is for, in seconds: a year.
pub(crate) const LONGEST_RATE: u64 = 366 * 24 * 3600;

/// A queue with limits, declared once in the crate that producer and worker share.
///
/// `#[actor(queue = "mail")]` is enough for a queue without limits. One with limits is a `static`, which its
/// actors name:
///
/// ```
/// use std::time::Duration;
/// use actor_core::{Limit, Queue, actor};
///
/// pub static CALLS: Queue = Queue::new("calls")
///     .concurrency(50)
///     .per_key(Limit::new().concurrency(2).rate(100, Duration::from_mins(1)))
///     .fair();
///
/// #[actor(queue = CALLS, key = customer)]
/// async fn call_api(customer: u64, url: String) {
///     println!("{customer}: {url}");
/// }
/// ```
///
/// Limits hold over all workers. A message that must wait for one waits in its *lane*, of which each
/// [key](crate::Message::key) has one, before it is delivered: no attempt is spent, nobody polls for it, and a worker
/// that dies keeps no slot. `docs/limits.md` says how they work.
///
/// All declarations of one name must have the same limits: [`install`](crate::install) and workers refuse to start
/// otherwise, and name both places.
#[derive(Clone, Copy)]
pub struct Queue {
    name: &'static str,
    limits: Limits,
    at: &'static Location<'static>,
}

impl Queue {
    /// A queue without limits. The name has 1 to 128 of the characters `A-Z a-z 0-9 _ - .`
    ///
    /// # Panics
    ///
    /// The name is none. In a `static` or `const` that is an error of the compiler's.
    #[must_use]
    #[track_caller]
    pub const fn new(name: &'static str) -> Self {
        assert!(is_name(name.as_bytes()), "a queue's name has 1 to 128 of the characters A-Z a-z 0-9 _ - .");
        Self { name, limits: Limits::NONE, at: Location::caller() }
    }

    /// At most this many of its messages are in flight at a time, over all workers. Default: as many as the workers
    /// have slots. A message's [`cost`](crate::Message::cost) counts as that many.
    ///
    /// # Panics
    ///
    /// It is 0.
    #[must_use]
    pub const fn concurrency(mut self, max: u32) -> Self {
        self.limits.queue = self.limits.queue.concurrency(max);
        self
    }

    /// Starts at most this many of its messages in each span of time, over all workers. Default: no limit.
    ///
    /// See [`Limit::rate`] for how it counts.
    ///
    /// # Panics
    ///
    /// `starts` is 0, or `per` is zero or longer than a year.
    #[must_use]
    pub const fn rate(mut self, starts: u32, per: Duration) -> Self {
        self.limits.queue = self.limits.queue.rate(starts, per);
        self
    }

    /// How many of its messages may start at once after a pause, within its [rate](Self::rate). Default: what starts
    /// in 100 ms, and at least 1.
    ///
    /// # Panics
    ///
    /// It is 0, or the queue has no rate.
    #[must_use]
    pub const fn burst(mut self, starts: u32) -> Self {
        self.limits.queue = self.limits.queue.burst(starts);
        self
    }

    /// Limits each [key](crate::Message::key) of the queue. Messages without a key share one lane.
    #[must_use]
    pub const fn per_key(mut self, limit: Limit) -> Self {
        self.limits.per_key = limit;
        self
    }

    /// Shares the workers' time among the keys: whose messages have run least goes first, measured by how long they
    /// ran. Default: lanes take turns, a message each.
    #[must_use]
    pub const fn fair(mut self) -> Self {
        self.limits.fair = true;
        self
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its limits.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Where it is declared.
    pub(crate) const fn at(&self) -> &'static Location<'static> {
        self.at
    }

    pub(crate) fn queue_name(&self) -> QueueName {
        QueueName::declared(self.name)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.name).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// What a queue declares: limits of all of it, and of each key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// Of the whole queue.
    pub queue: Limit,
    /// Of each key.
    pub per_key: Limit,
    /// Whether keys share the workers' time by how long their messages run.
    pub fair: bool,
}

impl Limits {
    const NONE: Self = Self { queue: Limit::new(), per_key: Limit::new(), fair: false };

    /// Whether anything is limited or shared. Where not, messages have no lanes.
    #[must_use]
    pub const fn is_gated(&self) -> bool {
        self.fair || self.queue.is_set() || self.per_key.is_set()
    }
}

/// A limit of concurrency, of rate, or of both, over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "it limits nothing until it is given to a queue"]
pub struct Limit {
    concurrency: Option<u32>,
    rate: Option<Rate>,
}

impl Limit {
    /// No limit.
    pub const fn new() -> Self {
        Self { concurrency: None, rate: None }
    }

    /// At most this many in flight at a time. Default: no limit.
    ///
    /// # Panics
    ///
    /// It is 0.
    pub const fn concurrency(mut self, max: u32) -> Self {
        assert!(max > 0, "a limit of 0 lets nothing run: pause the lane or the queue instead");
        self.concurrency = Some(max);
        self
    }

    /// Starts at most this many in each span of time. Default: no limit.
    ///
    /// It is enforced by the generic cell rate algorithm: starts are spread evenly over `per`, and what was not used
    /// in a pause may follow at once, up to the [burst](Self::burst).
    /// Source: ITU-T Recommendation I.371, "Traffic control and congestion control in B-ISDN".
    ///
    /// # Panics
    ///
    /// `starts` is 0, or `per` is zero or longer than a year.
    pub const fn rate(mut self, starts: u32, per: Duration) -> Self {
        assert!(starts > 0, "a rate of 0 lets nothing run: pause the lane or the queue instead");
        assert!(!per.is_zero() && per.as_secs() <= LONGEST_RATE, "a rate is for a time of up to a year");
        let in_100_ms = (starts as u128 * 100_000_000) / per.as_nanos();
        #[allow(clippy::cast_possible_truncation)] // No more than `starts`.
        let burst = if in_100_ms < 1 {
            1
        } else if in_100_ms < starts as u128 {
            in_100_ms as u32
        } else {
            starts
        };
        self.rate = Some(Rate { starts, per, burst });
        self
    }

    /// How many may start at once after a pause. Default: what the rate starts in 100 ms, and at least 1.
    ///
    /// # Panics
    ///
    /// It is 0, or there is no rate.
    pub const fn burst(mut self, starts: u32) -> Self {
        assert!(starts > 0, "a burst is at least 1");
        let Some(rate) = self.rate else { panic!("a burst belongs to a rate: set the rate first") };
        self.rate = Some(Rate { burst: starts, ..rate });
        self
    }

    /// How many may be in flight at a time.
    #[must_use]
    pub const fn max_concurrency(&self) -> Option<u32> {
        self.concurrency
    }

    /// How many may start in a time.
    #[must_use]
    pub const fn max_rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Whether it limits anything.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        self.concurrency.is_some() || self.rate.is_some()
    }
}

/// How many messages may start in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rate {
    /// So many.
    pub starts: u32,
    /// In so long.
    pub per: Duration,
    /// How many at once after a pause.
    pub burst: u32,
}

impl Rate {
    /// The time from one start to the next when all of it is used.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.per / self.starts
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.fmt(f)?;
        if self.per_key.is_set() {
            write!(f, ", per key {}", self.per_key)?;
        }
        if self.fair { f.write_str(", fair") } else { Ok(()) }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.concurrency, self.rate) {
            (None, None) => f.write_str("no limit"),
            (Some(max), None) => write!(f, "{max} at a time"),
            (None, Some(rate)) => rate.fmt(f),
            (Some(max), Some(rate)) => write!(f, "{max} at a time, {rate}"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {:?} (burst {})", self.starts, self.per, self.burst)
    }
}

/// The rule of [`QueueName`], where constants are evaluated.
pub(crate) const fn is_name(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        if !(name[at].is_ascii_alphanumeric() || matches!(name[at], b'_' | b'-' | b'.')) {
            return false;
        }
        at += 1;
    }
    !name.is_empty() && name.len() <= 128
}

// The page is compiled with the crate that can run what it shows.
#[cfg(doctest)]
#[doc = include_str!("../../docs/limits.md")]
mod page {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_here_where_it_is_one_everywhere() {
        for name in ["mail", "a.b-c_D9", "", "a b", "a{b}", "ü", &"x".repeat(128), &"x".repeat(129)] {
            assert_eq!(is_name(name.as_bytes()), QueueName::new(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_burst_is_what_starts_in_a_tenth_of_a_second_unless_it_is_set() {
        let burst = |starts, per| Limit::new().rate(starts, per).max_rate().unwrap().burst;
        let second = Duration::from_secs(1);
        assert_eq!(burst(1_000, second), 100);
        assert_eq!(burst(3, second), 1);
        assert_eq!(burst(u32::MAX, Duration::from_nanos(1)), u32::MAX);
        assert_eq!(Limit::new().rate(10, second).burst(7).max_rate().unwrap().burst, 7);
    }

    #[test]
    fn only_a_queue_with_a_limit_or_a_share_is_gated() {
        let one = Limit::new().concurrency(1);
        assert!(!Queue::new("mail").limits().is_gated());
        for queue in [Queue::new("q").concurrency(1), Queue::new("q").per_key(one), Queue::new("q").fair()] {
            assert!(queue.limits().is_gated());
        }
    }
}
