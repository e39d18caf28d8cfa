//! An actor returns nothing, or a `Result`.
use actor_core::actor;

#[actor]
async fn number() -> u32 {
    1
}

fn main() {}
