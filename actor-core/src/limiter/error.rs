//! Why nothing was acquired of a limiter.

use std::error::Error as StdError;
use std::panic::Location;
use std::time::Duration;

use crate::causes::{MOST_CAUSES, debug_as_shown};
use crate::install::installed_elsewhere;
use crate::{BrokerError, KeyError};

/// Why nothing was acquired of a [`Limiter`](super::Limiter).
///
/// The text is for people and may change; callers ask the predicates. In an actor, `?` turns a refusal into
/// [`Failure::rate_limited`](crate::Failure::rate_limited), also where it is the [source](StdError::source) of another
/// error; what else it says is a failure like any other.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct LimiterError(Box<Kind>);

debug_as_shown!(LimiterError);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("limiter `{limiter}` refused")]
    Refused { limiter: &'static str, source: Refusal },
    #[error(
        "no broker is installed: call `actor_core::install(broker)` when the program starts, or use \
         `try_acquire_with(&broker)` or `acquire_with(&broker)`"
    )]
    NotInstalled,
    #[error(
        "no broker is installed on this thread: a `TestBroker` is installed on another, and only for what that thread \
         does; run the test on one thread (`#[tokio::test]` without `flavor`), or use `acquire_with(&broker)`"
    )]
    InstalledElsewhere,
    #[error("the broker keeps no limiters")]
    Unsupported,
    #[error("limiter `{limiter}` is declared twice and differently, at {first} and {second}")]
    DeclaredTwice { limiter: &'static str, first: &'static Location<'static>, second: &'static Location<'static> },
    #[error(transparent)]
    Key(KeyError),
    #[error("nothing was acquired")]
    NoThread(#[source] BrokerError),
    #[error("limiter `{limiter}` {}", became(source))]
    Broker { limiter: &'static str, source: BrokerError },
}

/// The source of a refusal. It is what a `Failure` finds below any error, which is `'static` where the error may not be.
#[derive(Debug, thiserror::Error)]
#[error("ask again in {0:?}")]
struct Refusal(Duration);

fn became(error: &BrokerError) -> &'static str {
    if error.is_unknown() { "may or may not have been acquired" } else { "was not acquired" }
}

/// When to ask again, where a limiter's refusal is among the causes of an error.
pub(crate) fn retry_after<'a>(error: &(dyn StdError + Send + Sync + 'a)) -> Option<Duration> {
    let causes = std::iter::successors(error.source(), |&cause| cause.source()).take(MOST_CAUSES);
    causes.filter_map(|cause| cause.downcast_ref::<Refusal>()).map(|refusal| refusal.0).next()
}

impl LimiterError {
    pub(super) fn refused(limiter: &'static str, retry_after: Duration) -> Self {
        Self(Box::new(Kind::Refused { limiter, source: Refusal(retry_after) }))
    }

    pub(super) fn not_installed() -> Self {
        Self(Box::new(if installed_elsewhere() { Kind::InstalledElsewhere } else { Kind::NotInstalled }))
    }

    pub(super) fn unsupported() -> Self {
        Self(Box::new(Kind::Unsupported))
    }

    pub(super) fn declared_twice(
        limiter: &'static str,
        first: &'static Location<'static>,
        second: &'static Location<'static>,
    ) -> Self {
        Self(Box::new(Kind::DeclaredTwice { limiter, first, second }))
    }

    pub(super) fn key(error: KeyError) -> Self {
        Self(Box::new(Kind::Key(error)))
    }

    pub(super) fn broker(limiter: &'static str, source: BrokerError) -> Self {
        Self(Box::new(Kind::Broker { limiter, source }))
    }

    pub(super) fn no_thread(error: BrokerError) -> Self {
        Self(Box::new(Kind::NoThread(error)))
    }

    /// How long after the refusal to ask again; `None` where it was no refusal.
    ///
    /// Of a bucket or a window it is exact, unless others are first. When a permit of a concurrent limiter is released
    /// nobody knows: it is one second, or less where a lease ends before.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &*self.0 {
            Kind::Refused { source, .. } => Some(source.0),
            _ => None,
        }
    }

    /// Whether the limiter refused: so many are used, or held.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.retry_after().is_some()
    }

    /// Whether it may have been acquired all the same: the connection broke after the request was sent. Of a bucket or a
    /// window it then counts as used. A permit of a concurrent limiter is released, or free once its lease has ended.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.of_broker().is_some_and(BrokerError::is_unknown)
    }

    /// Whether the broker failed in a way that the same call may succeed later, unchanged.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.of_broker().is_some_and(BrokerError::is_transient)
    }

    /// Whether no broker was installed.
    #[must_use]
    pub fn is_not_installed(&self) -> bool {
        matches!(&*self.0, Kind::NotInstalled | Kind::InstalledElsewhere)
    }

    /// Whether it can never be acquired so: the key is too long, the limiter is declared twice and differently, or the
    /// broker keeps no limiters.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        matches!(&*self.0, Kind::Key(_) | Kind::DeclaredTwice { .. } | Kind::Unsupported)
    }

    fn of_broker(&self) -> Option<&BrokerError> {
        match &*self.0 {
            Kind::Broker { source, .. } | Kind::NoThread(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Failure;
    use crate::failure::Next;

    type Boxed = Box<dyn StdError + Send + Sync>;

    const AFTER: Duration = Duration::from_millis(1_500);

    #[derive(Debug, thiserror::Error)]
    #[error("no place was found")]
    struct Geocoding(#[from] LimiterError);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Same(#[from] LimiterError);

    fn refused() -> LimiterError {
        LimiterError::refused("maps", AFTER)
    }

    #[test]
    fn a_refusal_becomes_a_limit_elsewhere_however_it_is_wrapped() {
        let failures: [Failure; 4] = [
            refused().into(),
            Geocoding::from(refused()).into(),
            Same::from(refused()).into(),
            Boxed::from(Geocoding::from(refused())).into(),
        ];
        for failure in failures {
            assert_eq!(failure.next(), Next::Limited(AFTER), "{failure:?}");
            assert!(failure.error().contains("limiter `maps` refused: ask again in 1.5s"), "{failure:?}");
        }
        let chosen = [Failure::do_not_retry(refused()), Failure::retry_in(AFTER, refused())];
        assert_eq!(chosen.map(|failure| failure.next()), [Next::Never, Next::In(AFTER)], "what is said wins");
    }

    #[test]
    fn a_brokers_failure_is_a_failure_like_any_other() {
        let away = || LimiterError::broker("maps", BrokerError::unknown("no answer"));
        assert!(away().is_unknown() && away().is_transient() && away().retry_after().is_none());
        assert_eq!(Failure::from(away()).next(), Next::AsConfigured);
        assert_eq!(format!("{:?}", away()), "limiter `maps` may or may not have been acquired: no answer");
    }
}
