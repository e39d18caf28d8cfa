//! Limiters: limits for use inside a run or an API, on the same storage.
//!
//! A [`Queue`](crate::Queue)'s limits decide when its messages start. A [`Limiter`] is asked by the code itself, for what
//! several queues or other programs share: a third party's API, a server that takes so many connections.
//! `docs/limits.md` says which to use when.

mod acquiring;
mod acquisition;
mod error;
mod hub;
mod keeper;
mod lease;
mod line;
mod permit;
mod seam;

use std::fmt;
use std::panic::Location;
use std::time::Duration;

pub use self::acquiring::Acquiring;
pub use self::acquisition::Acquisition;
pub use self::error::LimiterError;
pub(crate) use self::error::retry_after;
pub use self::permit::Permit;
pub use self::seam::{Acquire, Acquired, Changed, Held, Holder, Limiters, Usage};
use crate::queue::{LONGEST_RATE, is_name};
use crate::{Context, Limit, Rate};

/// The largest number of a window, whose times are kept one by one.
const LARGEST_WINDOW: u32 = 100_000;

/// How long a permit of a concurrent limiter is held after its last renewal, by the storage's clock.
pub const LEASE: Duration = Duration::from_secs(10);

/// A limit that code asks for: in a run, in a request handler, anywhere a broker is.
///
/// It is a `static` in the crate that its users share. What is used of it is kept by the broker, so it holds over all
/// processes:
///
/// ```
/// use std::time::Duration;
/// use actor_core::limiter::Limiter;
/// use actor_core::{Failure, MemoryBroker, actor};
///
/// const SECOND: Duration = Duration::from_secs(1);
/// const DAY: Duration = Duration::from_secs(24 * 3600);
///
/// /// 100 a second, evenly; 20 at once after a pause.
/// pub static GEOCODER: Limiter = Limiter::bucket("geocoder", 100, SECOND).burst(20);
/// /// Never more than 1,000 in any 24 hours.
/// pub static SMS: Limiter = Limiter::window("sms", 1_000, DAY);
/// /// At most five connections at a time.
/// pub static FTP: Limiter = Limiter::concurrent("ftp", 5);
///
/// #[actor(queue = "files")]
/// async fn fetch(path: String) -> Result<(), Failure> {
///     // A refusal spends no attempt: the message runs again when there may be a permit.
///     let _permit = FTP.try_acquire().await?;
///     println!("{path}");
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// actor_core::install(MemoryBroker::new())?;
/// // This one waits its turn.
/// let _permit = GEOCODER.acquire().await?;
/// // A limit of each customer, of which this takes three.
/// let _permit = SMS.key("customer-7").cost(3).try_acquire().await?;
/// # Ok(())
/// # }
/// ```
///
/// Each acquisition is judged by the definition that it comes with, against all that is used of the name. During a
/// rolling deploy that changes a definition, each process keeps to its own. In one process, all declarations of a name
/// must be equal: an acquisition of a second one fails, and names both places.
#[derive(Clone, Copy)]
pub struct Limiter {
    name: &'static str,
    kind: LimiterKind,
    at: &'static Location<'static>,
}

/// What a limiter limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimiterKind {
    /// So many in a time, evenly, and a burst after a pause.
    Bucket(Rate),
    /// So many in any span of time.
    Window {
        /// So many: 100,000 at most.
        max: u32,
        /// In any span of this length.
        span: Duration,
    },
    /// So many at a time.
    Concurrent {
        /// So many.
        max: u32,
    },
}

impl Limiter {
    /// Lets `max` through in each `per`, evenly: the next one may go `per / max` after the last. What was not used in a
    /// pause may follow at once, up to the [burst](Self::burst).
    ///
    /// The name has 1 to 128 of the characters `A-Z a-z 0-9 _ - .`
    ///
    /// # Panics
    ///
    /// The name is none, `max` is 0, or `per` is zero or longer than a year. In a `static` or `const` that is an error of
    /// the compiler's, as for all of these constructors.
    #[must_use]
    #[track_caller]
    pub const fn bucket(name: &'static str, max: u32, per: Duration) -> Self {
        check(name, max);
        let Some(rate) = Limit::new().rate(max, per).max_rate() else { panic!("a rate was just set") };
        Self { name, kind: LimiterKind::Bucket(rate), at: Location::caller() }
    }

    /// Lets at most `max` through in any span of this length, wherever it begins: no edge of a minute or a day lets twice
    /// as many through. Until that is reached, all may go at once.
    ///
    /// It keeps a time for each, so `max` is 100,000 at most. [`bucket`](Self::bucket) has no such bound.
    ///
    /// # Panics
    ///
    /// The name is none, `max` is 0 or more than 100,000, or `span` is zero or longer than a year.
    #[must_use]
    #[track_caller]
    pub const fn window(name: &'static str, max: u32, span: Duration) -> Self {
        check(name, max);
        assert!(max <= LARGEST_WINDOW, "a window counts up to 100,000: use a bucket");
        assert!(!span.is_zero() && span.as_secs() <= LONGEST_RATE, "a window is a time of up to a year");
        Self { name, kind: LimiterKind::Window { max, span }, at: Location::caller() }
    }

    /// At most `max` permits are held at a time. Each is held until it is dropped or [released](Permit::release). One
    /// whose process died is free once its lease has ended, [10 seconds](LEASE) after its last renewal.
    ///
    /// # Panics
    ///
    /// The name is none, or `max` is 0.
    #[must_use]
    #[track_caller]
    pub const fn concurrent(name: &'static str, max: u32) -> Self {
        check(name, max);
        Self { name, kind: LimiterKind::Concurrent { max }, at: Location::caller() }
    }

    /// How many may go at once after a pause. Default: what goes in 100 ms, and at least 1.
    ///
    /// # Panics
    ///
    /// It is 0, or the limiter is no [bucket](Self::bucket).
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        assert!(burst > 0, "a burst is at least 1");
        let LimiterKind::Bucket(rate) = self.kind else { panic!("only a bucket has a burst") };
        self.kind = LimiterKind::Bucket(Rate { burst, ..rate });
        self
    }

    /// The limiter of this key: each key is limited by itself. Any text of up to 1,024 bytes. Without one, the key is
    /// empty.
    pub fn key(&self, key: impl fmt::Display) -> Acquisition {
        self.acquisition().key(key)
    }

    /// The same for what takes more than one at once. Default: 1, and at least. More than the limit counts as all of it.
    pub fn cost(&self, cost: u32) -> Acquisition {
        self.acquisition().cost(cost)
    }

    /// Acquires, if it may be now. See [`Acquisition::try_acquire`].
    ///
    /// # Errors
    ///
    /// As [`Acquisition::try_acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`Acquisition::try_acquire`].
    pub fn try_acquire(&self) -> Acquiring {
        self.acquisition().try_acquire()
    }

    /// Acquires, and waits until it may be. See [`Acquisition::acquire`].
    ///
    /// # Errors
    ///
    /// As [`Acquisition::acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`Acquisition::acquire`].
    pub fn acquire(&self) -> Acquiring {
        self.acquisition().acquire()
    }

    /// [`try_acquire`](Self::try_acquire) for a run's message. See [`Acquisition::acquire_for`].
    ///
    /// # Errors
    ///
    /// As [`Acquisition::try_acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`Acquisition::try_acquire`].
    pub fn try_acquire_for(&self, cx: &Context) -> Acquiring {
        self.acquisition().try_acquire_for(cx)
    }

    /// [`acquire`](Self::acquire) for a run's message. See [`Acquisition::acquire_for`].
    ///
    /// # Errors
    ///
    /// As [`Acquisition::acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`Acquisition::acquire`].
    pub fn acquire_for(&self, cx: &Context) -> Acquiring {
        self.acquisition().acquire_for(cx)
    }

    fn acquisition(&self) -> Acquisition {
        Acquisition::new(*self)
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it limits.
    #[must_use]
    pub const fn kind(&self) -> LimiterKind {
        self.kind
    }

    /// Where it is declared.
    pub(crate) const fn at(&self) -> &'static Location<'static> {
        self.at
    }
}

const fn check(name: &str, max: u32) {
    assert!(is_name(name.as_bytes()), "a limiter's name has 1 to 128 of the characters A-Z a-z 0-9 _ - .");
    assert!(max > 0, "a limiter of 0 lets nothing through");
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl fmt::Display for LimiterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(rate) => rate.fmt(f),
            Self::Window { max, span } => write!(f, "{max} in any {span:?}"),
            Self::Concurrent { max } => write!(f, "{max} at a time"),
        }
    }
}
