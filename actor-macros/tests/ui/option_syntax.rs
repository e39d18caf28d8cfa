//! A malformed option is refused with its right form.
use actor_core::actor;

#[actor("mail")]
fn text() {}

#[actor(queue)]
fn no_value() {}

#[actor(queue("mail"))]
fn parentheses() {}

#[actor(queue = )]
fn half_typed() {}

#[actor(queue = "mail" max_retries = 3)]
fn no_comma() {}

#[actor(max_retries = 1, max_retries = 2)]
fn given_twice() {}

fn main() {}
