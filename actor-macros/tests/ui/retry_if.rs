//! `retry_if` takes the error of an actor that can fail.
use actor_core::actor;

#[actor(retry_if = |_| true)]
fn cannot_fail() {}

fn is_transient(error: &str) -> bool {
    error.is_empty()
}

#[actor(retry_if = is_transient)]
fn other_error() -> Result<(), String> {
    Ok(())
}

fn main() {}
