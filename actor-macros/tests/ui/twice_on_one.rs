//! A function has one `#[actor]`.
use actor_core::actor;

#[actor]
#[actor(queue = "mail")]
fn welcome() {}

fn main() {}
