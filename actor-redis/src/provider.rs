//! Asking a provider of credentials: once for all who ask at the same time, and for no longer than a limit.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use redis::RedisError;
use tokio::runtime::{self, Handle};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::credentials::{Credentials, CredentialsProvider};
use crate::error::{Error, Kind};

/// How long a provider may take, as long as Redis itself.
const ANSWER: Duration = Duration::from_secs(5);

/// Where the credentials of all connections to one server come from.
pub(crate) struct Provider {
    provider: Arc<dyn CredentialsProvider>,
    // Shared by the members of a cluster. Locked for moments only, by who is about to ask.
    calls: Arc<Mutex<Vec<Call>>>,
    /// Whether it was logged that a connection could not be authenticated again, and not yet that one could.
    logged: AtomicBool,
}

/// A call of one runtime. Runtimes share none: one that is blocked would hold up the others.
struct Call {
    runtime: runtime::Id,
    /// Gone where nobody waits for it.
    answer: Weak<OnceCell<Result<Given, Error>>>,
}

/// What a provider gave.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) credentials: Credentials,
    /// None where they last for ever.
    pub(crate) ends_at: Option<Instant>,
}

impl Provider {
    pub(crate) fn new(provider: Arc<dyn CredentialsProvider>) -> Self {
        Self { provider, calls: Arc::default(), logged: AtomicBool::new(false) }
    }

    /// The same provider for another server, which may refuse what this one takes.
    pub(crate) fn beside(&self) -> Self {
        Self { calls: Arc::clone(&self.calls), ..Self::new(Arc::clone(&self.provider)) }
    }

    /// Asks for credentials, with whoever asks at this time.
    pub(crate) async fn ask(&self, address: &str) -> Result<Given, Error> {
        let call = self.call(Handle::try_current().map_err(|_| Kind::NoRuntime)?.id());
        // Where the caller that asks is dropped, another one that waits asks.
        call.get_or_init(|| self.asked(address)).await.clone()
    }

    async fn asked(&self, address: &str) -> Result<Given, Error> {
        let address = || address.to_owned();
        match timeout(ANSWER, self.provider.credentials()).await {
            Ok(Ok(credentials)) => {
                let ends_at = credentials.time().and_then(|time| Instant::now().checked_add(time));
                Ok(Given { credentials, ends_at })
            }
            // The client's error can be cloned, and hold any other.
            Ok(Err(error)) => {
                Err(Kind::Provider { address: address(), source: RedisError::from(io::Error::other(error)) }.into())
            }
            Err(_) => Err(Kind::ProviderSilent { address: address(), within: ANSWER }.into()),
        }
    }

    /// The call of this runtime that is under way, or a new one.
    fn call(&self, runtime: runtime::Id) -> Arc<OnceCell<Result<Given, Error>>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.retain(|call| call.answer.strong_count() > 0);
        let known = calls.iter().find(|call| call.runtime == runtime).and_then(|call| call.answer.upgrade());
        if let Some(known) = known {
            return known;
        }
        let new = Arc::new(OnceCell::new());
        calls.push(Call { runtime, answer: Arc::downgrade(&new) });
        new
    }

    /// Notes that a connection could not be authenticated again. Whether that is news.
    pub(crate) fn failed(&self) -> bool {
        !self.logged.swap(true, Ordering::Relaxed)
    }

    /// Notes that one was. Whether that is news.
    pub(crate) fn succeeded(&self) -> bool {
        self.logged.swap(false, Ordering::Relaxed)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Semaphore;

    use super::*;

    /// Only against a test that hangs.
    const LONG: Duration = Duration::from_secs(60);

    /// A provider whose calls count themselves and wait to be released.
    fn slow() -> (Arc<Provider>, Arc<AtomicUsize>, Arc<Semaphore>) {
        let (count, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, entered) = (Arc::clone(&count), Arc::clone(&gate));
        let provider = move || {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            let gate = Arc::clone(&entered);
            async move {
                gate.acquire().await?.forget();
                Ok(Credentials::new(format!("user-{number}"), "hunter2"))
            }
        };
        (Arc::new(Provider::new(Arc::new(provider))), count, gate)
    }

    fn name(given: Result<Given, Error>) -> String {
        given.ok().and_then(|given| given.credentials.username().map(str::to_owned)).unwrap_or_default()
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_shares_a_call_and_who_asks_later_does_not() {
        let (provider, count, gate) = slow();
        let ask = || {
            let provider = Arc::clone(&provider);
            tokio::spawn(async move { name(provider.ask("host:6379").await) })
        };
        let callers: Vec<_> = (0..500).map(|_| ask()).collect();
        let wait = || provider.calls.lock().expect("whole").first().map_or(0, |call| call.answer.strong_count());
        let all_wait = async {
            while wait() < 500 {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, all_wait).await.expect("they share a call");
        gate.add_permits(1);
        for caller in callers {
            assert_eq!(caller.await.unwrap_or_default(), "user-0");
        }
        gate.add_permits(1);
        assert_eq!(ask().await.unwrap_or_default(), "user-1");
        assert_eq!(count.load(Ordering::SeqCst), 2);
        drop(provider.call(Handle::current().id()));
        assert_eq!(provider.calls.lock().map_or(0, |calls| calls.len()), 1);
    }

    #[tokio::test]
    async fn where_the_caller_that_asked_is_dropped_another_that_waits_asks() {
        let (provider, count, gate) = slow();
        let first = {
            let provider = Arc::clone(&provider);
            tokio::spawn(async move { name(provider.ask("host:6379").await) })
        };
        while count.load(Ordering::SeqCst) < 1 {
            tokio::task::yield_now().await;
        }
        let second = provider.ask("host:6379");
        tokio::pin!(second);
        assert!(timeout(Duration::from_millis(1), &mut second).await.is_err());
        first.abort();
        assert!(first.await.is_err());
        gate.add_permits(1);
        assert_eq!(name(second.await), "user-1");
    }

    #[test]
    fn a_runtime_that_is_blocked_holds_up_no_other_and_leaves_nothing_behind() {
        let (provider, count, gate) = slow();
        let blocked = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        // It began to ask, and does not go on.
        let began = Arc::clone(&provider);
        blocked.block_on(async move {
            tokio::spawn(async move { began.ask("host:6379").await });
            while count.load(Ordering::SeqCst) < 1 {
                tokio::task::yield_now().await;
            }
        });
        // One for each: who asked first has the first, and does not go on.
        gate.add_permits(2);
        let other = runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let given = other.block_on(async { timeout(LONG, provider.ask("host:6379")).await });
        assert_eq!(given.map(name).unwrap_or_default(), "user-1");
        drop(blocked);
        drop(provider.call(other.handle().id()));
        assert_eq!(provider.calls.lock().map_or(0, |calls| calls.len()), 1);
    }
}
