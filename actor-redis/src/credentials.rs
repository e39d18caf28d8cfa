//! A user and a password that may change, and where they come from.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

/// A user and a password, and for how long they last.
///
/// `Debug` shows the user and never the password.
#[derive(Clone)]
#[must_use]
pub struct Credentials {
    username: Option<String>,
    password: String,
    valid_for: Option<Duration>,
}

impl Credentials {
    /// The password of a user.
    pub fn new(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { username: Some(username.into()), password: password.into(), valid_for: None }
    }

    /// A password alone: that of the user `default`, which `requirepass` sets.
    pub fn password(password: impl Into<String>) -> Self {
        Self { username: None, password: password.into(), valid_for: None }
    }

    /// For how long from now the server keeps a connection that authenticated with these. Before it is over, the
    /// connection is authenticated again. Default: for ever.
    ///
    /// With Entra it is the rest of the token's life. On AWS it is 12 hours, however short the token's life:
    /// a token is checked only when a connection authenticates.
    pub fn valid_for(mut self, time: Duration) -> Self {
        self.valid_for = Some(time);
        self
    }

    pub(crate) fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    pub(crate) fn secret(&self) -> &str {
        &self.password
    }

    pub(crate) fn time(&self) -> Option<Duration> {
        self.valid_for
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("valid_for", &self.valid_for)
            .finish_non_exhaustive()
    }
}

/// Gives the user and the password of each connection:
/// [`RedisBrokerBuilder::credentials`](crate::RedisBrokerBuilder::credentials). A closure that returns a future is one
/// too.
///
/// It is asked
///
/// - before each connection is made, and
/// - before the credentials of a connection end ([`Credentials::valid_for`]), to authenticate it again: when a tenth
///   of their time is left, and at least 3 minutes (half of it, where it is shorter than 6), and up to half of that
///   earlier, so that connections do not come in step.
///
/// Callers of one tokio runtime that ask at the same time share one call. Its answer is not kept: a provider that is
/// slow, or pays for each call, keeps what it gave. A call that takes 5 s is dropped, and counts as failed.
///
/// `docs/credentials.md` has providers for AWS, Entra and files.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use actor_redis::{Credentials, RedisBroker};
///
/// let broker = RedisBroker::builder("redis://redis.internal")?
///     .credentials(|| async {
///         let password = std::fs::read_to_string("/run/secrets/redis")?;
///         Ok(Credentials::new("app", password.trim_end()))
///     })?
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait CredentialsProvider: Send + Sync {
    /// The credentials of the next connection.
    ///
    /// # Errors
    ///
    /// There are none now. What the error says is logged and shown: it must not hold a secret. It is asked again, with
    /// pauses.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await.
    async fn credentials(&self) -> Result<Credentials, Box<dyn Error + Send + Sync>>;
}

#[async_trait]
impl<F, Answer> CredentialsProvider for F
where
    F: Fn() -> Answer + Send + Sync,
    Answer: Future<Output = Result<Credentials, Box<dyn Error + Send + Sync>>> + Send,
{
    async fn credentials(&self) -> Result<Credentials, Box<dyn Error + Send + Sync>> {
        self().await
    }
}

#[async_trait]
impl<P: CredentialsProvider + ?Sized> CredentialsProvider for Arc<P> {
    async fn credentials(&self) -> Result<Credentials, Box<dyn Error + Send + Sync>> {
        (**self).credentials().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_credentials_has_no_password() {
        for credentials in [Credentials::new("ada", "hunter2"), Credentials::password("hunter2")] {
            let shown = format!("{:?}", credentials.valid_for(Duration::from_secs(900)));
            assert!(!shown.contains("hunter2") && shown.contains("900"), "{shown}");
        }
    }
}
