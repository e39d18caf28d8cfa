//! Authenticating a connection again before its credentials end.
//!
//! A task for each connection, which sleeps until then, so that no message and no lease waits for a provider while the
//! connection stands. `AUTH` takes its turn behind what was asked for on the connection: behind a read that waits, for
//! no longer than such a read does.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redis::Value;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout_at};

use crate::connect::Live;
use crate::connection::ANSWER;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::provider::{Given, Provider};
use crate::script::CHECK_EVERY;

/// How much time is left at least, where the credentials last for twice as long: Entra wants 3 minutes, and its
/// libraries give a token that they kept until 5 are left of it.
const LEFT: Duration = Duration::from_secs(180);
/// Never more often, whatever a provider says.
const LEAST: Duration = Duration::from_secs(1);
/// The first and the longest pause between attempts.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How long the answer to `AUTH` may take, where a read waits before it.
const BEHIND_A_READ: Duration = CHECK_EVERY.saturating_add(ANSWER);

/// The task of one connection. It ends with this.
#[derive(Debug)]
pub(crate) struct Reauthentication(AbortHandle);

impl Drop for Reauthentication {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a connection was not authenticated again.
enum Failure {
    /// The provider gave nothing.
    Provider(Error),
    /// The server refused, with this code. The rest of its text may repeat what it was sent.
    Refused(String),
    /// There is no connection any more.
    Gone,
}

/// Keeps a connection authenticated, where its credentials end.
pub(crate) fn keep(endpoint: &Arc<Endpoint>, live: &Arc<Live>) {
    if let Some(provider) = endpoint.provider() {
        succeeded(&endpoint.address, provider);
    }
    if let Some(ends_at) = live.ends_at {
        let task = run(Arc::clone(endpoint), Arc::downgrade(live), ends_at);
        // An error would mean that it is kept already.
        let _ = live.reauthentication.set(Reauthentication(tokio::spawn(task).abort_handle()));
    }
}

async fn run(endpoint: Arc<Endpoint>, live: Weak<Live>, mut ends_at: Instant) {
    let Some(provider) = endpoint.provider() else { return };
    // However this ends: a connection that nobody authenticates again is replaced at its next use.
    let _given_up = GiveUp(&live);
    loop {
        sleep(due(ends_at.saturating_duration_since(Instant::now()))).await;
        // A host that was asleep or overloaded wakes this late: there is time for an attempt all the same.
        let last = ends_at.max(Instant::now() + ANSWER);
        match timeout_at(last.into(), until_again(&endpoint.address, provider, &live)).await {
            Ok(Some(given)) => match given.ends_at {
                Some(next) => ends_at = next,
                None => std::future::pending().await,
            },
            Ok(None) | Err(_) => return,
        }
    }
}

/// Tries until the connection is authenticated again. Returns nothing where it is gone.
async fn until_again(address: &str, provider: &Provider, live: &Weak<Live>) -> Option<Given> {
    let mut attempts = 0;
    loop {
        let error = match again(address, provider, live).await {
            Ok(given) => {
                succeeded(address, provider);
                return Some(given);
            }
            Err(Failure::Gone) => return None,
            Err(Failure::Provider(error)) => format!("{error:?}"),
            Err(Failure::Refused(code)) => format!("redis refuses the credentials ({code})"),
        };
        if provider.failed() {
            tracing::warn!(
                address,
                error,
                "a redis connection cannot be authenticated again: when its credentials end, it is replaced"
            );
        }
        sleep(pause(attempts)).await;
        attempts += 1;
    }
}

async fn again(address: &str, provider: &Provider, live: &Weak<Live>) -> Result<Given, Failure> {
    let given = provider.ask(address).await.map_err(Failure::Provider)?;
    let mut auth = redis::cmd("AUTH");
    auth.arg(given.credentials.username()).arg(given.credentials.secret());
    // Only its connection is held: where all others drop it meanwhile, this task ends, and the connection closes.
    let live_now = live.upgrade().filter(|live| live.is_alive());
    let mut connection = live_now.ok_or(Failure::Gone)?.connection.clone();
    connection.set_response_timeout(BEHIND_A_READ);
    match connection.send_packed_command(&auth).await {
        Ok(Value::ServerError(refusal)) => Err(Failure::Refused(refusal.code().to_owned())),
        Ok(_) => {
            live.upgrade().ok_or(Failure::Gone)?.answered();
            Ok(given)
        }
        Err(_) => Err(Failure::Gone),
    }
}

/// A connection was authenticated.
fn succeeded(address: &str, provider: &Provider) {
    if provider.succeeded() {
        tracing::info!(address, "redis connections are authenticated again");
    }
}

/// Gives up a connection when it is dropped.
struct GiveUp<'a>(&'a Weak<Live>);

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        if let Some(live) = self.0.upgrade() {
            live.give_up();
        }
    }
}

/// When to authenticate again, where the credentials last for so long.
fn due(life: Duration) -> Duration {
    let left = (life / 10).max(LEFT).min(life / 2);
    // Many connections must not come in step.
    life.saturating_sub(left.mul_f64(1.0 + fastrand::f64() / 2.0)).max(LEAST)
}

/// How long to pause after this many attempts that failed, and one more.
fn pause(attempts: u32) -> Duration {
    let ceiling = PAUSE.1.min(PAUSE.0.saturating_mul(2u32.saturating_pow(attempts)));
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_connection_is_authenticated_again_when_a_tenth_is_left_and_at_least_three_minutes() {
        for (life, earliest, latest) in [(720, 612, 648), (60, 51, 54), (15, 10, 12), (6, 1, 3)] {
            for _ in 0..1_000 {
                let due = due(life * MINUTE);
                assert!((earliest * MINUTE..=latest * MINUTE).contains(&due), "of {life} minutes: {due:?}");
            }
        }
    }

    #[test]
    fn credentials_that_end_at_once_are_asked_for_once_a_second() {
        for life in [Duration::ZERO, Duration::from_millis(1), LEAST, 2 * LEAST] {
            assert_eq!(due(life), LEAST);
        }
        assert!(due(Duration::MAX) > MINUTE);
    }

    #[test]
    fn there_are_several_attempts_in_the_shortest_time_that_is_left_of_most_credentials() {
        let mut passed = Duration::ZERO;
        let attempts = (0..).take_while(|attempts| {
            passed += pause(*attempts);
            passed < LEFT
        });
        assert!(attempts.count() >= 12);
        assert!(pause(u32::MAX) <= PAUSE.1);
    }

    #[test]
    fn an_answer_behind_a_read_that_waits_comes_before_the_credentials_end() {
        assert!(BEHIND_A_READ < LEFT);
    }
}
