//! An actor's error turns into a `Failure`.
use std::error::Error;

use actor_core::actor;

#[derive(Debug)]
pub struct MailError;

#[actor]
pub async fn welcome() -> Result<(), MailError> {
    Err(MailError)
}

#[actor]
fn boxed() -> Result<(), Box<dyn Error>> {
    Ok(())
}

fn main() {}
