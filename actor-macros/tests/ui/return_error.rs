//! An actor's error can be shown.
use actor_core::actor;

#[derive(Debug)]
pub struct MailError;

#[actor]
pub async fn welcome() -> Result<(), MailError> {
    Err(MailError)
}

fn main() {}
