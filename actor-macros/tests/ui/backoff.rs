//! `min_backoff` is at most `max_backoff`.
use actor_core::actor;

#[actor(min_backoff = "2h", max_backoff = "1h")]
fn both() {}

#[actor(min_backoff = "8d")]
fn over_the_default() {}

#[actor(max_backoff = "10s")]
fn under_the_default() {}

fn main() {}
