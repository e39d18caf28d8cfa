//! One `#[actor]` a function.
use actor_core::actor;

#[actor]
#[actor(queue = "mail")]
fn welcome() {}

fn main() {}
