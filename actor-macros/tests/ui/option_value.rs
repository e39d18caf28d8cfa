//! A value of the wrong kind is refused.
use actor_core::actor;

const QUEUE: &str = "mail";

#[actor(queue = QUEUE)]
fn constant() {}

#[actor(max_retries = "3")]
fn text_retries() {}

#[actor(max_retries = -1)]
fn negative_retries() {}

#[actor(max_retries = 4294967296)]
fn many_retries() {}

#[actor(priority = high)]
fn bare_priority() {}

#[actor(priority = "urgent")]
fn unknown_priority() {}

#[actor(retry_if = true)]
fn no_function() -> Result<(), String> {
    Ok(())
}

#[actor(implements = "tasks::process_video")]
fn text_path() {}

#[actor(crate = "my_crate::actor_core")]
fn re_exported() {}

fn main() {
    let _ = QUEUE;
}
