//! A duration is checked by the macro.
use actor_core::actor;

#[actor(time_limit = 30)]
fn number() {}

#[actor(time_limit = "30")]
fn no_unit() {}

#[actor(max_age = "30 seconds")]
fn words() {}

#[actor(min_backoff = "30m1h")]
fn smallest_first() {}

#[actor(time_limit = "0s")]
fn zero() {}

#[actor(min_backoff = "none")]
fn no_backoff() {}

fn main() {}
