//! Only a function becomes an actor.
use actor_core::actor;

#[actor]
struct Welcome;

#[actor]
mod tasks {}

fn main() {
    let _ = Welcome;
}
