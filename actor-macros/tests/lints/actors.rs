//! Actors of every form, in code that denies all lints.

use std::fmt;

use actor_core::{Context, Failure, actor};

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct MailError;

impl fmt::Display for MailError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no mail")
    }
}

impl std::error::Error for MailError {}

/// Welcomes somebody.
///
/// # Errors
///
/// There is no mail.
#[actor(queue = "mail", max_retries = 3, time_limit = "none", retry_if = |_| true)]
#[expect(clippy::too_many_arguments)]
pub async fn welcome(
    recipient: String,
    cx: &Context,
    body: &str,
    numbers: &[u8],
    #[state] pool: &Vec<u8>,
    four: u8,
    five: u8,
    #[default = 1] six: u8,
    #[default] seven: &str,
) -> Result<String, MailError> {
    drop((recipient, cx, body, numbers, pool, four, five, six, seven));
    Err(MailError)
}

/// Declared here, implemented below.
#[actor]
pub async fn process_video(id: u64, title: &str) -> Result<(), Failure>;

/// The worker's part.
pub mod worker {
    use super::{Failure, actor};

    /// Processes.
    ///
    /// # Errors
    ///
    /// Never.
    #[actor(implements = super::process_video)]
    pub async fn process_video(id: u64, title: &str) -> Result<(), Failure> {
        let _: (u64, &str) = (id, title);
        Ok(())
    }
}

/// Blocks.
#[actor]
fn blocks() -> Result<(), Failure> {
    Ok(())
}

/// Takes nothing.
#[actor]
pub(crate) async fn quiet() {}

/// Old.
#[deprecated = "write `quiet`"]
#[actor]
pub fn old(number: u8) {
    let _: u8 = number;
}

/// Takes what is old on purpose.
#[allow(deprecated)]
#[actor]
pub async fn of_old_things(thing: Old) {
    let _: Old = thing;
}

/// Old.
#[deprecated]
pub type Old = u8;

#[test]
fn an_actor_that_nobody_sends_is_no_dead_code() {
    let _: process_video = process_video;
}
